"""Fields of hashes and their deadlines, as Redis 8 has them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import FAR, cmd, floats, integers, options, several, small, words

keys = st.sampled_from([b"a", b"a", b"a", b"b", b"c"])
names = st.sampled_from([b"f", b"g", b"h", b"", b"x" * 70])
contents = st.one_of(small, st.sampled_from([b"", b"v", b"w" * 70]))
seconds = st.sampled_from([b"5000", b"9000", b"100000", b"0", b"-1", b"x", b"70368744177664", b"9223372036854775808"])
milliseconds = st.sampled_from([b"5000000", b"9000000", b"0", b"-1", b"", b"70368744177663"])
moments = st.sampled_from([b"%d" % FAR, b"%d" % (FAR + 5), b"1", b"0", b"-1", b"70368744177", b"70368744178", b"1x"])
moments_ms = st.sampled_from(
    [b"%d000" % FAR, b"%d007" % FAR, b"1", b"0", b"x", b"70368744177663", b"70368744177664", b"9223372036854775807"]
)
conditions = options("NX", "XX", "GT", "LT", "x", "nx", most=2)
wrong_counts = st.sampled_from([b"0", b"-1", b"x", b"1", b"2", b"3", b"2147483648", b"9223372036854775808"])


def counted(part: st.SearchStrategy[list[bytes]], size: int = 1) -> st.SearchStrategy[list[bytes]]:
    """FIELDS, how many of them, and they; now and then with another number, or another word."""
    right = part.map(lambda found: [b"FIELDS", b"%d" % (len(found) // size), *found])
    wrong = st.tuples(st.sampled_from([b"FIELDS", b"fields", b"FIELD"]), wrong_counts, part)
    return st.one_of(right, right, right, right, wrong.map(lambda drawn: [drawn[0], drawn[1], *drawn[2]]))


some = counted(several(names, 1, 4))
pairs = several(st.tuples(names, contents), 1, 3).map(lambda drawn: [part for pair in drawn for part in pair])
some_pairs = counted(pairs, 2)
lives = st.one_of(
    words("EX", seconds), words("px", milliseconds), words("EXAT", moments), words("PXAT", moments_ms),
    st.sampled_from([[b"KEEPTTL"], [b"PERSIST"], [b"EX"], [b"x"]]),
)  # fmt: skip
set_words = options(lives, "FNX", "FXX", "fnx", "KEEPTTL", most=2)

HASH_DEADLINES = st.one_of(
    cmd("HSET", keys, pairs),
    cmd("HSET", keys, pairs),
    cmd("HMSET", keys, pairs),
    cmd("HSETEX", keys, set_words, some_pairs),
    cmd("HGETEX", keys, lives, some),
    cmd("HGETEX", keys, some),
    cmd("HGETDEL", keys, some),
    cmd("HEXPIRE", keys, seconds, conditions, some),
    cmd("HPEXPIRE", keys, milliseconds, conditions, some),
    cmd("HEXPIREAT", keys, moments, conditions, some),
    cmd("HPEXPIREAT", keys, moments_ms, conditions, some),
    cmd("HEXPIRE", keys, seconds, some, conditions),
    cmd("HPEXPIREAT", keys, moments_ms, some, conditions),
    cmd("HPERSIST", keys, some),
    cmd("HTTL", keys, some),
    cmd("HPTTL", keys, some),
    cmd("HEXPIRETIME", keys, some),
    cmd("HPEXPIRETIME", keys, some),
    cmd("HSETNX", keys, names, contents),
    cmd("HINCRBY", keys, names, integers),
    cmd("HINCRBYFLOAT", keys, names, floats),
    cmd("HDEL", keys, several(names)),
    cmd("HMGET", keys, several(names)),
    *(cmd(name, keys, names) for name in ("HGET", "HEXISTS", "HSTRLEN")),
    *(cmd(name, keys) for name in ("HGETALL", "HKEYS", "HVALS", "HLEN", "TYPE", "TTL", "DEL")),
    cmd("HRANDFIELD", keys, "100", options("WITHVALUES", most=1)),
    cmd("HSCAN", keys, "0", options("NOVALUES", words("MATCH", st.sampled_from([b"*", b"f"])), most=2)),
    cmd("RENAME", keys, keys),
    cmd("COPY", keys, keys, options("REPLACE", words("DB", "1"), most=2)),
    cmd("MOVE", keys, "1"),
    cmd("EXPIRE", keys, "5000"),
    cmd("SET", st.sampled_from([b"b", b"c"]), contents),
)
