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

groups = st.sampled_from([b"g", b"g", b"h"])
consumers = st.sampled_from([b"alice", b"bob", b"carol"])
least_idle = st.sampled_from([b"0", b"0", b"0", b"-1", b"1000000", b"x"])
"""What has been pending for a moment is idle for less than a quarter of an hour, and for more than that once
somebody says so by IDLE or TIME."""
group_ids = st.one_of(st.sampled_from([b"0", b"0", b"$"]), any_ids)
read_words = options(words("COUNT", counts), "NOACK", "x", most=2)
read_ids = st.sampled_from([b">", b">", b">", b">", b"0", b"1-2", b"$", b"x"])
claim_words = options(
    "FORCE", "JUSTID", words("IDLE", st.sampled_from([b"0", b"5000000", b"-5", b"x"])),
    words("TIME", st.sampled_from([b"1", b"-1", b"99999999999999", b"x"])),
    words("RETRYCOUNT", st.sampled_from([b"0", b"7", b"-1", b"x"])), words("LASTID", any_ids), "x", most=3,
)  # fmt: skip
both = st.sampled_from([[b"a"], [b"b"], [b"a"], [b"b"], [b"a", b"b"]])

READING = st.one_of(
    both.flatmap(lambda some: cmd("XREADGROUP", "GROUP", groups, consumers, read_words, "STREAMS", st.just(some),
                                  st.lists(read_ids, min_size=len(some), max_size=len(some)))),
    cmd("XREADGROUP", "GROUP", groups, consumers, "STREAMS", streams, ">"),
    cmd("XREADGROUP", "GROUP", groups, consumers, "COUNT", "1", "STREAMS", streams, ">"),
    cmd("XREADGROUP", read_words, "STREAMS", streams, read_ids, read_ids),
    cmd("XREAD", read_words, "STREAMS", both, several(any_ids, 1, 2)),
    cmd("XREAD", "BLOCK", st.sampled_from([b"x", b"-1", b""]), "STREAMS", streams, any_ids),
)  # fmt: skip

GROUPS = st.one_of(
    READING,
    READING,
    cmd("XADD", streams, new_ids, "f", small),
    cmd("XADD", streams, new_ids, "f", small),
    cmd("XADD", streams, trimmings, new_ids, "f", small),
    cmd("XDEL", streams, several(ids)),
    cmd("XTRIM", streams, trimmings),
    cmd("XSETID", streams, last_ids, options(words("ENTRIESADDED", lengths), most=1)),
    cmd("XGROUP", "CREATE", streams, groups, group_ids, options(
        "MKSTREAM", "MKSTREAM", words("ENTRIESREAD", lengths), "x", most=3
    )),
    cmd("XGROUP", "SETID", streams, groups, group_ids, options(
        words("ENTRIESREAD", lengths), "MKSTREAM", most=2
    )),
    cmd("XGROUP", "DESTROY", streams, groups),
    cmd("XGROUP", "CREATECONSUMER", streams, groups, consumers),
    cmd("XGROUP", "DELCONSUMER", streams, groups, consumers),
    cmd("XACK", streams, groups, several(any_ids)),
    cmd("XPENDING", streams, groups),
    cmd("XPENDING", streams, groups, options(words("IDLE", least_idle), most=1), bounds, bounds, counts,
        options(words(consumers), "x", most=2)),
    cmd("XPENDING", streams, groups, "-", "+", "10"),
    cmd("XCLAIM", streams, groups, consumers, least_idle, several(any_ids), claim_words),
    cmd("XAUTOCLAIM", streams, groups, consumers, least_idle, bounds, options(words("COUNT", counts), "JUSTID", "x")),
    cmd("XAUTOCLAIM", streams, groups, consumers, "0", "-"),
    cmd("XINFO", "STREAM", streams, options("FULL", words("FULL", "COUNT", counts), "x", most=1)),
    cmd("XINFO", "STREAM", streams, "FULL", "COUNT", "0"),
    cmd("XINFO", "GROUPS", streams),
    cmd("XINFO", "CONSUMERS", streams, groups),
    cmd("XINFO", "HELP"),
    cmd("XGROUP", "HELP"),
    cmd("COPY", streams, streams, "REPLACE"),
    cmd("DEL", streams),
)  # fmt: skip

STREAMS = ENTRIES

FIRST = [
    [b"XADD", b"a", b"1-1", b"f", b"v"], [b"XADD", b"a", b"1-2", b"f", b"v", b"g", b"w"],
    [b"XADD", b"a", b"1-3", b"f", b"v"], [b"XADD", b"a", b"2-1", b"f", b"v"], [b"XGROUP", b"CREATE", b"a", b"g", b"0"],
]  # fmt: skip
"""What `DELIVERIES` begins with. Its commands are well-formed, so that much is given, claimed and acknowledged."""
held = st.sampled_from([b"1-1", b"1-2", b"1-3", b"2-1", b"2-2", b"2-3", b"3-1", b"3-2", b"4-1"])
good_claims = options(
    "FORCE", "JUSTID", words("IDLE", st.sampled_from([b"0", b"5000000"])), words("TIME", "1"),
    words("RETRYCOUNT", st.sampled_from([b"0", b"7"])), words("LASTID", held), most=3,
)  # fmt: skip
good_idle = st.sampled_from([b"0", b"0", b"0", b"1000000"])

DELIVERIES = st.one_of(
    cmd("XREADGROUP", "GROUP", "g", consumers, options(words("COUNT", st.sampled_from([b"1", b"2"])), most=1),
        "STREAMS", "a", ">"),
    cmd("XREADGROUP", "GROUP", "g", consumers, "COUNT", "1", "STREAMS", "a", ">"),
    cmd("XREADGROUP", "GROUP", "g", consumers, "NOACK", "COUNT", "1", "STREAMS", "a", ">"),
    cmd("XREADGROUP", "GROUP", "g", consumers, "STREAMS", "a", st.sampled_from([b"0", b"1-2"])),
    cmd("XCLAIM", "a", "g", consumers, good_idle, several(held), good_claims),
    cmd("XAUTOCLAIM", "a", "g", consumers, good_idle, st.one_of(st.just(b"-"), held, held.map(lambda one: b"(" + one)),
        options(words("COUNT", st.sampled_from([b"1", b"2"])), "JUSTID", most=2)),
    cmd("XADD", "a", st.sampled_from([b"2-*", b"3-*", b"4-*"]), "f", small),
    cmd("XADD", "a", st.sampled_from([b"2-*", b"3-*", b"4-*"]), "f", small),
    cmd("XADD", "a", "MAXLEN", st.sampled_from([[], [b"~"]]), st.sampled_from([b"2", b"4"]), "4-*", "f", small),
    cmd("XDEL", "a", held),
    cmd("XDEL", "a", several(held)),
    cmd("XTRIM", "a", st.sampled_from([b"MAXLEN", b"MINID"]), st.sampled_from([b"1", b"2", b"3"])),
    cmd("XACK", "a", "g", several(held)),
    cmd("XGROUP", "SETID", "a", "g", st.one_of(held, st.sampled_from([b"0", b"$"])), options(
        words("ENTRIESREAD", st.sampled_from([b"-1", b"0", b"2", b"5"])), most=1
    )),
    cmd("XGROUP", "DELCONSUMER", "a", "g", consumers),
    cmd("XPENDING", "a", "g"),
    cmd("XPENDING", "a", "g", options(words("IDLE", good_idle), most=1), "-", "+", st.sampled_from([b"1", b"9"]),
        options(words(consumers), most=1)),
    cmd("XINFO", "STREAM", "a", "FULL", "COUNT", st.sampled_from([b"0", b"1"])),
    cmd("XINFO", "STREAM", "a", "FULL", "COUNT", "0"),
    cmd("XINFO", "GROUPS", "a"),
    cmd("XINFO", "CONSUMERS", "a", "g"),
    cmd("COPY", "a", "b", "REPLACE"),
    cmd("COPY", "b", "a", "REPLACE"),
)  # fmt: skip
