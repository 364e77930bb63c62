"""Sentinels as an operator runs them: ours over redis-servers and over our nodes, and together with Redis's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.harness import Harness, ServerKind
from tests.system.sentinels import NAME, Watch, listener
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

Kinds = tuple[ServerKind, ServerKind, ServerKind]
OURS: Kinds = ("ours", "ours", "ours")


@pytest.mark.parametrize(
    ("data", "sentinels"),
    [
        ("redis", OURS), ("ours", OURS), ("ours", ("redis", "redis", "redis")), ("ours", ("ours", "redis", "ours")),
        ("redis", ("redis", "ours", "redis")),
    ],
    ids=str,
)  # fmt: skip
def test_a_primary_that_is_killed_is_replaced_and_comes_back_as_a_replica(
    harness: Harness, data: ServerKind, sentinels: Kinds
) -> None:
    watch = Watch(harness, data, sentinels)
    watch.wait_found()
    watch.primary.call("SET", "key", "value")
    assert watch.primary.call("WAIT", 2, 5000) == 2
    listeners = [listener(sentinel, "+switch-master") for sentinel in watch.sentinels]
    watch.primary.kill()
    new = watch.wait_moved()
    told = f"{NAME} 127.0.0.1 {watch.primary.port} 127.0.0.1 {new.port}"
    for client in listeners:
        assert client.receive() == ["message", "+switch-master", told]
        client.close()
    assert new.call("GET", "key") == "value"
    assert new.call("SET", "key", "newer") == "OK"
    third = next(server for server in watch.servers if server not in (new, watch.primary))
    watch.wait_role(third, new)
    watch.primary.start()
    watch.wait_role(watch.primary, new)
    assert watch.primary.call("GET", "key") == "newer"
    for sentinel in watch.sentinels:
        assert f"sentinel monitor {NAME} 127.0.0.1 {new.port} 2" in sentinel.conf
        assert "sentinel current-epoch 1" in sentinel.conf


def test_a_primary_that_stands_still_is_replaced(harness: Harness) -> None:
    watch = Watch(harness, "ours", OURS)
    watch.wait_found()
    watch.primary.freeze()
    new = watch.wait_moved()
    watch.primary.thaw()
    watch.wait_role(watch.primary, new)


def test_a_sentinel_goes_on_where_it_stopped(harness: Harness) -> None:
    watch = Watch(harness, "redis", ("ours", "ours", "redis"))
    watch.wait_found()
    first = watch.sentinels[0]
    first.kill()
    watch.primary.kill()
    watch.sentinels.remove(first)
    new = watch.wait_moved()
    first.start()
    wait_until(lambda: first.primary_port() == new.port, 20, "it hears of the failover")
    my_id = first.text("SENTINEL", "MYID")
    assert first.terminate() == 0
    first.start()
    assert (first.text("SENTINEL", "MYID"), first.primary_port()) == (my_id, new.port)
    assert first.facts()["num-other-sentinels"] == "2"


USER = (
    "watcher on >secret allchannels resetkeys +multi +slaveof +ping +exec +subscribe +config|rewrite +publish +info "
    "+client|setname +client|kill +script|kill"
)
"""The rights that a sentinel needs; in rules commands have their own names."""


def test_users_passwords_renamed_commands_host_names_and_scripts(harness: Harness, tmp_path: Path) -> None:
    notes, moves = tmp_path / "notes", tmp_path / "moves"
    scripts = {"notification-script": notes, "client-reconfig-script": moves}
    lines = ["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"]
    for option, path in scripts.items():
        script = tmp_path / f"{option}.sh"
        script.write_text(f'#!/bin/sh\necho "$@" >> {path}\n')
        script.chmod(0o755)
        lines.append(f"sentinel {option} {NAME} {script}")
    watch = Watch(
        harness, "ours", ("ours", "redis"), *lines, f"sentinel auth-user {NAME} watcher",
        f"sentinel auth-pass {NAME} secret", f"sentinel rename-command {NAME} CONFIG hidden", host="localhost",
        directives={"rename-command": "CONFIG hidden", "user": USER}, password="sentinels",
    )  # fmt: skip
    watch.wait_found()
    ours = watch.sentinels[0]
    assert ours.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME) == ["localhost", str(watch.primary.port)]
    watch.primary.kill()
    new = watch.wait_moved()
    assert f"sentinel rename-command {NAME} CONFIG hidden" in ours.conf
    assert "replicaof" not in (new.directory / "node.conf").read_text(), "CONFIG REWRITE was called by its new name"
    moved = f"start localhost {watch.primary.port} 127.0.0.1 {new.port}"
    told = [f"{NAME} leader {moved}", f"{NAME} observer {moved}"]
    wait_until(lambda: sorted(moves.read_text().splitlines()) == told, 20, "both have run the script")
    assert f"+sdown master {NAME} localhost {watch.primary.port}" in notes.read_text()
    assert ours.call("SENTINEL", "PENDING-SCRIPTS") == []
