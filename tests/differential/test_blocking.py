"""Several clients that wait for the same keys and wake each other: what each hears and when, the state each is in, and
what replicas are told, compared with redis-server's step by step.

Since 7.2 a consumer learns of its stream's end by other words; that is all that is allowed to differ.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cluster.network.session import Session
from tests.differential.crowd import Command, Crowd, Heard
from tests.differential.effects_feed import EffectsFeed
from tests.differential.grammar import Commands, cmd, options, several, words
from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair
from tests.differential.test_stream_effects import is_ours_alone, timeless

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "25"))
STEPS = 30
SIZE = 4

members = st.integers(0, SIZE - 1)
keys = st.sampled_from([b"a", b"b", b"c"])
elements = st.sampled_from([b"1", b"2", b"x"])
sides = st.sampled_from([b"LEFT", b"RIGHT"])
ends = st.sampled_from([b"MIN", b"MAX"])
ids = st.sampled_from([b"1-1", b"1-2", b"2-1", b"3-1", b"4-1"])
counts = options(words("COUNT", st.sampled_from([b"1", b"2", b"3"])), most=1)


def waits(seconds: str, milliseconds: str) -> Commands:
    return st.one_of(
        cmd("BLPOP", several(keys), seconds),
        cmd("BRPOP", several(keys), seconds),
        cmd("BLMOVE", keys, keys, sides, sides, seconds),
        cmd("BRPOPLPUSH", keys, keys, seconds),
        cmd("BLMPOP", seconds, "1", keys, sides, counts),
        cmd("BLMPOP", seconds, "2", keys, keys, sides, counts),
        cmd("BZPOPMIN", several(keys), seconds),
        cmd("BZPOPMAX", several(keys), seconds),
        cmd("BZMPOP", seconds, "2", keys, keys, ends, counts),
        # One stream: 7.0 answers those that wait for several with the one at hand, 7.2 with all that have something.
        cmd("XREAD", counts, "BLOCK", milliseconds, "STREAMS", keys, st.sampled_from([b"$", b"0", b"2-1"])),
        cmd("XREADGROUP", "GROUP", "g", elements, counts, "BLOCK", milliseconds, "STREAMS", keys, ">"),
    )


WAITS = waits("0", "0")
PUSHES = st.one_of(
    cmd("RPUSH", keys, several(elements)),
    cmd("LPUSH", keys, several(elements, 2, 4)),
    cmd("RPUSH", keys, several(elements, 2, 4)),
    cmd("ZADD", keys, st.sampled_from([b"1", b"2"]), elements),
    cmd("ZADD", keys, "1", "m", "2", "n", "3", "o"),
    cmd("XADD", keys, ids, "f", elements),
    cmd("XGROUP", "CREATE", keys, "g", st.sampled_from([b"$", b"0"]), "MKSTREAM"),
)
OTHERS = st.one_of(
    cmd("LPOP", keys),
    cmd("LMOVE", keys, keys, sides, sides),
    cmd("LTRIM", keys, "1", "-1"),
    cmd("DEL", keys),
    cmd("UNLINK", several(keys)),
    cmd("SET", keys, elements),
    cmd("GETDEL", keys),
    cmd("PEXPIREAT", keys, "1"),
    cmd("RENAME", keys, keys),
    cmd("COPY", keys, keys, options("REPLACE", most=1)),
    cmd("COPY", keys, keys, "DB", st.sampled_from([b"0", b"1"])),
    cmd("MOVE", keys, st.sampled_from([b"0", b"1"])),
    cmd("XGROUP", "DESTROY", keys, "g"),
    cmd("XGROUP", "SETID", keys, "g", "0"),
    cmd("XDEL", keys, ids),
    cmd("FLUSHALL"),
    cmd("SELECT", st.sampled_from([b"0", b"0", b"1"])),
    cmd("MULTI"),
    cmd("EXEC"),
    cmd("PING"),
    cmd("CLIENT", "UNBLOCK", st.sampled_from([b"@0", b"@1", b"@2", b"@3"]), options("ERROR", "TIMEOUT", most=1)),
    cmd("WATCH", keys),
)
STORES = keys.flatmap(
    # What is stored over a key of another type wakes nobody on redis-server, which is no comfort to those who wait.
    lambda key: st.tuples(
        st.just([b"DEL", key]),
        st.one_of(
            cmd("SORT", keys, "ALPHA", "STORE", key),
            cmd("ZUNIONSTORE", key, "2", keys, keys),
            cmd("ZRANGESTORE", key, keys, "0", "1"),
        ),
    )
)
SILENCE = cmd("CLIENT", "REPLY", st.sampled_from([b"ON", b"SKIP", b"ON", b"OFF"]))
ANYTHING = st.one_of(WAITS, WAITS, PUSHES, PUSHES, OTHERS)


def is_end_of_a_group(reply: Reply) -> bool:
    text = reply.value if reply.kind == "-" else b""
    return isinstance(text, bytes) and text.split(b" ")[0] in (b"UNBLOCKED", b"NOGROUP", b"WRONGTYPE")


def agree(ours: Reply, theirs: Reply) -> bool:
    if ours.kind == theirs.kind == "*" and isinstance(ours.value, tuple) and isinstance(theirs.value, tuple):
        return len(ours.value) == len(theirs.value) and all(map(agree, ours.value, theirs.value))
    return ours == theirs or (is_end_of_a_group(ours) and is_end_of_a_group(theirs))


def plain(effect: list[bytes]) -> list[bytes]:
    """Sides are written as the client wrote them, or as LMOVE's documentation does."""
    return [effect[0], *map(bytes.upper, effect[1:])] if effect[0] == b"LMOVE" else timeless(effect)


class Comparison:
    def __init__(self, pair: ServerPair, feed: EffectsFeed) -> None:
        pair.begin(2)
        pair.both([b"FLUSHALL"])
        feed.since_last()
        pair.node.effects.clear()
        self.crowd = Crowd(pair, SIZE)
        self._effects = pair.node.effects
        self._feed = feed

    def check(self, done: object, heard: list[Heard]) -> None:
        for number, (ours, theirs) in enumerate(heard):
            both = f"after {done} client {number} heard {ours}, redis-server's {theirs}"
            assert len(ours) == len(theirs), both
            assert all(map(agree, ours, theirs)), both
        for number, (mine, yours) in enumerate(self.crowd.states()):
            assert mine == yours, f"after {done} client {number} is {mine}, redis-server's {yours}"
        told = [plain(one) for one in self._effects if one[0] not in (b"MULTI", b"EXEC")]
        expected = [plain(one) for one in self._feed.since_last()]
        told = [one for one in told if one in expected or not is_ours_alone(one)]
        assert told == expected, f"after {done} replicas were told {told}, redis-server's {expected}"
        self._effects.clear()


class Gathering(RuleBasedStateMachine):
    """What members of a crowd do. `pair`, `feed` and `resp` are given by a class of its own for each test."""

    pair: ServerPair
    feed: EffectsFeed
    resp: int

    def __init__(self) -> None:
        super().__init__()
        self.comparison = Comparison(self.pair, self.feed)
        self.crowd = self.comparison.crowd
        for number in range(SIZE):
            self.crowd.say(number, [b"HELLO", b"%d" % self.resp])

    def _session(self, member: int) -> Session:
        return self.crowd.members[member].ours.session

    def _say(self, member: int, *commands: Command) -> None:
        self.comparison.check((member, commands), self.crowd.say(member, *commands))

    @rule(member=members, command=WAITS)
    def wait(self, member: int, command: Command) -> None:
        self._say(member, command)

    @rule(member=members, command=st.one_of(PUSHES, OTHERS))
    def send(self, member: int, command: Command) -> None:
        self._say(member, command)

    @rule(member=members, silence=SILENCE, command=ANYTHING)
    def send_without_a_reply(self, member: int, silence: Command, command: Command) -> None:
        if self._session(member).transaction is None:
            self._say(member, silence, command)

    @rule(member=members, commands=STORES)
    def store(self, member: int, commands: tuple[Command, ...]) -> None:
        self._say(member, *commands)

    @rule(member=members, commands=st.lists(ANYTHING, min_size=2, max_size=4))
    def send_in_one_piece(self, member: int, commands: list[Command]) -> None:
        self._say(member, *commands)

    @rule(member=members, commands=st.lists(ANYTHING, min_size=1, max_size=4))
    def send_as_a_transaction(self, member: int, commands: list[Command]) -> None:
        self._say(member, [b"MULTI"], *commands, [b"EXEC"])

    @rule(member=members, command=waits("0.005", "5"))
    def wait_for_some_time(self, member: int, command: Command) -> None:
        if not self._session(member).is_waiting:  # else nobody could tell when the time of this one begins
            self.comparison.check((member, command, "time"), self.crowd.say_and_let_run_out(member, command))

    @rule(member=members)
    def leave(self, member: int) -> None:
        self.crowd.leave(member)
        self.comparison.check((member, "leaves"), self.crowd.heard())

    def teardown(self) -> None:
        self.crowd.close()


@pytest.mark.parametrize("resp", [2, 3])
def test_everybody_hears_the_same(alone: ServerPair, resp: int) -> None:
    with EffectsFeed(alone.oracle) as feed:
        run_state_machine_as_test(
            type("Machine", (Gathering,), {"pair": alone, "feed": feed, "resp": resp}),
            settings=settings(
                max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
                phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
