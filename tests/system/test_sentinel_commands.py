"""A sentinel's commands are described, and refused, as redis-sentinel's are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness
from tests.system.sentinels import NAME, Sentinel
from tests.system.waiting import wait_until

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
                except ReplyError as error:
                    answers.append(str(error))
        assert answers[0] == answers[1], line
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert ours.call("SENTINEL", "SET", NAME, "notification-script", str(script)) == "OK"


@pytest.fixture
def liar() -> Iterator[int]:
    """The port of a server that answers everything with the head of a list that no memory holds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(b"*4294967295\r\n")

        thread = Thread(target=answer, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_nothing_that_others_say_ends_a_sentinel(harness: Harness, liar: int) -> None:
    port = harness.free_port()
    lines = [f"sentinel monitor {NAME} 127.0.0.1 {liar} 1", f"sentinel down-after-milliseconds {NAME} 500"]
    sentinel = Sentinel("ours", harness.directory / str(port), port, lines)
    harness.adopt(sentinel)
    sentinel.start()
    stranger = f"fe80::1%\udcff,26379,{'d' * 40},1,{NAME},127.0.0.1,{liar},0".encode("utf-8", "surrogateescape")
    sentinel.call("PUBLISH", "__sentinel__:hello", stranger)
    sentinel.call("PUBLISH", "__sentinel__:hello", stranger.replace(b"fe80::1%\xff", b"127.0.0.1"))
    wait_until(lambda: "+sentinel" in sentinel.log(), 20, "the second of them is one")
    wait_until(lambda: sentinel.log().count("+sdown master") == 1, 60, "the server counts as down")
    (sentinel.directory / "sentinel.conf").unlink()
    assert sentinel.call("SENTINEL", "FLUSHCONFIG") == "OK"
    assert f"sentinel monitor {NAME} 127.0.0.1 {liar} 1" in sentinel.conf
    assert "fe80" not in sentinel.conf
