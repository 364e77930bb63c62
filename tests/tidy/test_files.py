"""A file is one idea, and says which; a function fits on a screen."""

from __future__ import annotations

import ast

from tests.tidy.source import ALL_FOLDERS, source_files

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
LONG_FOR_A_REASON = {"cluster/network/session.py _run"}
"""The hot path: each call it made would cost every command."""


def test_no_file_is_two_ideas() -> None:
    lengths = {file.name: len(file.text.splitlines()) for file in source_files(*ALL_FOLDERS)}
    assert {name: count for name, count in lengths.items() if count > MAX_FILE_LINES} == {}


def test_no_function_is_two_functions() -> None:
    long = {
        f"{file.name} {function.name}": lines
        for file in source_files(*ALL_FOLDERS)
        for function in file.functions()
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert set(long) == LONG_FOR_A_REASON


def test_every_file_says_what_it_holds() -> None:
    silent = [file.name for file in source_files(*ALL_FOLDERS) if file.text and ast.get_docstring(file.tree) is None]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    # Written apart, so that this file does not find itself.
    marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "NotImplemented" + "Error"]
    left = [
        f"{file.name}:{number}"
        for file in source_files(*ALL_FOLDERS)
        for number, line in enumerate(file.text.splitlines(), start=1)
        if any(mark in line for mark in marks)
    ]
    assert left == []


def test_no_error_is_swallowed_whole() -> None:
    swallowed = [
        f"{file.name}:{node.lineno}"
        for file in source_files(*ALL_FOLDERS)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and all(isinstance(s, ast.Pass) for s in node.body)
    ]
    assert swallowed == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in _BROAD)


_BROAD = {"Exception", "BaseException"}


def test_no_test_sleeps() -> None:
    # A wait polls a condition until its deadline: that one place may sleep.
    sleeping = [
        f"{file.name}:{node.lineno}"
        for file in source_files("tests")
        if file.name not in {"tests/system/waiting.py", "tests/system/load.py"}
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep", "asyncio.sleep"}
    ]
    assert sleeping == []
