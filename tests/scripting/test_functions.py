"""Functions: what a library keeps, what it may, what of it replicas are told; how a slow one is ended."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from cluster.scripting import runner
from tests.commands.in_process import Argument, Client, InProcessNode
from tests.commands.whole import WholeNode
from tests.keyspace.test_memory import limited
from tests.persistence.aof_node import Node, again, digest
from tests.scripting.patient import patient_node
from tests.scripting.test_pace import run_until
from tests.scripting.test_sandbox import READ_ONLY

MULTI, EXEC = [b"MULTI"], [b"EXEC"]
BUSY_WITH_FUNCTION = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
BUSY_WITH_SCRIPT = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
COUNTING = """#!lua name=counting
local n = 0
redis.register_function('count', function() n = n + 1 return n end)
redis.register_function('forget', function() n = 0 end)
redis.register_function{function_name='look', flags={'no-writes'}, callback=function() return n end}"""


def library(name: str, body: str, function: str = "f", *flags: str) -> str:
    """A library of one function."""
    words = ", ".join(f"'{flag}'" for flag in flags)
    return (
        f"#!lua name={name}\nredis.register_function{{function_name='{function}', flags={{{words}}}, "
        f"callback=function(keys, args) {body} end}}"
    )


def names(client: Client | InProcessNode) -> list[bytes]:
    """The libraries there are."""
    return sorted(entry[1] for entry in client("FUNCTION", "LIST"))


@pytest.fixture
def node() -> InProcessNode:
    return patient_node()


# -- what there is -------------------------------------------------------------------------------------------------


def test_a_library_keeps_its_variables_between_calls(node: InProcessNode) -> None:
    assert node.client("FUNCTION", "LOAD", COUNTING) == b"counting"
    assert [node.client("FCALL", "count", 0) for _ in range(3)] == [1, 2, 3]
    assert node.client("FCALL_RO", "look", 0) == 3
    node.client("FCALL", "forget", 0)
    assert node.client("FCALL", "COUNT", 0) == 1, "in any case"
    assert node.client("FUNCTION", "LOAD", "REPLACE", COUNTING) == b"counting"
    assert node.client("FCALL_RO", "look", 0) == 0


def test_flushing_one_kind_leaves_the_other(node: InProcessNode) -> None:
    client = node.client
    client("FUNCTION", "LOAD", COUNTING)
    sha = client("SCRIPT", "LOAD", "return 'script'")
    client("FCALL", "count", 0)
    assert client("SCRIPT", "FLUSH") == b"OK"
    assert client("FLUSHALL") == b"OK"
    assert client("FCALL", "count", 0) == 2
    sha = client("SCRIPT", "LOAD", "return 'script'")
    assert client("FUNCTION", "FLUSH") == b"OK"
    assert client("EVALSHA", sha, 0) == b"script"
    assert client.error("FCALL", "count", 0) == "ERR Function not found"


@pytest.mark.parametrize("code", READ_ONLY)
def test_what_functions_share_is_read_only(node: InProcessNode, code: str) -> None:
    if "KEYS" in code:
        code = "getmetatable(_G).x = 1"
    node.client("FUNCTION", "LOAD", library("l", code))
    assert "Attempt to modify a readonly table" in node.client.error("FCALL", "f", 0)
    check = "return tostring(rawget(_G, 'x')) .. tostring(string.x) .. type(redis.call) .. ('abc'):len()"
    node.client("FUNCTION", "LOAD", library("m", check, "check"))
    assert node.client("FCALL", "check", 0) == b"nilnilfunction3"


@pytest.mark.parametrize("code", [
    "x = 1", "redis.x = 1", "string = nil", "local s = string", "local p = pcall", "redis.call('set', 'k', 1)",
    "redis.register_function('f', function() end) local x = nil + 1",
])  # fmt: skip
def test_a_library_that_fails_leaves_nothing(node: InProcessNode, code: str) -> None:
    node.client("FUNCTION", "LOAD", COUNTING)
    node.client("FCALL", "count", 0)
    wrong = node.client.error("FUNCTION", "LOAD", "REPLACE", f"#!lua name=counting\n{code}")
    assert wrong.startswith("ERR Error registering functions: ERR user_function:2: ")
    assert node.client("FCALL", "count", 0) == 2
    assert node.client.error("FCALL", "f", 0) == "ERR Function not found"
    assert node.effects == [[b"FUNCTION", b"LOAD", COUNTING.encode()]]


def test_a_library_that_does_not_come_to_an_end(node: InProcessNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOAD_NS", 20_000_000)
    wrong = node.client.error("FUNCTION", "LOAD", "#!lua name=l\nwhile true do end")
    assert wrong == "ERR Error registering functions: ERR FUNCTION LOAD timeout"
    assert names(node) == []
    node.client("FUNCTION", "LOAD", COUNTING)
    assert node.client("FCALL", "count", 0) == 1


def test_a_restore_is_all_or_nothing(node: InProcessNode) -> None:
    client = node.client
    client("FUNCTION", "LOAD", library("a", "return 1", "fa"))
    client("FUNCTION", "LOAD", library("b", "return 1", "fb"))
    dump = client("FUNCTION", "DUMP")
    client("FUNCTION", "FLUSH")
    client("FUNCTION", "LOAD", library("b", "return 2", "fb"))
    client("FUNCTION", "LOAD", library("c", "return 2", "fc"))
    node.effects.clear()
    assert client.error("FUNCTION", "RESTORE", dump) == "ERR Library b already exists"
    assert (names(node), client("FCALL", "fb", 0), node.effects) == ([b"b", b"c"], 2, [])
    assert client("FUNCTION", "RESTORE", dump, "REPLACE") == b"OK"
    assert (names(node), client("FCALL", "fb", 0)) == ([b"a", b"b", b"c"], 1)
    assert client("FUNCTION", "RESTORE", dump, "FLUSH") == b"OK"
    assert names(node) == [b"a", b"b"]
    client("FUNCTION", "FLUSH")
    client("FUNCTION", "LOAD", library("d", "return 3", "FA"))
    assert client.error("FUNCTION", "RESTORE", dump, "REPLACE") == "ERR Function fa already exists"
    assert (names(node), client("FCALL", "fa", 0)) == ([b"d"], 3)
    assert client.error("FUNCTION", "RESTORE", dump[:-1]) == "ERR DUMP payload version or checksum are wrong"


def test_info_counts_them(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)

    def shown() -> dict[str, int]:
        lines = node("INFO", "memory").decode().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return {name: int(fields[name]) for name in fields if "functions" in name or name == "number_of_libraries"}

    assert set(shown().values()) == {0}
    node("FUNCTION", "LOAD", COUNTING)
    counted = shown()
    assert (counted["number_of_functions"], counted["number_of_libraries"]) == (3, 1)
    assert counted["used_memory_functions"] > len(COUNTING)
    assert counted["used_memory_vm_functions"] > 10_000
    assert node("FUNCTION", "STATS")[3] == [b"LUA", [b"libraries_count", 1, b"functions_count", 3]]
    assert node("FUNCTION", "HELP")[0].startswith(b"FUNCTION <subcommand>")


# -- effects -------------------------------------------------------------------------------------------------------


def test_replicas_are_told_of_libraries_as_they_were_sent(node: InProcessNode) -> None:
    client = node.client
    client("FUNCTION", "LOAD", COUNTING)
    dump = client("FUNCTION", "DUMP")
    client("function", "delete", "counting")
    client("FUNCTION", "RESTORE", dump, "replace")
    client("FUNCTION", "FLUSH", "ASYNC")
    client.error("FUNCTION", "DELETE", "counting")
    assert node.effects == [
        [b"FUNCTION", b"LOAD", COUNTING.encode()], [b"function", b"delete", b"counting"],
        [b"FUNCTION", b"RESTORE", dump, b"replace"], [b"FUNCTION", b"FLUSH", b"ASYNC"],
    ]  # fmt: skip


def test_what_a_function_does_is_one_transaction(node: InProcessNode) -> None:
    body = "redis.call('set', keys[1], args[1]) return redis.call('incr', keys[1])"
    node.client("FUNCTION", "LOAD", library("l", body))
    node.effects.clear()
    assert node.client("FCALL", "f", 1, "k", 7) == 8
    assert node.effects == [MULTI, [b"set", b"k", b"7"], [b"incr", b"k"], EXEC]


def test_libraries_within_a_transaction(node: InProcessNode) -> None:
    client = node.client
    for line in (["MULTI"], ["FUNCTION", "LOAD", COUNTING], ["FCALL", "count", 0], ["FUNCTION", "DELETE", "counting"]):
        client(*line)
    assert client("EXEC") == [b"counting", 1, b"OK"]
    assert names(node) == []


# -- rules ---------------------------------------------------------------------------------------------------------


WRITING = library("w", "return redis.call('set', 'k', 1)", "w")
READING = library("r", "return redis.call('get', 'k')", "r", "no-writes")


def held(client: Client, *arguments: Argument) -> bool:
    return client.raw(*arguments) == b""


def test_a_pause_of_writes_holds_those_that_may_write(node: InProcessNode) -> None:
    for code in (WRITING, READING):
        node.client("FUNCTION", "LOAD", code)
    node.client("CLIENT", "PAUSE", 10_000, "WRITE")
    assert node.client("FCALL", "r", 0) is None
    assert node.client("FCALL_RO", "r", 0) is None
    waiting, loading, queueing = node.connect(), node.connect(), node.connect()
    assert held(waiting, "FCALL", "w", 0)
    assert held(loading, "FUNCTION", "DELETE", "r")
    assert queueing("MULTI") == b"OK"
    assert held(queueing, "FCALL", "w", 0)
    assert node.client("GET", "k") is None
    node.client("CLIENT", "UNPAUSE")
    node.end_batch()
    assert (waiting.received(), loading.received(), queueing.received()) == (b"+OK\r\n", b"+OK\r\n", b"+QUEUED\r\n")


def test_a_script_that_says_that_it_does_not_write_need_not_wait(node: InProcessNode) -> None:
    node.client("CLIENT", "PAUSE", 10_000, "WRITE")
    sha = node.client("EVAL", "#!lua flags=no-writes\nreturn redis.call('get', 'k')", 0)
    assert sha is None
    assert held(node.connect(), "EVAL", "#!lua\nreturn redis.call('get', 'k')", 0)


def test_a_replica_runs_those_that_do_not_write(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    for code in (WRITING, READING):
        node("FUNCTION", "LOAD", code)
    node("REPLICAOF", "127.0.0.1", 1)
    refused = "READONLY You can't write against a read only replica."
    assert node("FCALL", "r", 0) is None
    assert node.error("FCALL", "w", 0) == refused
    assert node.error("FUNCTION", "DELETE", "w") == refused
    node("MULTI")
    assert node.error("FCALL", "w", 0) == refused
    assert node.error("EXEC").startswith("EXECABORT")
    node("CONFIG", "SET", "replica-serve-stale-data", "no")
    node.server.replication.link_changed()
    assert node.error("FCALL", "r", 0).startswith("MASTERDOWN")


def test_without_memory() -> None:
    node = limited("noeviction")
    for code in (WRITING, READING, library("o", "return redis.call('set', 'k', 2)", "o", "allow-oom")):
        node.client("FUNCTION", "LOAD", code)
    while not node.server.memory.is_over:
        node.client("RPUSH", "list", *["x" * 10_000] * 100)
    refused = "OOM command not allowed when used memory > 'maxmemory'."
    assert node.client.error("FCALL", "w", 0) == refused
    assert node.client.error("FUNCTION", "LOAD", COUNTING) == refused
    assert node.client("FCALL", "r", 0) is None
    assert node.client("FCALL", "o", 0) == b"OK"


def test_in_a_cluster() -> None:
    node = patient_node(("cluster-enabled", "yes"))
    both = "redis.call('set', 'a', 1) return redis.call('set', 'b', 1)"
    for code in (
        library("l", both), library("c", both, "crossing", "allow-cross-slot-keys"),
        library("n", "return 1", "alone", "no-cluster"),
    ):
        node.client("FUNCTION", "LOAD", code)
    crossing = "keys that do not hash to the same slot script: f, on @user_function:2."
    assert crossing in node.client.error("FCALL", "f", 0)
    assert node.client("FCALL", "crossing", 0) == b"OK"
    assert node.client.error("FCALL", "crossing", 2, "a", "b").startswith("CROSSSLOT")
    assert node.client.error("FCALL", "alone", 0) == "ERR Can not run script on cluster, 'no-cluster' flag is set."


# -- slow ones -----------------------------------------------------------------------------------------------------


def test_a_slow_function_is_ended_as_such() -> None:
    node = InProcessNode(("busy-reply-threshold", "30"))
    client, looping = node.client, node.connect()
    client("FUNCTION", "LOAD", library("l", "while true do pcall(redis.call, 'get', 'k') end"))
    assert held(looping, "fcall", "f", 1, "k", "v")
    run_until(node, busy=True)
    assert client.error("GET", "k") == BUSY_WITH_FUNCTION
    assert client.error("SCRIPT", "KILL") == BUSY_WITH_FUNCTION
    assert client.error("FUNCTION", "LIST") == BUSY_WITH_FUNCTION
    running = client("FUNCTION", "STATS")[1]
    assert running[:5] == [b"name", b"f", b"command", [b"fcall", b"f", b"1", b"k", b"v"], b"duration_ms"]
    assert running[5] >= 30
    assert client("FUNCTION", "KILL") == b"OK"
    run_until(node, busy=False)
    assert looping.received() == b"-ERR Script killed by user with SCRIPT KILL... script: f, on @user_function:2.\r\n"
    assert client("FUNCTION", "STATS")[1] is None
    assert client.error("FUNCTION", "KILL") == "NOTBUSY No scripts in execution right now."


def test_a_slow_script_is_no_function() -> None:
    node = InProcessNode(("busy-reply-threshold", "30"))
    assert held(node.connect(), "EVAL", "while true do end", 0)
    run_until(node, busy=True)
    assert node.client.error("FUNCTION", "KILL") == BUSY_WITH_SCRIPT
    assert node.client.error("FUNCTION", "STATS") == BUSY_WITH_SCRIPT
    assert node.client("SCRIPT", "KILL") == b"OK"
    run_until(node, busy=False)


# -- files ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_has_them(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    node("FUNCTION", "LOAD", COUNTING)
    node("SET", "k", "v")
    assert node("SAVE") == b"OK"
    other = WholeNode(tmp_path)
    other.server.persistence.load()
    assert (other("FCALL", "count", 0), other("GET", "k")) == (1, b"v")
    node("FUNCTION", "LOAD", WRITING)
    assert node("DEBUG", "RELOAD") == b"OK"
    assert names(node) == [b"counting", b"w"]
    assert node.error("DEBUG", "RELOAD", "NOFLUSH").startswith("ERR Error trying to load the RDB dump")


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_an_append_only_file_has_them(tmp_path: Path, preamble: str) -> None:
    node = Node(tmp_path, ("aof-use-rdb-preamble", preamble))
    for line in (
        ("FUNCTION", "LOAD", COUNTING), ("FUNCTION", "LOAD", WRITING), ("FUNCTION", "DELETE", "counting"),
        ("FCALL", "w", 0),
    ):
        node(*line)
    assert b"FUNCTION" in node.written()
    other = again(node, tmp_path)
    assert (names(other), digest(other)) == ([b"w"], digest(node))
    assert other("BGREWRITEAOF")
    while other.aof.rewrite.is_running:
        other.tick_aof(10)
    assert b"FUNCTION" not in other.written()
    third = again(other, tmp_path)
    assert (names(third), third("FCALL", "w", 0)) == ([b"w"], b"OK")
    assert third("DEBUG", "LOADAOF") == b"OK"
    assert names(third) == [b"w"]


def test_a_lua_state_that_is_given_up_is_gone(node: InProcessNode) -> None:
    """Nobody collects a cycle that leads through Lua: each would stay for good."""
    assert node("EVAL", "return redis.call('PING')", 0) == b"PONG"
    state = weakref.ref(node.server.scripts.runner.sandbox)
    node("SCRIPT", "FLUSH")
    gc.collect()
    assert state() is None


def test_a_node_that_ran_scripts_and_functions_can_be_collected() -> None:
    node = InProcessNode()
    assert node("EVAL", "return redis.call('PING')", 0) == b"PONG"
    node("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return redis.call('PING') end)")
    assert node("FCALL", "f", 0) == b"PONG"
    server = weakref.ref(node.server)
    del node
    gc.collect()
    assert server() is None
