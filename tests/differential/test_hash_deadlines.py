"""Deadlines of the fields of hashes: answered as redis-server 8.2 does, and told to replicas as it tells its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.differential.comparison import same
from tests.differential.effects_feed import EffectsFeed
from tests.differential.grammar_hash_deadlines import HASH_DEADLINES
from tests.differential.machine import DIRECTIVES, EXAMPLES, Pair, run
from tests.differential.resp import Reply
from tests.differential.test_command_docs import documented, essence
from tests.differential.test_command_info import Described, described
from tests.differential.test_key_events import EVERYTHING, Listeners
from tests.newer_server import newer_server
from tests.system.waiting import wait_until

DEADLINE_S = 10.0
FAR = b"4102444800000"


@pytest.mark.parametrize("resp", [2, 3])
def test_replies_are_those_of_redis_server(newer_pair: Pair, resp: int) -> None:
    run(newer_pair, HASH_DEADLINES, resp, examples=2 * EXAMPLES)


AFTERWARDS = """
HGETALL h
HLEN h
HKEYS h
HMGET h a b c
HTTL h FIELDS 3 a b c
HSCAN h 0
HRANDFIELD h 5
SORT l BY nosort GET h->a GET h->b
HSETNX h a 5
HINCRBY h b 5
HSETEX h FXX FIELDS 1 c 1
HSETEX h FNX EX 1000 FIELDS 1 c 1
HGETDEL h FIELDS 3 a b c
EXISTS h g
TYPE g
HGETALL g
HSET g a 1
""".strip().splitlines()


@pytest.mark.parametrize("resp", [2, 3])
def test_what_has_expired_is_gone_alike(newer_pair: Pair, resp: int) -> None:
    """`h` loses some of its fields, `g` all; nobody looks before they are due on either side."""
    pair = newer_pair
    pair.begin(resp)
    for line in ("HSET h a 1 b 2 c 3 d 4", "HSET g a 1 b 2", "RPUSH l x", "HPEXPIRE h 5 FIELDS 3 a b c",
                 "HPEXPIRE g 5 FIELDS 2 a b"):  # fmt: skip
        pair.both(line.encode().split())

    def gone() -> bool:
        return pair.oracle(b"EXISTS", b"g").value == b"0" and pair.oracle(b"HLEN", b"h").value == b"1"

    pair.oracle(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"1")
    wait_until(gone, DEADLINE_S, "redis-server to delete expired fields")
    pair.oracle(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0")
    wrong = {}
    for line in AFTERWARDS:
        if line.startswith("EXISTS"):
            pair.both(b"HLEN g".split())  # a hash that has nothing else goes when somebody looks into it
        ours, theirs = pair.both(line.encode().split())
        if not same([line.split()[0].encode()], ours, theirs):
            wrong[line] = ours, theirs
    assert wrong == {}
    pair.check_data()


LINES = """
HSET h a 1 b 2 c 3
HPEXPIREAT h FAR FIELDS 2 a x
HPEXPIREAT h FAR FIELDS 1 x
HEXPIRE h 0 FIELDS 1 c
HSET h c 3
HPEXPIREAT h 1 LT FIELDS 2 c x
HINCRBY h a 1
HINCRBYFLOAT h a 1.5
HPERSIST h FIELDS 2 a b
HPERSIST h FIELDS 2 a b
HGETEX h FIELDS 1 a
HGETEX h PXAT FAR FIELDS 2 a b
HGETEX h PERSIST FIELDS 2 a b
HGETEX h PERSIST FIELDS 2 a b
HSETEX h FIELDS 1 a 1
HSETEX h KEEPTTL FIELDS 1 a 1
HSETEX h PXAT FAR FIELDS 2 a 1 d 2
HSETEX h FNX PXAT FAR FIELDS 1 a 1
HSETEX h FXX PXAT FAR FIELDS 1 a 1
HSETEX n PXAT 1 FIELDS 2 a 1 b 2
HGETDEL h FIELDS 2 d x
HGETDEL h FIELDS 1 x
COPY h copy
RENAME h g
HEXPIRE g 0 FIELDS 2 a b
""".strip().splitlines()


def one_by_one(effects: list[list[bytes]]) -> list[list[bytes]]:
    """A deletion for each field, and no conditions: redis-server tells of each by itself, and of a condition that was
    met where what came of it is told too."""
    found: list[list[bytes]] = []
    for effect in effects:
        name, key, *rest = effect
        if name == b"HDEL":
            found += [[name, key, field] for field in rest if field != b"x"]
        elif name == b"HPEXPIREAT":
            fields = [field for field in rest[rest.index(b"FIELDS") + 2 :] if field != b"x"]
            found.append([name, key, rest[0], *fields])
        elif name not in (b"MULTI", b"EXEC"):
            found.append(effect)
    return found


def test_replicas_are_told_the_same(newer_pair: Pair) -> None:
    newer_pair.begin(2)
    wrong = {}
    with EffectsFeed(newer_pair.oracle) as feed:
        for line in LINES:
            newer_pair.node.effects.clear()
            newer_pair.both(line.replace("FAR", FAR.decode()).encode().split())
            ours, theirs = one_by_one(newer_pair.node.effects), one_by_one(feed.since_last())
            if ours != theirs:
                wrong[line] = ours, theirs
    assert wrong == {}


NAMES = [
    b"hexpire", b"hpexpire", b"hexpireat", b"hpexpireat", b"httl", b"hpttl", b"hexpiretime", b"hpexpiretime",
    b"hpersist", b"hgetex", b"hsetex", b"hgetdel",
]  # fmt: skip


def test_the_commands_are_described_alike(newer_pair: Pair) -> None:
    newer_pair.begin(2)
    ours, theirs = newer_pair.both([b"COMMAND", b"INFO", *NAMES])
    assert _described(ours) == _described(theirs)
    newer_pair.begin(3)
    ours, theirs = newer_pair.both([b"COMMAND", b"DOCS", *NAMES])
    assert _documented(ours) == _documented(theirs)


def _described(reply: Reply) -> list[Described]:
    assert isinstance(reply.value, tuple)
    return [described(item) for item in reply.value]


def _documented(reply: Reply) -> object:
    return {
        name: (fields["since"], fields["group"], essence(fields["arguments"]))
        for name, fields in documented(reply).items()
    }


EVENTS = """
HSET h a 1 b 2 c 3; HPEXPIREAT h FAR FIELDS 2 a x; HPEXPIREAT h FAR NX FIELDS 1 a; HPERSIST h FIELDS 1 a
HSET h a 1 b 2 c 3; HPERSIST h FIELDS 1 a; HEXPIRE h 0 FIELDS 2 a a; HEXPIRE h 0 FIELDS 2 b c; HEXPIRE h 0 FIELDS 1 c
HSETEX h FIELDS 1 a 1; HSETEX h EX 1000 FIELDS 2 b 1 c 2; HSETEX h FNX FIELDS 1 a 1; HSETEX h KEEPTTL FIELDS 1 b 1
HSETEX h EX 0 FIELDS 1 a 1; HSETEX h PXAT 1 FIELDS 2 a 1 b 1; HSET h a 1; HSETEX h FXX PXAT 1 FIELDS 1 a 2
HSET h a 1 b 2; HGETEX h FIELDS 1 a; HGETEX h EX 1000 FIELDS 2 a x; HGETEX h PERSIST FIELDS 1 a; HPERSIST h FIELDS 1 a
HSET h a 1 b 2; HGETEX h PXAT 1 FIELDS 1 a; HGETEX h PXAT 1 FIELDS 1 b; HGETEX h FIELDS 1 b; HGETDEL h FIELDS 1 b
HSET h a 1 b 2; HGETDEL h FIELDS 1 x; HGETDEL h FIELDS 2 a x; HGETDEL h FIELDS 1 b; HTTL h FIELDS 1 b
""".strip().splitlines()
FINDS = ["HGET h a", "HMGET h a b", "HINCRBYFLOAT h a 1", "HSETEX h FNX FIELDS 1 a 1", "HGET g a"]


@pytest.fixture(scope="module")
def newer_listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    directives = (*DIRECTIVES, ("notify-keyspace-events", EVERYTHING))
    pair = Pair(tmp_path_factory.mktemp("newer-events"), *directives, program=newer_server())
    pair.node.server.key_events.configure(pair.node.server.config)
    pair.oracle(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0")  # a field expires when it is asked for, on both sides
    listeners = Listeners(pair)
    yield listeners
    listeners.theirs.close()
    pair.close()


@pytest.mark.parametrize("line", EVENTS)
def test_events_are_those_of_redis_server(newer_listeners: Listeners, line: str) -> None:
    newer_listeners.pair.begin(2)
    newer_listeners.heard()
    for step in line.split("; "):
        newer_listeners.pair.both(step.replace("FAR", FAR.decode()).encode().split())
        ours, theirs = newer_listeners.heard()
        assert ours == theirs, step


def test_a_field_that_is_found_to_have_expired_says_so_first(newer_listeners: Listeners) -> None:
    pair = newer_listeners.pair
    for command in FINDS:
        pair.begin(2)
        for line in ("HSET h a 1 b 2", "HSET g a 1", "HPEXPIRE h 1 FIELDS 1 a", "HPEXPIRE g 1 FIELDS 1 a"):
            pair.both(line.encode().split())
        newer_listeners.heard()
        gone_at = time.monotonic() + 0.004
        wait_until(lambda end=gone_at: time.monotonic() > end, 5, "the deadline to pass")  # type: ignore[misc]
        pair.both(command.encode().split())
        ours, theirs = newer_listeners.heard()
        assert ours == theirs, command
