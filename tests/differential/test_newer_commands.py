"""What came after 7.2, beside redis-server 8.2. Fields of hashes with deadlines: test_hash_deadlines.py."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.differential.effects_feed import EffectsFeed
from tests.differential.grammar_newer import FIRST, NEWER_BITMAPS, NEWER_STREAMS
from tests.differential.machine import DIRECTIVES, EXAMPLES, Pair, run
from tests.differential.test_command_docs import documented, essence
from tests.differential.test_command_info import described
from tests.differential.test_key_events import EVERYTHING, Listeners
from tests.newer_server import newer_server


@pytest.mark.parametrize("resp", [2, 3])
def test_bitmaps(newer_pair: Pair, resp: int) -> None:
    run(newer_pair, NEWER_BITMAPS, resp)


@pytest.mark.parametrize("resp", [2, 3])
def test_streams(newer_pair: Pair, resp: int) -> None:
    run(newer_pair, NEWER_STREAMS, resp, examples=2 * EXAMPLES, first=FIRST)


def _lag_steps(rng: Random) -> Iterator[list[bytes]]:
    """Entries that come, go and are read, in any order."""
    yield [b"XADD", b"s", b"1", b"f", b"v"]
    yield [b"XGROUP", b"CREATE", b"s", b"g", rng.choice([b"0", b"$"])]
    for number in range(2, 16):
        some_id = b"%d" % rng.randrange(1, 10)
        yield rng.choice([
            [b"XADD", b"s", b"%d" % number, b"f", b"v"],
            [b"XADD", b"s", b"%d" % number, b"f", b"v"],
            [b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", rng.choice([b"1", b"2"]), b"STREAMS", b"s", b">"],
            [b"XDEL", b"s", some_id],
            [b"XTRIM", b"s", rng.choice([b"MAXLEN", b"MINID"]), rng.choice([b"0", b"1", b"2", b"3"])],
            [b"XGROUP", b"SETID", b"s", b"g", rng.choice([some_id, b"0", b"$"])],
        ])


@pytest.mark.parametrize("seed", range(50))
def test_what_a_group_has_still_to_read(newer_pair: Pair, seed: int) -> None:
    """entries-read and lag of XINFO GROUPS."""
    newer_pair.begin(2)
    sent = []
    for command in _lag_steps(Random(seed)):
        sent.append(command)
        newer_pair.both(command)
        ours, theirs = newer_pair.both([b"XINFO", b"GROUPS", b"s"])
        assert ours == theirs, sent


CHECKED_FIRST = """
BITCOUNT n 0; BITCOUNT n x 1; BITCOUNT n 0 x BIT; BITCOUNT n 0 1 x; BITCOUNT n 0 1 BIT x; BITCOUNT n; BITCOUNT n 0 9 BIT
BITCOUNT l 0; BITCOUNT l x 1; BITCOUNT l 0 1 x; BITCOUNT l; BITCOUNT s 0; BITCOUNT s -1 -2; BITCOUNT s x 0; BITCOUNT s 5
BITPOS n 2; BITPOS n 1 x; BITPOS n 0 x; BITPOS n 1 0 1 x; BITPOS n 1 0 1 BIT x; BITPOS n 0 0 -1 BIT; BITPOS n 1 0 x BIT
BITPOS l 2; BITPOS l 1 x; BITPOS l 1 0 x; BITPOS l 1 0 1 x; BITPOS l 1; BITPOS s 1 x; BITPOS s 0 0 x x; BITPOS n 0
""".strip().splitlines()


@pytest.mark.parametrize("line", CHECKED_FIRST)
def test_arguments_are_checked_before_the_key_is_looked_at(newer_pair: Pair, line: str) -> None:
    newer_pair.begin(2)
    newer_pair.both([b"SET", b"s", b"abc"])
    newer_pair.both([b"RPUSH", b"l", b"x"])
    for command in line.split("; "):
        ours, theirs = newer_pair.both(command.encode().split())
        assert ours == theirs, command


LINES = """
XDELEX a IDS 2 1-1 9-9
XDELEX a ACKED IDS 2 1-2 1-3
XDELEX a DELREF IDS 1 1-3
XACKDEL a g IDS 2 1-1 1-2
XACKDEL a g ACKED IDS 1 2-1
XACKDEL a g IDS 1 9-9
XADD a 5-1 f v
XADD a DELREF MAXLEN 2 5-2 f v
XADD a ACKED 5-3 f v
XTRIM a MAXLEN 2 ACKED
XGROUP DESTROY a h
XTRIM a MAXLEN 2 ACKED
XTRIM a DELREF MINID 5-3
XDELEX none IDS 1 1
XDELEX b IDS 1 1-1
""".strip().splitlines()


def test_replicas_are_told_the_same(newer_pair: Pair) -> None:
    newer_pair.begin(2)
    for command in FIRST:
        newer_pair.both(command)
    wrong = {}
    with EffectsFeed(newer_pair.oracle) as feed:
        for line in LINES:
            newer_pair.node.effects.clear()
            newer_pair.both(line.encode().split())
            ours, theirs = newer_pair.node.effects, feed.since_last()
            if [one for one in ours if one[0] not in (b"MULTI", b"EXEC")] != theirs:
                wrong[line] = list(ours), theirs
    assert wrong == {}


@pytest.fixture(scope="module")
def newer_listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    directives = (*DIRECTIVES, ("notify-keyspace-events", EVERYTHING))
    pair = Pair(tmp_path_factory.mktemp("newer-events"), *directives, program=newer_server())
    pair.node.server.key_events.configure(pair.node.server.config)
    listeners = Listeners(pair)
    yield listeners
    listeners.theirs.close()
    pair.close()


def test_events_are_those_of_redis_server(newer_listeners: Listeners) -> None:
    newer_listeners.pair.begin(2)
    for command in FIRST:
        newer_listeners.pair.both(command)
    newer_listeners.heard()
    for line in LINES:
        newer_listeners.pair.both(line.encode().split())
        ours, theirs = newer_listeners.heard()
        assert ours == theirs, line


NAMES = [b"xdelex", b"xackdel", b"bitop", b"xadd", b"xtrim"]


def test_the_commands_are_described_alike(newer_pair: Pair) -> None:
    newer_pair.begin(2)
    ours, theirs = newer_pair.both([b"COMMAND", b"INFO", *NAMES])
    assert isinstance(ours.value, tuple)
    assert isinstance(theirs.value, tuple)
    assert [described(one) for one in ours.value] == [described(one) for one in theirs.value]
    newer_pair.begin(3)
    ours, theirs = newer_pair.both([b"COMMAND", b"DOCS", *NAMES])
    for (name, shown), expected in zip(documented(ours).items(), documented(theirs).values(), strict=True):
        assert (shown["since"], shown["group"]) == (expected["since"], expected["group"]), name
        assert essence(shown["arguments"]) == essence(expected["arguments"]), name
