"""Streams and their groups.

Ids are given, or leave only their sequence to the server: `*` alone would take each server's own time.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import cmd, integers, keys, options, several, small, values, words

streams = st.sampled_from([b"a", b"b"])
ids = st.one_of(
    st.integers(1, 9).map(lambda seq: b"1-%d" % seq),
    st.integers(0, 6).map(lambda ms: b"%d" % ms),
    st.tuples(st.integers(1, 5), st.integers(0, 2)).map(lambda both: b"%d-%d" % both),
)
BAD_IDS = [
    b"0-0", b"-", b"+", b"x", b"", b"1-", b"-1", b"1--1", b"1-2-3", b"5-*", b"*", b"$", b">", b"01-02", b" 1",
    b"18446744073709551615-18446744073709551615", b"18446744073709551616", b"0-*",
]  # fmt: skip
any_ids = st.one_of(ids, ids, ids, st.sampled_from(BAD_IDS))
new_ids = st.one_of(
    st.integers(1, 6).map(lambda ms: b"%d-*" % ms), st.integers(1, 6).map(lambda ms: b"%d-*" % ms), ids,
    st.sampled_from([one for one in BAD_IDS if one != b"*"]),
)  # fmt: skip
bounds = st.one_of(ids, ids.map(lambda one: b"(" + one), st.sampled_from([b"-", b"+", b"(", b"(-", b"(0-0", *BAD_IDS]))
fields = st.one_of(
    words("f", values), words("f", values), words("f", small, "g", small), words("g", small, "f", values),
    words("f", small, "f"), words(""),
)  # fmt: skip
last_ids = st.sampled_from([b"9", b"9", b"9-5", b"10-18446744073709551615", b"x", b"", b"18446744073709551616"])
lengths = st.one_of(st.integers(0, 6).map(lambda count: b"%d" % count), integers)
limits = words("LIMIT", st.sampled_from([b"0", b"1", b"3", b"5", b"-1", b"x"]))
signs = st.sampled_from([[], [b"="], [b"~"], [b"~"]])
trimmings = st.one_of(words("MAXLEN", signs, lengths), words("MINID", signs, any_ids))
counts = st.sampled_from([b"0", b"1", b"2", b"10", b"-1", b"x"])

ENTRIES = st.one_of(
    cmd("XADD", streams, new_ids, fields),
    cmd("XADD", streams, new_ids, fields),
    cmd("XADD", streams, new_ids, "f", small),
    cmd("XADD", streams, options("NOMKSTREAM", trimmings, trimmings, limits, most=3), new_ids, "f", small),
    cmd("XLEN", streams),
    cmd("XRANGE", streams, bounds, bounds, options(words("COUNT", counts), "COUNT", "x", most=2)),
    cmd("XRANGE", streams, "-", "+"),
    cmd("XREVRANGE", streams, bounds, bounds, options(words("COUNT", counts), most=1)),
    cmd("XDEL", streams, several(any_ids)),
    cmd("XTRIM", streams, trimmings, options(limits, "x", most=1)),
    # Above all that was deleted, since it is refused below that by 7.2 only.
    cmd("XSETID", streams, last_ids, options(
        words("ENTRIESADDED", lengths), words("MAXDELETEDID", any_ids), "MAXDELETEDID", most=2
    )),
    cmd("COPY", streams, streams, "REPLACE"),
    cmd("SET", keys, values),
    cmd("DEL", streams),
)  # fmt: skip

STREAMS = ENTRIES
