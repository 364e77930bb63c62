"""Directives as an operator meets them: what a running node does with one, and what it says when that is nothing."""

from __future__ import annotations

import signal

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server, ServerKind

pytestmark = pytest.mark.system


def warnings(server: Server) -> list[str]:
    return [line.partition(" # ")[2] for line in server.log().splitlines() if "has no effect" in line]


@pytest.fixture
def ours(harness: Harness, server_kind: ServerKind) -> Harness:
    if server_kind != "ours":
        pytest.skip("redis-server has all of it")
    return harness


def test_a_start_names_what_will_not_happen(ours: Harness) -> None:
    server = ours.server({"appendonly": "yes", "appendfsync": "everysec", "user": "alice on >secret +@all ~*"})
    assert warnings(server) == [
        "appendonly has no effect yet, for want of append-only files.",
        "user has no effect yet, for want of access control lists.",
    ]


def test_a_change_that_will_not_happen_is_taken_and_warned_of(ours: Harness) -> None:
    server = ours.server()
    assert server.call("CONFIG", "SET", "appendonly", "yes", "maxmemory", "1gb") == "OK"
    assert warnings(server) == ["appendonly has no effect yet, for want of append-only files."]
    assert server.call("CONFIG", "SET", "appendonly", "no") == "OK"
    assert server.call("CONFIG", "SET", "latency-monitor-threshold", "5") == "OK"
    assert warnings(server)[1:] == ["latency-monitor-threshold has no effect yet, for want of LATENCY."]


@pytest.mark.parametrize(("name", "value"), [("tls-port", "7443"), ("tls-cluster", "yes"), ("tls-replication", "yes")])
def test_tls_cannot_be_had_later_either(harness: Harness, name: str, value: str) -> None:
    server = harness.server()
    with pytest.raises(ReplyError, match=rf"CONFIG SET failed \(possibly related to argument '{name}'\)"):
        server.call("CONFIG", "SET", name, value)
    assert server.call("CONFIG", "SET", "tls-port", "0") == "OK"
    assert server.call("CONFIG", "GET", name) != [name, value]


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


def test_bind_may_change_to_addresses_that_hold_the_old_ones(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"})
    assert server.call("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2") == "OK"
    assert server.call("CONFIG", "SET", "bind", "*") == "OK"
    with pytest.raises(ReplyError, match="Unable to listen"):
        server.call("CONFIG", "SET", "bind", "192.0.2.1")
    assert server.call("PING") == "PONG", "the old addresses are served on"
    assert server.call("CONFIG", "SET", "bind", "127.0.0.1") == "OK"
    assert server.call("PING") == "PONG"
