"""Processes that write snapshots: none outlives what it is for, and none takes the place of a newer one.

A child is stopped in the middle of its work, so that it cannot be through before the test has done its part.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
KEYS = 100_000
SAVING = {"cluster-enabled": "no", "save": "3600 1000000"}


def child_of(server: Server) -> int:
    """Its one child, stopped while it writes."""
    wait_until(lambda: temporary_files(server), DEADLINE_S, "a child has begun to write")
    [pid] = map(int, Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _state(pid) == "T", DEADLINE_S, f"the child is stopped, in the middle of it: {_state(pid)}")
    return pid


def _state(pid: int) -> str:
    """As ps shows it; '' for a process that is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def wait_gone(pid: int) -> None:
    wait_until(lambda: _state(pid) in ("", "Z"), DEADLINE_S, "the child is gone")


def temporary_files(server: Server) -> list[str]:
    return [path.name for path in server.directory.iterdir() if path.name.startswith("temp-")]


def saving(harness: Harness, **directives: str) -> tuple[Server, int]:
    """A server in the middle of a BGSAVE, and the process that does it."""
    server = harness.server({**SAVING, **directives})
    server.call("DEBUG", "POPULATE", KEYS)
    server.call("BGSAVE")
    return server, child_of(server)


def in_progress(server: Server) -> str:
    return server.info("persistence")["rdb_bgsave_in_progress"]


def test_after_flushall_no_file_brings_the_keys_back(harness: Harness) -> None:
    server, child = saving(harness)
    server.call("FLUSHALL")
    wait_gone(child)
    found = server.info("persistence")
    assert found["rdb_bgsave_in_progress"] == "0"
    assert found["rdb_last_bgsave_status"] == "ok", "it was ended, it did not fail"
    assert found["rdb_changes_since_last_save"] == "0", "FLUSHALL saves where there are save points"
    server.kill()
    server.start()
    assert server.call("DBSIZE") == 0
    assert not temporary_files(server)


def test_without_save_points_flushall_writes_nothing(harness: Harness) -> None:
    server, child = saving(harness, save="")
    server.call("FLUSHALL")
    wait_gone(child)
    assert not (server.directory / "dump.rdb").exists()


def test_flushdb_lets_it_go_on(harness: Harness) -> None:
    server, child = saving(harness)
    server.call("FLUSHDB")
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: in_progress(server) == "0", DEADLINE_S, "the save is over")
    server.kill()
    server.start()
    assert server.call("DBSIZE") == KEYS


def test_save_is_refused_meanwhile(harness: Harness) -> None:
    server, child = saving(harness)
    for command in ("SAVE", "BGSAVE"):
        with pytest.raises(ReplyError, match="Background save already in progress"):
            server.call(command)
    assert _state(child) == "T"


def test_the_last_save_is_the_one_that_stays(harness: Harness) -> None:
    server, child = saving(harness)
    server.call("FLUSHDB")
    server.call("SET", "k", "v")
    assert server.terminate() == 0
    wait_gone(child)
    assert not temporary_files(server)
    server.start()
    assert (server.call("DBSIZE"), server.call("GET", "k")) == (1, "v")


def test_a_full_synchronisation_ends_the_save_of_what_it_replaces(harness: Harness) -> None:
    replica, child = saving(harness)
    primary = harness.server(SAVING)
    replica.call("REPLICAOF", primary.host, primary.port)
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up", DEADLINE_S, "the link is up")
    wait_gone(child)
    assert in_progress(replica) == "0"
    assert not temporary_files(replica)


def test_a_node_that_was_killed_starts_again_at_once(harness: Harness) -> None:
    """Neither the lock on nodes.conf nor the ports are held by what it left."""
    server, child = saving(harness, **{"cluster-enabled": "yes"})
    server.kill()
    wait_gone(child)
    server.start()
    assert server.call("PING") == "PONG"


@pytest.mark.parametrize("how", ["kill", "terminate", "the replica goes"])
def test_the_child_of_a_full_synchronisation_goes_with_it(harness: Harness, how: str) -> None:
    primary, replica = harness.server({**SAVING, "repl-diskless-sync": "no"}), harness.server(SAVING)
    primary.call("DEBUG", "POPULATE", KEYS)
    replica.call("REPLICAOF", primary.host, primary.port)
    child = child_of(primary)
    replica.kill()
    if how == "kill":
        primary.kill()
    elif how == "terminate":
        assert primary.terminate() == 0
    wait_gone(child)
    if how != "kill":
        wait_until(lambda: not temporary_files(primary), DEADLINE_S, "its files are gone")
