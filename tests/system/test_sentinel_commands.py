"""A sentinel's commands are described, and refused, as redis-sentinel's are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.harness import Harness
from tests.system.sentinels import NAME, Sentinel

pytestmark = pytest.mark.system

Described = dict[str, tuple[object, ...]]

NEWER_THAN_7_0 = {
    ("quit", "missing"), ("client|no-touch", "missing"), ("client|setinfo", "missing"),
    ("command|getkeys", "arity"), ("command|getkeysandflags", "arity"),
    ("acl|deluser", "tips"), ("acl|save", "tips"), ("acl|setuser", "tips"),
}  # fmt: skip


def both(harness: Harness, lines: list[str]) -> tuple[Sentinel, Sentinel]:
    made = []
    for kind in ("ours", "redis"):
        port = harness.free_port()
        sentinel = Sentinel(kind, harness.directory / str(port), port, lines)
        harness.adopt(sentinel)
        sentinel.start(wait=False)
        made.append(sentinel)
    for sentinel in made:
        sentinel.wait_answering()
    return made[0], made[1]


def described(sentinel: Sentinel) -> Described:
    found: Described = {}

    def take(entry: object) -> None:
        assert isinstance(entry, list)
        name, arity, flags, *_, categories, tips, _, subcommands = entry
        found[name] = (arity, frozenset(flags), frozenset(categories), tuple(tips))
        for one in subcommands:
            take(one)

    with sentinel.client() as client:
        every = client.call("COMMAND")
    assert isinstance(every, list)
    for entry in every:
        take(entry)
    return found


def test_commands_are_described_and_refused_as_redis_sentinel_s(harness: Harness, tmp_path: Path) -> None:
    ours, theirs = both(harness, [f"sentinel monitor {NAME} 127.0.0.1 {harness.free_port()} 2",
                                  "sentinel deny-scripts-reconfig no"])  # fmt: skip
    mine, real = described(ours), described(theirs)
    wrong = {(name, "missing") for name in mine.keys() ^ real.keys()}
    for name in mine.keys() & real.keys():
        for what, shown, expected in zip(("arity", "flags", "categories", "tips"), mine[name], real[name], strict=True):
            if shown != expected:
                wrong.add((name, what))
    assert wrong == NEWER_THAN_7_0, {one: (mine.get(one[0]), real.get(one[0])) for one in wrong ^ NEWER_THAN_7_0}
    assert ours.call("COMMAND", "DOCS")

    script = tmp_path / "script"
    for line in (
        ("EXEC",), ("SET", "a", "b"), ("SENTINEL", "SET", NAME, "notification-script", str(script)),
        ("SENTINEL", "SET", NAME, "client-reconfig-script", str(script)),
        ("SENTINEL", "SET", NAME, "parallel-syncs", "0"), ("SENTINEL", "INFO-CACHE", NAME),
    ):  # fmt: skip
        answers = []
        for one in (ours, theirs):
            with one.client() as client:
                try:
                    answers.append(client.call(*line))
                except Exception as error:  # noqa: BLE001  (an error is an answer)
                    answers.append(str(error))
        assert answers[0] == answers[1], line
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert ours.call("SENTINEL", "SET", NAME, "notification-script", str(script)) == "OK"
