"""What the differential grammars draw, read off their source: each command's name, and the words it may come with.

A grammar is made of calls `cmd("NAME", parts …)`. The words of one are the strings in its parts, and in the variables
and functions of the grammars that the parts name, however deep.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from tests.tidy.source import SourceFile, source_files


def grammar_files() -> list[SourceFile]:
    return [file for file in source_files("tests/differential") if file.path.name.startswith("grammar")]


def drawn_words() -> dict[str, set[str]]:
    """Lower-case name of a command → upper-case words that it is drawn with."""
    files = grammar_files()
    # A name that two grammars define stands for both: what matters is that somebody draws it.
    variables: dict[str, list[ast.AST]] = {}
    for file in files:
        for name, value in _assignments(file):
            variables.setdefault(f"{file.module}.{name}", []).append(value)
    found: dict[str, set[str]] = {}
    for file in files:
        names = _visible(file)
        for call in ast.walk(file.tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "cmd":
                command, *parts = call.args
                if isinstance(command, ast.Constant) and isinstance(command.value, str):
                    words = found.setdefault(command.value.lower(), set())
                    for part in parts:
                        words |= {word.upper() for word in _words(part, file, names, variables)}
    return found


def _assignments(file: SourceFile) -> Iterator[tuple[str, ast.AST]]:
    for node in file.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        elif isinstance(node, ast.FunctionDef) and file.path.name != "grammar.py":
            yield node.name, node


def _visible(file: SourceFile) -> dict[str, str]:
    """A name within `file` → the full name of the variable it stands for."""
    names = {name: f"{file.module}.{name}" for name, _ in _assignments(file)}
    for node in file.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _words(
    expression: ast.AST, file: SourceFile, names: Mapping[str, str], variables: Mapping[str, list[ast.AST]]
) -> Iterator[str]:
    for node in ast.walk(expression):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        elif isinstance(node, ast.Name) and (full := names.get(node.id, "")) in variables:
            home = next(one for one in grammar_files() if full.startswith(one.module + "."))
            for value in variables[full]:
                if value is not expression:
                    yield from _words(value, home, _visible(home), variables)
