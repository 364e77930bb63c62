"""Keys of any type: presence, names, deadlines, sorting, databases."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import FAR, cmd, integers, keys, options, patterns, several, small, values, words
from tests.differential.grammar_strings import moments, times

databases = st.sampled_from([b"0", b"1", b"9", b"16", b"-1", b"x"])
conditions = options("NX", "XX", "GT", "LT", "x", "nx", most=2)
sort_patterns = st.sampled_from([b"nosort", b"a*", b"*", b"#", b"b*->f", b"a", b"*->", b"c*->"])
cursors = st.sampled_from([b"0", b"0", b"0", b"x", b"", b" 1", b"99999999999999999999"])

GENERIC = st.one_of(
    cmd("SET", keys, values),
    cmd("SET", keys, values, "EX", "5000"),
    cmd("RPUSH", keys, several(small)),
    cmd("SADD", keys, several(small)),
    cmd("ZADD", keys, small, small),
    cmd("HSET", keys, "f", small),
    cmd("DEL", several(keys)),
    cmd("UNLINK", several(keys)),
    cmd("EXISTS", several(keys)),
    cmd("TOUCH", several(keys)),
    cmd("TYPE", keys),
    cmd("RENAME", keys, keys),
    cmd("RENAMENX", keys, keys),
    cmd("MOVE", keys, databases),
    cmd("COPY", keys, keys, options("REPLACE", words("DB", databases), "DB", "x")),
    cmd("SELECT", st.sampled_from([b"0", b"1"])),
    cmd("SWAPDB", databases, databases),
    cmd("DBSIZE"),
    cmd("FLUSHDB", options("ASYNC", "SYNC", "x", most=2)),
    cmd("KEYS", patterns),
    cmd("SCAN", cursors, options(words("MATCH", patterns), words("COUNT", integers), "COUNT", words("TYPE", "string"))),
    cmd("OBJECT", st.sampled_from([b"REFCOUNT", b"FREQ", b"IDLETIME", b"encodin"]), keys),
)

EXPIRY = st.one_of(
    cmd("SET", keys, values),
    cmd("EXPIRE", keys, times, conditions),
    cmd("PEXPIRE", keys, st.sampled_from([b"1000000", b"2000000", b"-1", b"x", b"9223372036854775807"]), conditions),
    cmd("EXPIREAT", keys, moments, conditions),
    cmd("PEXPIREAT", keys, st.sampled_from([b"%d000" % FAR, b"%d123" % FAR, b"1", b"x"]), conditions),
    cmd("PERSIST", keys),
    cmd("TTL", keys),
    cmd("PTTL", keys),
    cmd("EXPIRETIME", keys),
    cmd("PEXPIRETIME", keys),
    cmd("RENAME", keys, keys),
    cmd("COPY", keys, keys, "REPLACE"),
    cmd("APPEND", keys, values),
    cmd("SETRANGE", keys, small, values),
    cmd("INCR", keys),
    cmd("GETSET", keys, values),
    cmd("SETBIT", keys, small, "1"),
    cmd("BITOP", "NOT", keys, keys),
    cmd("GETEX", keys, options("PERSIST", words("EX", times), words("PXAT", "1"), most=1)),
    cmd("EXISTS", several(keys)),
)

ordered = st.sampled_from([b"a", b"b", b"c"])
"""Keys that never hold a set here: BY a pattern without '*' leaves a set in the order of the hash table."""
windows = options("DESC", "ASC", words("LIMIT", small, small), words("GET", sort_patterns), "LIMIT", "STORE")

SORTING = st.one_of(
    cmd("RPUSH", ordered, several(st.one_of(small, st.sampled_from([b"1.5", b"x", b"inf", b"", b" 2"])))),
    cmd("ZADD", ordered, small, small),
    cmd("SADD", "d", several(small)),
    cmd("SET", st.sampled_from([b"a1", b"a2", b"a3", b"b1", b"c-1"]), st.one_of(small, st.just(b"x"))),
    cmd("HSET", st.sampled_from([b"b1", b"b2", b"b3"]), "f", small),
    cmd("SORT", keys, windows),
    cmd("SORT", keys, "ALPHA", windows),
    # Without ALPHA: elements of equal text weight stand as redis-server's unstable sort happens to leave them.
    cmd("SORT", ordered, "BY", sort_patterns, windows),
    cmd("SORT", ordered, windows, "STORE", ordered),
    cmd("SORT", "d", "BY", "nosort", "STORE", ordered),
    cmd("SORT_RO", keys, options("DESC", words("LIMIT", integers, integers), words("GET", sort_patterns), "STORE")),
    cmd("LRANGE", ordered, "0", "-1"),
    cmd("DEL", ordered),
)
