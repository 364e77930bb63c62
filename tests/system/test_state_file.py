"""nodes.conf and its lock's file, in the hands of real processes and of operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = [pytest.mark.system]


def _file(server: Server) -> Path:
    return server.directory / "nodes.conf"


def test_nodes_conf_follows_what_was_answered_and_kill_9_loses_none_of_it(harness: Harness) -> None:
    server = harness.server()
    assert server.call("CLUSTER", "SET-CONFIG-EPOCH", 7) == "OK"
    server.call("CLUSTER", "ADDSLOTS", 1, 2, 3)
    server.kill()
    server.start()
    assert "myself,master - 0 0 7 connected 1-3" in server.text("CLUSTER", "NODES")
    wait_until(lambda: " 1-3\n" in _file(server).read_text(), 10, "nodes.conf has it")
    server.call("CLUSTER", "ADDSLOTS", 5)
    assert server.call("CLUSTER", "SAVECONFIG") == "OK"
    assert " 1-3 5\n" in _file(server).read_text()
    server.call("CLUSTER", "ADDSLOTS", 8)
    assert server.terminate() == 0
    assert " 1-3 5 8\n" in _file(server).read_text()


def test_a_backup_that_is_put_back_does_not_take_back_a_vote(harness: Harness) -> None:
    server = harness.server()
    server.call("CLUSTER", "ADDSLOTS", 1)
    server.call("CLUSTER", "SAVECONFIG")
    backup = _file(server).read_text()
    server.call("CLUSTER", "SET-CONFIG-EPOCH", 9)
    server.call("CLUSTER", "ADDSLOTS", 2)
    server.terminate()
    _file(server).write_text(backup)
    server.start()
    assert server.text("CLUSTER", "NODES").strip().endswith(" 1")
    assert "cluster_current_epoch:9" in server.text("CLUSTER", "INFO")


def test_a_file_that_cannot_be_written_is_told_in_the_log_and_loses_nothing(harness: Harness) -> None:
    server = harness.server()
    in_the_way = server.directory / "nodes.conf.tmp"
    in_the_way.mkdir()
    server.call("CLUSTER", "ADDSLOTS", 1)
    wait_until(lambda: "Can't update cluster config file" in server.log(), 10, "the log says so")
    with pytest.raises(ReplyError, match="error saving the cluster node config: Is a directory"):
        server.call("CLUSTER", "SAVECONFIG")
    server.call("CLUSTER", "ADDSLOTS", 2)
    assert server.log().count("Can't update cluster config file") == 1
    server.kill()
    server.start()
    assert server.text("CLUSTER", "NODES").strip().endswith(" 1-2")
    in_the_way.rmdir()
    wait_until(lambda: " 1-2\n" in _file(server).read_text(), 10, "nodes.conf follows")


def test_an_empty_nodes_conf_makes_no_new_node_of_one_that_has_had_a_state(harness: Harness) -> None:
    server = harness.server()
    server.terminate()
    _file(server).write_bytes(b"")
    server.start(wait=False)
    assert server.wait_end() != 0
    assert "nodes.conf is empty, but this node has had a state" in server.log()
