"""Random commands that functions and scripts call come to the same as in redis-server: replies, errors, effects."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cluster.commands import all_commands
from tests.differential.comparison import is_in_7_0
from tests.differential.grammar import Command
from tests.differential.machine import EXAMPLES, Pair, compare, compare_queued
from tests.differential.test_against_redis import ANYTHING

LIBRARY = b"""#!lua name=callers
redis.register_function('call', function(keys, args) return redis.call(unpack(args)) end)
redis.register_function('pcall', function(keys, args) return redis.pcall(unpack(args)) end)
redis.register_function{function_name='read', flags={'no-writes'}, callback=function(keys, args)
    return redis.call(unpack(args))
end}"""
FIRST = ([b"FUNCTION", b"FLUSH"], [b"FUNCTION", b"LOAD", LIBRARY])
WAYS = (
    [b"FCALL", b"call", b"0"], [b"FCALL", b"pcall", b"0"], [b"FCALL", b"read", b"0"], [b"FCALL_RO", b"read", b"0"],
    [b"EVAL", b"return redis.call(unpack(ARGV))", b"0"], [b"EVAL_RO", b"return redis.pcall(unpack(ARGV))", b"0"],
)


BLOCKING = {entry.name.upper().encode() for entry in all_commands().every() if "blocking" in entry.flags}


def is_called_alike(command: Command) -> bool:
    """redis-server 7.0 lets no script call what may wait."""
    may_wait = command[0] in BLOCKING and (not command[0].startswith(b"X") or b"BLOCK" in command)
    return not may_wait and is_in_7_0(command)


@st.composite
def called(draw: st.DrawFn) -> Command:
    """A command, and who calls it."""
    return [*draw(st.sampled_from(WAYS)), *draw(ANYTHING.filter(is_called_alike))]


@pytest.mark.parametrize("resp", [2, 3])
def test_what_is_called_answers_alike(pair: Pair, resp: int) -> None:
    @settings(
        max_examples=EXAMPLES // 2, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(called(), min_size=5, max_size=20))
    def answers_alike(commands: list[Command]) -> None:
        pair.begin(resp)
        for command in (*FIRST, *commands):
            compare(command, *pair.both(command))
        ours, theirs = pair.both_at_once([[b"MULTI"], *commands[:3], [b"EXEC"]])
        assert ours[:-1] == theirs[:-1]
        compare_queued(commands[:3], ours[-1], theirs[-1])
        pair.check_data()

    answers_alike()
