"""Lists, hashes, sets and sorted sets: what the comparison with redis-server cannot show, effects, dice and shapes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.commands.in_process import InProcessNode


def test_random_removals_travel_by_name(node: InProcessNode) -> None:
    node("SADD", "set", "a", "b", "c", "d")
    [taken] = node("SPOP", "set", 1)
    assert node.journaled("SISMEMBER", "set", taken) == []
    [effect] = node.journaled("SPOP", "set")
    assert effect[:2] == [b"SREM", b"set"]
    assert node("SMISMEMBER", "set", taken, effect[2]) == [0, 0]
    assert node.journaled("SPOP", "set", 5) == [[b"DEL", b"set"]]
    assert node("EXISTS", "set") == 0


def test_sums_of_floats_travel_as_their_result(node: InProcessNode) -> None:
    assert node.journaled("HINCRBYFLOAT", "h", "f", "0.1") == [[b"HSET", b"h", b"f", b"0.1"]]


def test_pops_from_several_travel_as_plain_pops(node: InProcessNode) -> None:
    node("RPUSH", "list", "a", "b", "c")
    node("ZADD", "set", 1, "a", 2, "b")
    assert node.journaled("LMPOP", 2, "none", "list", "LEFT", "COUNT", 2) == [[b"LPOP", b"list", b"2"]]
    assert node.journaled("ZMPOP", 1, "set", "MIN", "COUNT", 9) == [[b"ZPOPMIN", b"set", b"2"]]


def test_what_changed_nothing_travels_not(node: InProcessNode) -> None:
    node("ZADD", "z", 1, "a")
    node("SADD", "s", "a")
    for command in (
        ("ZADD", "z", 1, "a"), ("ZADD", "z", "GT", 0, "a"), ("SADD", "s", "a"), ("HDEL", "none", "f"),
        ("SREM", "s", "x"), ("LREM", "none", 0, "x"), ("LPUSHX", "none", "x"), ("SMOVE", "s", "t", "x"),
        ("ZREMRANGEBYSCORE", "z", 5, 9), ("RPOPLPUSH", "none", "s2"), ("ZINTERSTORE", "none", 1, "none2"),
    ):  # fmt: skip
        assert node.journaled(*command) == []


def test_the_last_element_takes_its_key_along(node: InProcessNode) -> None:
    for fill, take in (
        (("RPUSH", "k", "a"), ("LPOP", "k")), (("RPUSH", "k", "a"), ("LREM", "k", 0, "a")),
        (("RPUSH", "k", "a"), ("LTRIM", "k", 1, 0)), (("HSET", "k", "f", 1), ("HDEL", "k", "f")),
        (("SADD", "k", "a"), ("SREM", "k", "a")), (("SADD", "k", "a"), ("SMOVE", "k", "other", "a")),
        (("ZADD", "k", 1, "a"), ("ZREM", "k", "a")), (("ZADD", "k", 1, "a"), ("ZREMRANGEBYRANK", "k", 0, -1)),
        (("ZADD", "k", 1, "a"), ("ZREMRANGEBYLEX", "k", "-", "+")), (("ZADD", "k", 1, "a"), ("ZPOPMAX", "k")),
    ):  # fmt: skip
        node(*fill)
        node("EXPIRE", "k", 100)
        node(*take)
        assert node("TYPE", "k") == b"none"
        node(*fill)
        assert node("TTL", "k") == -1
        node("DEL", "k")


def test_random_members_are_drawn_evenly(node: InProcessNode) -> None:
    node("SADD", "set", *range(5))
    node("HSET", "hash", *(part for number in range(5) for part in (number, number)))
    node("ZADD", "sorted", *(part for number in range(5) for part in (number, number)))
    for command in ("SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"):
        name = {"S": "set", "H": "hash", "Z": "sorted"}[command[0]]
        seen = Counter(node(command, name) for _ in range(500))
        assert len(seen) == 5
        assert max(seen.values()) < 2 * min(seen.values())
        assert len(set(node(command, name, 3))) == 3
        assert len(node(command, name, -20)) == 20


def test_draws_from_large_collections_follow_their_changes(node: InProcessNode) -> None:
    for add, remove, draw, width in (
        ("SADD", "SREM", "SRANDMEMBER", 1), ("HSET", "HDEL", "HRANDFIELD", 2), ("ZADD", "ZREM", "ZRANDMEMBER", 2),
    ):  # fmt: skip
        node(add, draw, *(part for number in range(300) for part in [number] * width))
        assert int(node(draw, draw)) < 300
        node(remove, draw, *range(200))
        node(add, draw, *(part for number in range(250, 350) for part in [number] * width))
        seen = Counter(int(node(draw, draw)) for _ in range(5000))
        assert sorted(seen) == list(range(200, 350))
        assert max(seen.values()) < 4 * min(seen.values())
        assert sorted(map(int, node(draw, draw, 1000))) == list(range(200, 350))
        assert len({int(one) for one in node(draw, draw, 140)}) == 140
        assert {int(one) for one in node(draw, draw, -1000)} <= set(range(200, 350))


def test_pairs_nest_in_resp3_only(node: InProcessNode) -> None:
    node("ZADD", "z", 1.5, "a", 2, "b")
    node("HSET", "h", "f", "v")
    assert node("ZRANGE", "z", 0, -1, "WITHSCORES") == [b"a", b"1.5", b"b", b"2"]
    assert node("HRANDFIELD", "h", 1, "WITHVALUES") == [b"f", b"v"]
    assert node("HGETALL", "h") == [b"f", b"v"]
    node("HELLO", 3)
    assert node("ZRANGE", "z", 0, -1, "WITHSCORES") == [[b"a", 1.5], [b"b", 2.0]]
    assert node("ZPOPMIN", "z") == [b"a", 1.5]
    assert node("ZPOPMIN", "z", 1) == [[b"b", 2.0]]
    assert node("HRANDFIELD", "h", 1, "WITHVALUES") == [[b"f", b"v"]]
    assert node("HGETALL", "h") == {b"f": b"v"}


def test_a_rank_with_its_score(node: InProcessNode) -> None:
    node("ZADD", "z", 1.5, "a", 2, "b")
    assert node("ZRANK", "z", "b", "WITHSCORE") == [1, b"2"]
    assert node("ZREVRANK", "z", "a", "WITHSCORE") == [1, b"1.5"]
    assert node("ZRANK", "z", "x", "WITHSCORE") is None
    assert node.error("ZRANK", "z", "a", "SCORE") == "ERR syntax error"
    assert node.error("ZRANK", "z", "a", "WITHSCORE", "x") == "ERR wrong number of arguments for 'zrank' command"


def test_scores_are_shown_in_the_shortest_way(node: InProcessNode) -> None:
    for given, shown in (
        ("0.1", b"0.1"), ("3.0", b"3"), ("1e20", b"1e+20"), ("0.00012345", b"1.2345e-4"), ("1e17", b"1" + b"0" * 17),
        ("-inf", b"-inf"), ("0.30000000000000004", b"0.30000000000000004"),
    ):  # fmt: skip
        node("ZADD", "z", given, "m")
        assert node("ZSCORE", "z", "m") == shown


def test_a_small_set_knows_no_negative_zero() -> None:
    """As redis-server, whose listpacks hold integers; its skiplists hold doubles."""
    node = InProcessNode(("enable-debug-command", "yes"))
    assert node("ZADD", "z", "-0", "a", 0, "b", "-0", "c") == 3
    assert node("ZINCRBY", "z", "-0", "d") == b"-0"
    node("ZADD", "z", "-5", "e")
    assert node("ZADD", "z", "CH", "-0", "e") == 1
    zeros = [part for member in (b"a", b"b", b"c", b"d", b"e") for part in (member, b"0")]
    assert node("ZRANGE", "z", 0, -1, "WITHSCORES") == zeros
    node("ZUNIONSTORE", "negated", 1, "z", "WEIGHTS", -1)
    assert node("ZRANGE", "negated", 0, -1, "WITHSCORES") == zeros
    digest = b"6020731f6e30c8dc922253367e237f50b3b54dd2"  # redis-server's
    assert node("DEBUG", "DIGEST-VALUE", "z", "negated") == [digest, digest]
    node("ZADD", "large", "-0", "x" * 65, "-0", "y", 0, "z")
    assert node("ZMSCORE", "large", "x" * 65, "y", "z") == [b"-0", b"-0", b"0"]
    node("ZADD", "large", 0, "y", "-0", "z")
    assert node("ZMSCORE", "large", "y", "z") == [b"-0", b"0"]


def test_a_scan_of_a_large_collection_finds_all(node: InProcessNode) -> None:
    names = [b"%d" % number for number in range(1000)]
    node("SADD", "s", *names)
    node("HSET", "h", *(part for name in names for part in (name, name)))
    node("ZADD", "z", *(part for name in names for part in (name, name)))
    for command, key, step in (("SSCAN", "s", 1), ("HSCAN", "h", 2), ("ZSCAN", "z", 2)):
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, part = node(command, key, cursor, "COUNT", 50)
            assert len(part) < 200
            found.update(part[::step])
            if cursor == b"0":
                break
        assert found == set(names)


def test_encodings_follow_the_thresholds(node: InProcessNode) -> None:
    node("SADD", "ints", 1, 2)
    node("SADD", "names", "a")
    node("HSET", "h", "f", "x" * 65)
    node("ZADD", "z", *(part for number in range(129) for part in (number, number)))
    node("RPUSH", "l", "x" * 9000)
    shown = [node("OBJECT", "ENCODING", key) for key in ("ints", "names", "h", "z", "l")]
    assert shown == [b"intset", b"listpack", b"hashtable", b"skiplist", b"quicklist"]
    node("SADD", "ints", 5, 3, 4)
    assert node("SMEMBERS", "ints") == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("left", [1, 7, 150])
def test_taking_nearly_all_of_a_set_leaves_the_rest_and_tells_replicas(node: InProcessNode, left: int) -> None:
    names = {b"m%d" % number for number in range(900)}
    node("SADD", "s", *names)
    node.effects.clear()
    taken = node("SPOP", "s", 900 - left)
    assert len(taken) == len(set(taken)) == 900 - left
    rest = set(node("SMEMBERS", "s"))
    assert (len(rest), rest | set(taken)) == (left, names)
    assert [(command[0], set(command[2:])) for command in node.effects] == [(b"SREM", set(taken))]
    node("SADD", "s", "new")
    assert node("SCARD", "s") == left + 1


def test_what_stays_of_a_popped_set_is_encoded_anew(node: InProcessNode) -> None:
    """As in redis-server since 7.2."""
    node("SADD", "large", *range(600))
    node("SADD", "integers", *range(500))
    for key, count, shown in (("large", 590, b"listpack"), ("integers", 490, b"intset")):
        node("SPOP", key, count)
        assert node("OBJECT", "ENCODING", key) == shown


def test_a_whole_range_that_is_stored_is_a_set_of_its_own(node: InProcessNode) -> None:
    node("ZADD", "z", *(part for number in range(300) for part in (number, f"m{number}")))
    assert node("ZRANGESTORE", "d", "z", 0, -1) == 300
    assert node("ZRANGE", "d", 0, -1, "WITHSCORES") == node("ZRANGE", "z", 0, -1, "WITHSCORES")
    node("ZREM", "z", "m0")
    node("ZADD", "d", 1000, "m1")
    assert (node("ZSCORE", "d", "m0"), node("ZSCORE", "z", "m1")) == (b"0", b"1")
    assert (node("ZCARD", "d"), node("ZCARD", "z")) == (300, 299)
    assert node("ZRANGESTORE", "e", "z", 10, 12) == 3
    assert node("ZRANGE", "e", 0, -1) == [b"m11", b"m12", b"m13"]


def test_the_copy_of_a_long_list_is_a_list_of_its_own(node: InProcessNode) -> None:
    node("RPUSH", "l", *range(5000))
    assert node("COPY", "l", "m") == 1
    node("LPOP", "l", 3)
    node("LSET", "m", 2500, "x")
    assert (node("LLEN", "l"), node("LLEN", "m")) == (4997, 5000)
    assert (node("LINDEX", "l", 2497), node("LINDEX", "m", 2500)) == (b"2500", b"x")
    assert node("OBJECT", "ENCODING", "m") == b"quicklist"
