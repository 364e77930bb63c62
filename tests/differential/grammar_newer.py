"""What came with 7.4 to 8.2: operations of BITOP, entries of streams that go by what groups hold, the last entry."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import Command, cmd, integers, keys, options, several, small, values, words
from tests.differential.grammar_strings import bit_ranges

NEWER_BITMAPS = st.one_of(
    cmd("SET", keys, values),
    cmd("BITOP", st.sampled_from([b"DIFF", b"DIFF1", b"ANDOR", b"ONE", b"one"]), keys, several(keys, 1, 4)),
    cmd("BITOP", st.sampled_from([b"DIFF", b"DIFF1", b"ANDOR", b"ONE", b"one"]), keys, several(keys, 2, 4)),
    cmd("BITCOUNT", keys, bit_ranges),
    cmd("BITPOS", keys, st.sampled_from([b"0", b"1", b"1", b"2", b"x"]), bit_ranges),
    cmd("LPUSH", keys, "x"),
    cmd("GET", keys),
)

streams = st.sampled_from([b"a", b"a", b"a", b"b", b"c"])
groups = st.sampled_from([b"g", b"g", b"h", b"x"])
held = st.sampled_from([b"1-1", b"1-2", b"1-3", b"2-1", b"2-2", b"2-3", b"3-1", b"3-2", b"4-1", b"9-9", b"0", b"1"])
policies = options("KEEPREF", "DELREF", "DELREF", "ACKED", "ACKED", "acked", most=2)
numbered = several(held, 1, 4).map(lambda drawn: [b"IDS", b"%d" % len(drawn), *drawn])
named = st.one_of(
    numbered, numbered, numbered,
    st.tuples(st.sampled_from([b"IDS", b"IDX"]), integers, several(st.one_of(held, st.just(b"x"))))
    .map(lambda drawn: [drawn[0], drawn[1], *drawn[2]]),
)  # fmt: skip
# Of `~` with DELREF and ACKED: redis-server 8.2.3 trims nothing then, which later versions mended.
exactly = st.sampled_from([[], [b"="]])
trimming = st.one_of(
    words("MAXLEN", exactly, st.sampled_from([b"0", b"1", b"2", b"3", b"5"])), words("MINID", exactly, held)
)
new_ids = st.sampled_from([b"3-*", b"4-*"])
last_entries = st.sampled_from([b"+", b"+", b"$", b"0", b"2-1", b"++"])

FIRST: list[Command] = [
    [b"XADD", b"a", b"1-1", b"f", b"v"], [b"XADD", b"a", b"1-2", b"f", b"v"], [b"XADD", b"a", b"1-3", b"f", b"v"],
    [b"XADD", b"a", b"2-1", b"f", b"v"], [b"XADD", b"b", b"1-1", b"f", b"v"], [b"XGROUP", b"CREATE", b"a", b"g", b"0"],
    [b"XGROUP", b"CREATE", b"a", b"h", b"1-1"], [b"XREADGROUP", b"GROUP", b"g", b"c", b"STREAMS", b"a", b">"],
]  # fmt: skip

NEWER_STREAMS = st.one_of(
    cmd("XADD", "a", st.sampled_from([b"2-*", b"3-*", b"4-*"]), "f", small),
    cmd("XADD", streams, policies, options(trimming, "NOMKSTREAM", most=1), new_ids, "f", "v"),
    cmd("XADD", streams, trimming, policies, new_ids, "f", "v"),
    cmd("XTRIM", streams, policies, trimming),
    cmd("XTRIM", streams, trimming, policies),
    cmd("XDELEX", streams, policies, named),
    cmd("XDELEX", streams, named, policies),
    cmd("XACKDEL", streams, groups, policies, named),
    cmd("XACKDEL", "a", "g", policies, numbered),
    cmd("XACK", streams, groups, several(held)),
    cmd("XDEL", streams, held),
    cmd("XREADGROUP", "GROUP", groups, "c", options(words("COUNT", "2"), "NOACK", most=1), "STREAMS", "a", ">"),
    cmd("XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", "+"),
    cmd("XGROUP", "SETID", "a", groups, held),
    cmd("XGROUP", "DESTROY", "a", "h"),
    cmd("XGROUP", "CREATE", "a", "h", held),
    cmd("XREAD", options(words("COUNT", "1"), words("COUNT", "5")), "STREAMS", streams, streams, last_entries, "+"),
    cmd("XREAD", "STREAMS", streams, last_entries),
    cmd("XREAD", "STREAMS", "a", "b", last_entries),
    cmd("XRANGE", streams, "-", "+"),
    cmd("XPENDING", "a", groups),
    cmd("XPENDING", "a", groups, "-", "+", "9"),
    # Without what FULL shows of groups: since 7.4 an empty stream has no lag.
    cmd("XINFO", "STREAM", streams),
    cmd("XINFO", "CONSUMERS", "a", "g"),
)
