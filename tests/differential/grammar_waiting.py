"""Transactions, and the commands that wait: they are sent within MULTI and EXEC only, where they take what is there."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import cmd, integers, keys, options, several, small, values, words
from tests.differential.grammar_collections import counts, elements, ends, numkeys, scores, sides
from tests.differential.grammar_streams import any_ids, consumers, groups, ids, read_ids, streams

timeouts = st.sampled_from([
    b"0", b"0.01", b"1e3", b"0x10", b"-1", b"-0", b"-1e-300", b"x", b"", b"inf", b"1e300", b"nan",
])  # fmt: skip
milliseconds = st.sampled_from([b"0", b"10", b"99999", b"-1", b"x"])
members = st.sampled_from([b"a", b"b", b"c"])

FILLING = st.one_of(
    cmd("RPUSH", keys, several(elements)),
    cmd("ZADD", keys, scores, members, small, members),
    cmd("XADD", streams, ids, "f", small),
    cmd("XGROUP", "CREATE", streams, groups, "0", "MKSTREAM"),
    cmd("SET", keys, values),
    cmd("DEL", keys),
    cmd("EXISTS", several(keys)),
)

WAITING = st.one_of(
    FILLING,
    cmd("BLPOP", several(keys), timeouts),
    cmd("BRPOP", several(keys), timeouts),
    cmd("BLMOVE", keys, keys, sides, sides, timeouts),
    cmd("BRPOPLPUSH", keys, keys, timeouts),
    cmd("BLMPOP", timeouts, numkeys, several(keys), sides, options(words("COUNT", counts), "COUNT", most=2)),
    cmd("BZPOPMIN", several(keys), timeouts),
    cmd("BZPOPMAX", several(keys), timeouts),
    cmd("BZMPOP", timeouts, numkeys, several(keys), ends, options(words("COUNT", counts), "COUNT", most=2)),
    cmd("XREAD", "BLOCK", milliseconds, "STREAMS", streams, st.one_of(any_ids, st.just(b"$"))),
    cmd("XREAD", "COUNT", "1", "BLOCK", milliseconds, "STREAMS", "a", "b", ids, ids),
    cmd("XREADGROUP", "GROUP", groups, consumers, options(words("BLOCK", milliseconds), "NOACK", most=2), "STREAMS",
        streams, read_ids),
)  # fmt: skip

OF_ANOTHER = st.one_of(
    cmd("SET", keys, values),
    cmd("INCR", keys),
    cmd("DEL", several(keys)),
    cmd("EXPIRE", keys, st.sampled_from([b"5000", b"-1"])),
    cmd("PERSIST", keys),
    cmd("RENAME", keys, keys),
    cmd("LPUSH", keys, small),
    cmd("GETEX", keys, "EX", "5000"),
    cmd("FLUSHALL"),
    cmd("SWAPDB", "0", "1"),
)
"""What watched keys may suffer."""

TRANSACTIONS = st.one_of(
    cmd("MULTI"),
    cmd("MULTI"),
    cmd("MULTI", "x"),
    cmd("EXEC"),
    cmd("EXEC"),
    cmd("EXEC", "x"),
    cmd("DISCARD"),
    cmd("WATCH", several(keys)),
    cmd("WATCH"),
    cmd("UNWATCH"),
    cmd("SET", keys, values),
    cmd("GET", keys),
    cmd("INCRBY", keys, integers),
    cmd("LPUSH", keys, small),
    cmd("EXPIRE", keys, st.sampled_from([b"5000", b"-1", b"x"])),
    cmd("DEL", keys),
    cmd("SELECT", st.sampled_from([b"0", b"1", b"9"])),
    cmd("SWAPDB", "0", "1"),
    cmd("FLUSHDB"),
    cmd("SET", keys),
    cmd("NONSENSE", keys),
)
