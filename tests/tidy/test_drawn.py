"""Every command about data, and every word it takes, is drawn by a grammar of the differential machine."""

from __future__ import annotations

from cluster.commands import all_commands
from cluster.commands.registry import Command
from cluster.commands.syntax import parse_syntax
from tests.tidy.drawn import drawn_words

ABOUT_DATA = {
    "bitmap", "generic", "geo", "hash", "hyperloglog", "list", "set", "sorted-set", "stream", "string", "transactions",
}  # fmt: skip
ELSEWHERE = {
    "pfselftest": "takes redis-server half a minute",
    "wait": "asks for replicas: tests/differential/test_transactions.py, tests/replication",
    "waitaof": "waits for the disk: tests/persistence/test_aof_waits.py, tests/system/test_aof.py",
}
"""Commands that no grammar draws, and why."""


def _about_data() -> list[Command]:
    return [entry for entry in all_commands().every() if entry.group in ABOUT_DATA and entry.handler is not None]


def test_every_command_about_data_is_drawn() -> None:
    drawn = drawn_words()
    missing = set()
    for entry in _about_data():
        container, _, name = entry.full_name.partition("|")
        if container not in drawn or (name and name.upper() not in drawn[container]):
            missing.add(entry.full_name)
    assert missing == set(ELSEWHERE)


def test_every_word_it_takes_is_drawn_with_it() -> None:
    drawn = drawn_words()
    missing = {}
    for entry in _about_data():
        words = {word.upper() for argument in parse_syntax(entry.syntax) for word in argument.tokens()}
        left = words - drawn.get(entry.full_name.partition("|")[0], set())
        if left and entry.full_name not in ELSEWHERE:
            missing[entry.full_name] = left
    assert missing == {}
