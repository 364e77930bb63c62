"""What a script does is one change to everybody else: replicas, watchers, waiting clients, subscribers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import InProcessNode
from tests.persistence.aof_node import Node, again
from tests.scripting.patient import patient_node

MULTI, EXEC = [b"MULTI"], [b"EXEC"]


@pytest.fixture
def node() -> InProcessNode:
    return patient_node()


def test_several_effects_are_one_transaction(node: InProcessNode) -> None:
    node.client("EVAL", "redis.call('set', KEYS[1], 1) redis.call('get', KEYS[1]) redis.call('incr', KEYS[1])", 1, "k")
    assert node.effects == [MULTI, [b"set", b"k", b"1"], [b"incr", b"k"], EXEC]


def test_one_effect_stands_alone_and_none_leaves_no_trace(node: InProcessNode) -> None:
    node.client("EVAL", "return redis.call('set', KEYS[1], 1)", 1, "k")
    node.client("EVAL", "return redis.call('get', KEYS[1])", 1, "k")
    node.client("EVAL", "return redis.call('del', 'nosuch')", 0)
    assert node.effects == [[b"set", b"k", b"1"]]


def test_what_was_done_before_an_error_stays_done(node: InProcessNode) -> None:
    node.client.error("EVAL", "redis.call('set', 'a', 1) redis.call('set', 'b', 1) error('so')", 0)
    assert node.effects == [MULTI, [b"set", b"a", b"1"], [b"set", b"b", b"1"], EXEC]
    assert node.client("MGET", "a", "b") == [b"1", b"1"]


def test_chance_is_told_as_what_came_of_it(node: InProcessNode) -> None:
    node.client("SADD", "s", *range(50))
    node.effects.clear()
    taken = node.client("EVAL", "return redis.call('spop', 's')", 0)
    assert node.effects == [[b"SREM", b"s", taken]]


def test_time_stands_still(node: InProcessNode) -> None:
    node.client("SET", "k", "v", "PX", 10)
    script = "local there = redis.call('exists', 'k') return there .. redis.call('pttl', 'k')"
    assert node.client("EVAL", script, 0) == b"110"


def test_a_script_within_a_transaction_is_part_of_it(node: InProcessNode) -> None:
    client = node.client
    client("MULTI")
    client("SET", "a", 1)
    client("EVAL", "redis.call('set', 'b', 2) redis.call('set', 'c', 3) return 'done'", 0)
    client("SET", "d", 4)
    assert client("EXEC") == [b"OK", b"done", b"OK"]
    assert node.effects == [
        MULTI, [b"SET", b"a", b"1"], [b"set", b"b", b"2"], [b"set", b"c", b"3"], [b"SET", b"d", b"4"], EXEC,
    ]  # fmt: skip


def test_replication_can_be_turned_off(node: InProcessNode) -> None:
    script = """
        redis.call('set', 'a', 1)
        redis.set_repl(redis.REPL_NONE) redis.call('set', 'b', 1)
        redis.set_repl(redis.REPL_ALL) redis.call('set', 'c', 1)
    """
    node.client("EVAL", script, 0)
    assert node.effects == [MULTI, [b"set", b"a", b"1"], [b"set", b"c", b"1"], EXEC]
    node.client("EVAL", "redis.call('set', 'd', 1)", 0)
    assert node.effects[-1] == [b"set", b"d", b"1"], "it is all again for the next script"


def test_a_watched_key_that_a_script_changes_fails_the_transaction(node: InProcessNode) -> None:
    other = node.connect()
    node.client("WATCH", "k")
    other("EVAL", "redis.call('set', 'k', 1)", 0)
    node.client("MULTI")
    assert node.client("EXEC") is None


def test_who_waits_is_served_after_the_script(node: InProcessNode) -> None:
    waiting = node.connect()
    assert waiting.raw("BLPOP", "q", 0) == b""
    script = "redis.call('rpush', 'q', 'a', 'b') return redis.call('lpop', 'q')"
    assert node.client("EVAL", script, 0) == b"a"
    assert waiting.decoded(waiting.received()) == [b"q", b"b"]


def test_nobody_waits_within_a_script(node: InProcessNode) -> None:
    assert node.client("EVAL", "return redis.call('blpop', 'q', 0)", 0) is None
    assert node.client("EVAL", "redis.call('rpush', 'q', 'a') return redis.call('blpop', 'q', 0)", 0) == [b"q", b"a"]


def test_select_is_the_scripts_own(node: InProcessNode) -> None:
    node.client("EVAL", "redis.call('select', 3) redis.call('set', 'k', 'three')", 0)
    assert node.client("GET", "k") is None
    assert node.journal[-1] == (3, [b"set", b"k", b"three"])


def test_read_only_forms_do_not_write(node: InProcessNode) -> None:
    wrong = "Write commands are not allowed from read-only scripts."
    assert wrong in node.client.error("EVAL_RO", "return redis.call('set', 'k', 1)", 0)
    assert wrong in node.client.error("EVAL", "#!lua flags=no-writes\nreturn redis.call('set', 'k', 1)", 0)
    sha = node.client("SCRIPT", "LOAD", "return redis.call('set', 'k', 1)")
    assert wrong in node.client.error("EVALSHA_RO", sha, 0)
    assert node.client("GET", "k") is None


def test_the_cache(node: InProcessNode) -> None:
    client = node.client
    sha = client("SCRIPT", "LOAD", "return 'cached'")
    assert client("SCRIPT", "EXISTS", sha, "0" * 40, sha.upper()) == [1, 0, 1]
    assert client("EVALSHA", sha.upper(), 0) == b"cached"
    assert client("SCRIPT", "FLUSH") == b"OK"
    assert client.error("EVALSHA", sha, 0) == "NOSCRIPT No matching script. Please use EVAL."
    assert client("EVAL", "return 'cached'", 0) == b"cached"
    assert client("EVALSHA", sha, 0) == b"cached"
    client("FLUSHALL")
    assert client("EVALSHA", sha, 0) == b"cached"
    assert client("SCRIPT", "HELP")[0].startswith(b"SCRIPT <subcommand>")
    assert client("SCRIPT", "DEBUG", "NO") == b"OK"


def test_in_a_cluster_keys_must_be_of_one_slot_and_here() -> None:
    node = patient_node(("cluster-enabled", "yes"))
    client = node.client
    assert client("EVAL", "return redis.call('set', KEYS[1], 1)", 1, "a") == b"OK"
    assert client("EVAL", "redis.call('set', 'a', 1) return redis.call('set', 'b', 1)", 0) == b"OK"
    crossing = "Script attempted to access keys that do not hash to the same slot"
    both = "redis.call('set', 'a', 1) return redis.call('set', 'b', 1)"
    assert crossing in client.error("EVAL", f"#!lua\n{both}", 0)
    assert client("EVAL", f"#!lua flags=allow-cross-slot-keys\n{both}", 0) == b"OK"
    assert crossing in client.error("EVAL", "return redis.call('mset', 'a', 1, 'b', 1)", 0)
    assert client.error("EVAL", "return 1", 2, "a", "b").startswith("CROSSSLOT")
    refused = "Can not run script on cluster, 'no-cluster' flag is set."
    assert refused in client.error("EVAL", "#!lua flags=no-cluster\nreturn 1", 0)


def test_a_monitor_sees_the_script_and_then_what_it_calls(node: InProcessNode) -> None:
    monitor = node.connect()
    monitor("MONITOR")
    node.client("EVAL", "return redis.call('set', 'k', 1)", 0)
    lines = monitor.received().splitlines()
    assert [b'"EVAL"' in lines[0], b' lua] "set" "k" "1"' in lines[1], len(lines)] == [True, True, 2]


def test_a_pause_of_writes_holds_scripts_that_might_write(node: InProcessNode) -> None:
    node.client("CLIENT", "PAUSE", 10_000, "WRITE")
    assert node.client("EVAL_RO", "return 1", 0) == 1
    refused = "May-replicate commands are not allowed in pause write."
    assert refused in node.client.error("EVAL_RO", "return redis.call('publish', 'c', 'm')", 0)
    other = node.connect()
    assert other.raw("EVAL", "return redis.call('set', 'k', 1)", 0) == b""
    node.client("CLIENT", "UNPAUSE")
    node.end_batch()
    assert other.received() == b"+OK\r\n"


def test_effects_may_be_for_the_file_only_or_for_replicas_only(tmp_path: Path) -> None:
    node = Node(tmp_path)
    told: list[bytes] = []
    node.server.replication.need_backlog()
    node.server.replication.stream = told.append  # type: ignore[method-assign, assignment]
    script = """
        redis.set_repl(redis.REPL_AOF) redis.call('set', 'a', 1) redis.call('incr', 'a')
        redis.set_repl(redis.REPL_NONE) redis.call('set', 'b', 1)
        redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'c', 1) redis.call('publish', 'ch', 'm')
        redis.set_repl(redis.REPL_ALL) redis.call('set', 'd', 1)
    """
    node("EVAL", script, 0)
    node("EVAL", "redis.set_repl(redis.REPL_AOF) redis.call('set', 'e', 1) redis.call('set', 'f', 1)", 0)
    node("SET", "g", 1)
    in_stream, in_file = b"".join(told), node.written()
    assert [name for name in b"abcdefg" if b"$1\r\n%c\r\n" % name in in_stream] == list(b"cdg")
    assert [name for name in b"abcdefg" if b"$1\r\n%c\r\n" % name in in_file] == list(b"adefg")
    assert (in_stream.count(b"MULTI"), in_stream.count(b"EXEC"), in_stream.count(b"PUBLISH")) == (1, 1, 1)
    assert (in_file.count(b"MULTI"), in_file.count(b"EXEC"), in_file.count(b"PUBLISH")) == (2, 2, 0)
    other = again(node, tmp_path)
    assert other("MGET", *"abcdefg") == [b"2", None, None, b"1", b"1", b"1", b"1"]
