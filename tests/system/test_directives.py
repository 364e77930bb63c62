"""Directives as an operator meets them: what a running node does with one, and what it says when that is nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import USUAL, Harness, Server, ServerKind

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("words", "number", "saved"),
    [("save now", signal.SIGINT, True), ("nosave", signal.SIGINT, False), ("save", signal.SIGTERM, True)],
)
def test_a_signal_shuts_down_as_it_is_told(harness: Harness, words: str, number: signal.Signals, saved: bool) -> None:
    configured_save = "" if saved else "3600 1"
    directives = {"cluster-enabled": "no", "save": configured_save, f"shutdown-on-{number.name.lower()}": words}
    server = harness.server(directives)
    server.call("SET", "a", "1")
    server.signal(number)
    assert server.wait_end() == 0
    assert (server.directory / "dump.rdb").exists() is saved


def with_descriptors(harness: Harness, limit: str) -> Server:
    """A server that is not started yet and may open so many files, "soft:hard"."""
    port = harness.free_port()
    powerless = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource") if os.geteuid() == 0 else ()
    return harness.adopt(Server(
        harness.kind, harness.directory / str(port), port, {**USUAL, "cluster-enabled": "no"},
        prefix=("prlimit", f"--nofile={limit}", *powerless),
    ))  # fmt: skip


def test_the_bus_has_files_of_its_own(harness: Harness, server_kind: ServerKind) -> None:
    if server_kind != "ours":
        pytest.skip("redis-server has none to spare for the bus")
    server = with_descriptors(harness, "300:5000")
    server.directives |= {"maxclients": "230", "cluster-enabled": "yes"}
    server.start()
    [line] = [line for line in Path(f"/proc/{server.pid}/limits").read_text().splitlines() if "open files" in line]
    assert int(line.split()[3]) >= 230 + 256 + 64


def test_there_are_no_more_clients_than_files(harness: Harness) -> None:
    server = with_descriptors(harness, "300:300")
    server.start()
    most = server.info("clients")["maxclients"]
    assert int(most) in (300 - 32, 300 - 64)
    assert f"Current maximum open files is 300. maxclients has been reduced to {most}" in server.log()
    with pytest.raises(ReplyError) as refusal:
        server.call("CONFIG", "SET", "maxclients", 5000)
    assert str(refusal.value) == (
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to "
        f"handle the specified number of clients, try with {most}"
    )
    assert server.call("CONFIG", "GET", "maxclients") == ["maxclients", most]
    assert server.call("CONFIG", "SET", "maxclients", 5) == "OK"
    assert server.call("CONFIG", "SET", "maxclients", most) == "OK"


def test_the_limit_of_files_is_raised_as_far_as_it_may_be(harness: Harness) -> None:
    server = with_descriptors(harness, "100:3000")
    server.directives["maxclients"] = "1000"
    server.start()
    assert server.call("CONFIG", "GET", "maxclients") == ["maxclients", "1000"]
    assert "(it was originally set to 100)." in server.log()
    if harness.kind == "ours":  # redis-server gives the rest away at its start
        assert server.call("CONFIG", "SET", "maxclients", 2000) == "OK"
    with pytest.raises(ReplyError, match="not able to handle"):
        server.call("CONFIG", "SET", "maxclients", 100_000)


def test_a_server_that_nobody_could_connect_to_does_not_start(harness: Harness) -> None:
    server = with_descriptors(harness, "30:30")
    server.start(wait=False)
    assert server.wait_end() == 1
    assert "Your current 'ulimit -n' of 30 is not enough for the server to start." in server.log()


def test_bind_may_change_to_addresses_that_hold_the_old_ones(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"})
    assert server.call("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2") == "OK"
    assert server.call("CONFIG", "SET", "bind", "*") == "OK"
    with pytest.raises(ReplyError, match="Unable to listen"):
        server.call("CONFIG", "SET", "bind", "192.0.2.1")
    assert server.call("PING") == "PONG", "the old addresses are served on"
    assert server.call("CONFIG", "SET", "bind", "127.0.0.1") == "OK"
    assert server.call("PING") == "PONG"
