"""What decides how a value is kept, with OBJECT ENCODING, and thresholds that change meanwhile.

Where a value of ours may show another encoding than redis-server's nothing is drawn: an integer set that lost members
and then gets a text, a hash of which only fields that are there are set after `hash-max-listpack-entries` was lowered.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import FAR, Command, cmd, options, several, small, values, words

names = st.sampled_from([b"m1", b"m2", b"m3", b"m4", b"m5", b"longer1", b"x" * 8, b"x" * 9, b"x" * 64, b"x" * 65])
contents = st.one_of(names, small, st.sampled_from([b"", b"v"]))
hashes = st.sampled_from([b"h", b"g"])
sorted_sets = st.sampled_from([b"z", b"y"])
texts = st.sampled_from([b"s", b"t"])
integers = st.sampled_from([b"i", b"j"])
numbers = st.integers(-5, 12).map(lambda number: b"%d" % number)
pairs = several(st.tuples(names, contents), 1, 6).map(lambda drawn: [part for pair in drawn for part in pair])
scored = several(st.tuples(small, names), 1, 6).map(lambda drawn: [part for pair in drawn for part in pair])

LIMITS: list[Command] = [
    [b"CONFIG", b"SET", b"hash-max-listpack-entries", b"4", b"hash-max-listpack-value", b"8"],
    [b"CONFIG", b"SET", b"set-max-intset-entries", b"6", b"set-max-listpack-entries", b"4"],
    [b"CONFIG", b"SET", b"set-max-listpack-value", b"8"],
    [b"CONFIG", b"SET", b"zset-max-listpack-entries", b"4", b"zset-max-listpack-value", b"8"],
]
"""What a run begins with."""
lengths = st.sampled_from([b"2", b"8", b"64"])
changes = st.one_of(
    words("hash-max-listpack-entries", st.sampled_from([b"4", b"4", b"128"])),
    words("set-max-intset-entries", st.sampled_from([b"6", b"9", b"512"])),
    words("hash-max-listpack-value", lengths), words("set-max-listpack-value", lengths),
    words("set-max-listpack-entries", st.sampled_from([b"2", b"4", b"6"])), words("zset-max-listpack-value", lengths),
    words("zset-max-listpack-entries", st.sampled_from([b"2", b"4", b"128"])),
)

COLLECTION_ENCODINGS = st.one_of(
    cmd("HSET", hashes, pairs),
    cmd("HMSET", hashes, pairs),
    cmd("HSETNX", hashes, names, contents),
    cmd("HINCRBY", hashes, names, small),
    cmd("HSETEX", hashes, "PXAT", b"%d000" % FAR, "FIELDS", "1", names, contents),
    cmd("HDEL", hashes, several(names)),
    cmd("SADD", texts, several(names, 1, 6)),
    cmd("SADD", integers, several(numbers, 1, 8)),
    cmd("SREM", texts, several(names)),
    cmd("SREM", integers, several(numbers)),
    cmd("SMOVE", texts, texts, names),
    *(cmd(name, "u", texts, texts) for name in ("SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE")),
    cmd("ZADD", sorted_sets, scored),
    cmd("ZADD", sorted_sets, options("XX", "CH", "GT", most=1), scored),
    cmd("ZINCRBY", sorted_sets, small, names),
    cmd("ZREM", sorted_sets, several(names)),
    cmd("ZPOPMIN", sorted_sets),
    *(cmd(name, "w", "2", sorted_sets, sorted_sets) for name in ("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE")),
    cmd("ZRANGESTORE", "w", sorted_sets, "0", st.sampled_from([b"-1", b"1", b"4"])),
    cmd("COPY", hashes, hashes, "REPLACE"),
    cmd("COPY", texts, texts, "REPLACE"),
    cmd("COPY", integers, integers, "REPLACE"),
    cmd("COPY", sorted_sets, sorted_sets, "REPLACE"),
    cmd("CONFIG", "SET", changes),
    *(cmd("OBJECT", "ENCODING", keys) for keys in (hashes, texts, integers, sorted_sets)),
    cmd("OBJECT", "ENCODING", st.sampled_from([b"u", b"w"])),
    cmd("DEL", st.one_of(hashes, texts, integers, sorted_sets)),
)

strings = st.sampled_from([b"a", b"b"])
short = st.one_of(values, st.sampled_from([43, 44, 45, 46]).map(lambda size: b"q" * size))

STRING_ENCODINGS = st.one_of(
    *(cmd(name, strings, short) for name in ("SET", "SETNX", "GETSET", "MSET", "MSETNX", "APPEND")),
    cmd("SET", strings, st.sampled_from([b"9223372036854775807", b"-0", b"1.5", b"007"]), options("GET", "KEEPTTL")),
    cmd("SETEX", strings, "1000", short),
    cmd("SETRANGE", strings, "1", short),
    cmd("SETBIT", strings, "1", st.sampled_from([b"0", b"1"])),
    *(cmd(name, strings, small) for name in ("INCRBY", "DECRBY")),
    cmd("BITOP", st.sampled_from([b"AND", b"NOT"]), strings, strings),
    cmd("BITFIELD", strings, st.sampled_from([b"SET", b"INCRBY"]), "u8", "0", "1"),
    cmd("PFADD", strings, small),
    cmd("PFMERGE", strings, strings),
    cmd("COPY", strings, strings, "REPLACE"),
    cmd("RENAME", strings, strings),
    cmd("GETDEL", strings),
    cmd("OBJECT", "ENCODING", strings),
    cmd("OBJECT", "ENCODING", strings),
)
