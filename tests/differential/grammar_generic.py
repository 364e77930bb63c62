"""Keys of any type: presence, names, deadlines, sorting, databases."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import FAR, cmd, integers, keys, options, patterns, several, small, values, words
from tests.differential.grammar_strings import moments, times

databases = st.sampled_from([b"0", b"1", b"9", b"16", b"-1", b"x"])
conditions = options("NX", "XX", "GT", "LT", "x", "nx", most=2)
sort_patterns = st.sampled_from([b"nosort", b"a*", b"*", b"#", b"b*->f", b"a", b"*->", b"c*->"])
cursors = st.sampled_from([b"0", b"0", b"0", b"x", b"", b" 1", b"99999999999999999999"])

PAYLOADS = [bytes.fromhex(payload) for payload in (
    "000576616c75650a0081f6c138c1aa9b6e", "00c139300a009d94ea2793fc08b9",
    "00c3094064016161e057000161610a00e8a3b507b06df271",
    "120102c314220c22000000030081610201019478e00a000115ff0a00359301831e1120bd",
    "0b140400000003000000fbffffff01000000a08601000a007620b061c03ddef4", "0202016201610a0075d99d835ef85f65",
    "10121200000004008166028176028167020101ff0a0023c1a5e35dfae81c",
    "11c327311a310000000600816202dffe0281610283312e350481630297322e39e0060006652b31303018ff0a00404252d9608c3607",
    (
        "130110000000000000000100000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff01010101"
        "01000001010167000081ffffffffffffffff00000a00ff9ad34b48b268ce"
    ),
)]  # fmt: skip
"""What redis-server's DUMP answered for a value of each type."""
payloads = st.one_of(
    st.sampled_from(PAYLOADS), st.sampled_from(PAYLOADS), st.sampled_from([b"", b"x" * 10, PAYLOADS[0][:-1] + b"x"])
)
lifetimes = st.sampled_from([b"0", b"0", b"5000000", b"%d000" % FAR, b"-1", b"x"])
restore_words = options(
    "REPLACE", "REPLACE", words("ABSTTL", "REPLACE"), words("IDLETIME", st.sampled_from([b"5", b"-1", b"x"])),
    words("FREQ", st.sampled_from([b"5", b"256", b"-1", b"x"])), "IDLETIME", "x",
)  # fmt: skip
migrations = st.one_of(
    words("missing", "0", "10"), words("missing", "0", "10", "COPY", "REPLACE"),
    words("", "0", "10", "KEYS", "missing"),
    words("", "0", "10", "AUTH", "x", "KEYS", "missing", "missing2"), words("", "0", "10", "AUTH2", "x", "y"),
    words("missing", "x", "10"), words("missing", "0", "x"), words("missing", "0", "-1"),
    words("missing", "0", "10", "x"),
    words("missing", "0", "10", "KEYS", "missing"), words("", "0", "10", "AUTH"), words("", "0", "10", "AUTH2", "x"),
)  # fmt: skip
"""Of keys that are not there: nobody is asked for them."""

GENERIC = st.one_of(
    cmd("SET", keys, values),
    cmd("DUMP", keys),
    cmd("RESTORE", keys, lifetimes, payloads, restore_words),
    cmd("RESTORE", keys, "0", payloads, "REPLACE"),
    cmd("RESTORE", keys, "1", payloads, "ABSTTL", options("REPLACE", most=1)),
    cmd("RANDOMKEY"),
    cmd("MIGRATE", "127.0.0.1", st.sampled_from([b"1", b"x"]), migrations),
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
    cmd("OBJECT", "HELP"),
    cmd("MEMORY", "USAGE", keys, options(words("SAMPLES", integers), words("SAMPLES", small), "SAMPLES", "x")),
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
    cmd("SORT", ordered, "BY", sort_patterns, "BY", sort_patterns, "ALPHA"),
    cmd("SORT", "d", "BY", "nosort", "STORE", ordered),
    cmd("SORT", "d", "BY", "nosort", options("DESC", "ALPHA", words("LIMIT", small, small), words("GET", "#"))),
    cmd("SORT_RO", keys, options("DESC", words("LIMIT", integers, integers), words("GET", sort_patterns), "STORE")),
    cmd("SORT_RO", keys, "ALPHA", options("ASC", words("LIMIT", small, small), words("GET", sort_patterns))),
    cmd("SORT_RO", ordered, "BY", sort_patterns, windows),
    cmd("LRANGE", ordered, "0", "-1"),
    cmd("DEL", ordered),
)
