"""What a user can type is described, and something in the tests types it."""

from __future__ import annotations

import ast
import re

from cluster.commands import all_commands
from cluster.commands.registry import Command, described_in
from cluster.config.directives import DIRECTIVES
from cluster.sentinel import commands as commands_of_a_sentinel
from tests.tidy.source import PRODUCT_FOLDERS, ROOT, source_files

KNOWN_GROUPS = {
    "bitmap", "cluster", "connection", "generic", "geo", "hash", "hyperloglog", "list", "pubsub", "scripting",
    "sentinel", "server", "set", "sorted-set", "stream", "string", "transactions",
}  # fmt: skip


def every_command() -> list[Command]:
    """Those of a node, and those of a sentinel."""
    return [*all_commands().every(), *described_in(commands_of_a_sentinel)]


def test_every_command_says_what_it_is() -> None:
    incomplete = [
        entry.full_name
        for entry in every_command()
        if not (entry.summary and re.fullmatch(r"\d+\.\d+\.\d+", entry.since) and entry.group in KNOWN_GROUPS)
    ]
    assert incomplete == []


def test_every_command_says_what_it_takes() -> None:
    """COMMAND DOCS shows it, and redis-cli hints at it."""
    silent = [
        entry.full_name
        for entry in every_command()
        if entry.minimum > 1 + entry.full_name.count("|") and entry.handler is not None and not entry.syntax
    ]
    assert silent == []


def test_no_two_commands_say_the_same() -> None:
    by_text: dict[str, list[str]] = {}
    for entry in all_commands().every():
        if entry.name != "help":
            by_text.setdefault(entry.summary, []).append(entry.full_name)
    assert {text: names for text, names in by_text.items() if len(names) > 1} == {}


def test_every_command_is_exercised() -> None:
    texts = [file.text.lower() for file in source_files("tests") if "tidy" not in file.name]
    everything = "\n".join(texts)
    missing = [entry.full_name for entry in every_command() if not _is_typed(entry, everything)]
    assert missing == []


def _is_typed(entry: Command, tests: str) -> bool:
    """Whether the tests hold it as a word that stands first, or behind its container."""
    name = re.escape(entry.name)
    parent, _, _ = entry.full_name.rpartition("|")
    before = rf"\b{re.escape(parent)}\b\W{{1,6}}" if parent else r"[\"'\s]"
    return re.search(rf"{before}{name}\b", tests) is not None


def test_every_directive_is_documented() -> None:
    page = (ROOT / "docs" / "directives.md").read_text()
    assert [entry.name for entry in DIRECTIVES if f"`{entry.name}`" not in page] == []


READ_WITHOUT_EFFECT = {
    "tls-ciphersuites": "the log says so",
}
"""Directives that something reads although they have no effect, and why."""


def test_directives_have_an_effect_where_the_page_says_so() -> None:
    """A directive that nothing reads must be marked, and one that is marked must not be read."""
    read = {
        node.attr
        for file in source_files(*PRODUCT_FOLDERS)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute)
    }
    silent = [entry.name for entry in DIRECTIVES if entry.has_effect and entry.attribute not in read]
    assert silent == [], "nothing reads these: mark them with effect="
    modest = [entry.name for entry in DIRECTIVES if not entry.has_effect and entry.attribute in read]
    assert set(modest) == set(READ_WITHOUT_EFFECT), "these are read: take the mark away"


def test_the_tests_that_are_named_are_there() -> None:
    named = set(re.findall(r"tests/[a-z_/]+(?:\.py)?", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_shows_the_scripts() -> None:
    readme = (ROOT / "README.md").read_text()
    scripts = ("bring-up", "test", "check", "bench", "sentinel-demo")
    assert [name for name in scripts if f"scripts/{name}" not in readme] == []
