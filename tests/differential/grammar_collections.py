"""Lists, hashes, sets and sorted sets."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import cmd, floats, integers, keys, options, patterns, several, small, values, words

elements = st.one_of(
    small, st.sampled_from([b"a", b"b", b"c", b"", b"\r\n\x00\xff", b"x" * 70]),
    st.just(9000).map(lambda size: b"y" * size),
)  # fmt: skip
counts = st.sampled_from([b"0", b"1", b"2", b"3", b"100", b"-1", b"x", b"-9223372036854775808"])
sides = st.sampled_from([b"LEFT", b"RIGHT", b"left", b"MIDDLE"])
timeouts = st.sampled_from([b"-1", b"x", b"1e"])
"""Bad ones only: in the machine nobody would end a wait."""
numkeys = st.sampled_from([b"1", b"2", b"1", b"2", b"0", b"-1", b"x", b"5"])
cursors = st.sampled_from([b"0", b"0", b"x"])
scan_words = options(words("MATCH", patterns), words("COUNT", integers), "COUNT")

LISTS = st.one_of(
    cmd("RPUSH", keys, several(elements)),
    cmd("LPUSH", keys, several(elements)),
    cmd("RPUSH", keys, several(elements, 3, 8)),
    cmd("LPUSHX", keys, several(elements)),
    cmd("RPUSHX", keys, several(elements)),
    cmd("LPOP", keys, options(words(counts), most=1)),
    cmd("RPOP", keys, options(words(counts), most=2)),
    cmd("LLEN", keys),
    cmd("LINDEX", keys, integers),
    cmd("LSET", keys, integers, elements),
    cmd("LRANGE", keys, integers, integers),
    cmd("LTRIM", keys, integers, integers),
    cmd("LINSERT", keys, st.sampled_from([b"BEFORE", b"after", b"x"]), elements, elements),
    cmd("LREM", keys, integers, elements),
    cmd("LPOS", keys, elements, options(words("RANK", integers), words("COUNT", counts), words("MAXLEN", counts), "x")),
    cmd("LMOVE", keys, keys, sides, sides),
    cmd("RPOPLPUSH", keys, keys),
    cmd("LMPOP", numkeys, several(keys), sides, options(words("COUNT", counts), most=1)),
    cmd("BLPOP", several(keys), timeouts),
    cmd("SET", keys, values),
    cmd("DEL", keys),
    cmd("TYPE", keys),
)

HASHES = st.one_of(
    cmd("HSET", keys, elements, values),
    cmd("HSET", keys, several(elements, 1, 6)),
    cmd("HMSET", keys, several(elements, 1, 4)),
    cmd("HSETNX", keys, elements, values),
    cmd("HGET", keys, elements),
    cmd("HMGET", keys, several(elements)),
    cmd("HDEL", keys, several(elements)),
    cmd("HLEN", keys),
    cmd("HSTRLEN", keys, elements),
    cmd("HEXISTS", keys, elements),
    cmd("HKEYS", keys),
    cmd("HVALS", keys),
    cmd("HGETALL", keys),
    cmd("HINCRBY", keys, elements, integers),
    cmd("HINCRBYFLOAT", keys, elements, floats),
    cmd("HRANDFIELD", keys, st.sampled_from([b"100", b"0", b"x", b"-9223372036854775808"]),
        options("WITHVALUES", "x", most=2)),
    cmd("HSCAN", keys, cursors, scan_words),
    cmd("SET", keys, values),
    cmd("DEL", keys),
)

SETS = st.one_of(
    cmd("SADD", keys, several(elements)),
    cmd("SADD", keys, several(small, 3, 8)),
    cmd("SREM", keys, several(elements)),
    cmd("SMOVE", keys, keys, elements),
    cmd("SISMEMBER", keys, elements),
    cmd("SMISMEMBER", keys, several(elements)),
    cmd("SCARD", keys),
    cmd("SMEMBERS", keys),
    cmd("SPOP", keys, st.sampled_from([b"100", b"0", b"-1", b"x"]), options("x", most=1)),
    cmd("SRANDMEMBER", keys, st.sampled_from([b"100", b"0", b"x", b"-9223372036854775808"])),
    cmd("SINTER", several(keys)),
    cmd("SUNION", several(keys)),
    cmd("SDIFF", several(keys)),
    cmd("SINTERSTORE", keys, several(keys)),
    cmd("SUNIONSTORE", keys, several(keys)),
    cmd("SDIFFSTORE", keys, several(keys)),
    cmd("SINTERCARD", numkeys, several(keys), options(words("LIMIT", counts), "LIMIT", "x", most=2)),
    cmd("SSCAN", keys, cursors, scan_words),
    cmd("SET", keys, values),
    cmd("DEL", keys),
)

members = st.sampled_from([b"a", b"b", b"c", b"d", b"", b"aa", b"\x00\xff", b"m" * 70])
scores = st.one_of(small, small, floats)
SCORE_ENDS = [b"-inf", b"+inf", b"inf", b"(1", b"(3", b"(-2", b"1.5", b"x", b"(", b"", b" 1", b"1 "]
score_ends = st.one_of(small, st.sampled_from(SCORE_ENDS))
name_ends = st.sampled_from([b"-", b"+", b"[a", b"(a", b"[b", b"(c", b"[", b"(", b"a", b"", b"[aa"])
limits = words("LIMIT", integers, integers)
ends = st.sampled_from([b"MIN", b"max", b"x"])
add_options = options("NX", "XX", "GT", "LT", "CH", "INCR", most=2)
algebra = options(
    words("WEIGHTS", scores, scores), words("AGGREGATE", st.sampled_from([b"SUM", b"min", b"MAX", b"x"])),
    "WITHSCORES", "WEIGHTS", most=2,
)  # fmt: skip

SORTED_SETS = st.one_of(
    cmd("ZADD", keys, scores, members),
    cmd("ZADD", keys, small, members, small, members, small, members),
    cmd("ZADD", keys, add_options, scores, members, options(words(small, members), most=1)),
    cmd("ZINCRBY", keys, scores, members),
    cmd("ZREM", keys, several(members)),
    cmd("ZCARD", keys),
    cmd("ZSCORE", keys, members),
    cmd("ZMSCORE", keys, several(members)),
    cmd("ZRANK", keys, members, options("WITHSCORE", most=1)),
    cmd("ZREVRANK", keys, members, options("WITHSCORE", "x", most=2)),
    cmd("ZRANDMEMBER", keys, st.sampled_from([b"100", b"0", b"x"]), options("WITHSCORES", "x", most=1)),
    cmd("ZCOUNT", keys, score_ends, score_ends),
    cmd("ZRANGE", keys, integers, integers, options("WITHSCORES", "REV", "BYSCORE", "BYLEX", limits, most=3)),
    cmd("ZRANGE", keys, score_ends, score_ends, "BYSCORE", options("WITHSCORES", "REV", limits, most=3)),
    cmd("ZREVRANGE", keys, integers, integers, options("WITHSCORES", limits, most=1)),
    cmd("ZRANGEBYSCORE", keys, score_ends, score_ends, options("WITHSCORES", limits, "LIMIT", most=2)),
    cmd("ZREVRANGEBYSCORE", keys, score_ends, score_ends, options("WITHSCORES", limits, most=2)),
    cmd("ZRANGESTORE", keys, keys, score_ends, score_ends, options("BYSCORE", "REV", limits, "WITHSCORES", most=3)),
    cmd("ZREMRANGEBYSCORE", keys, score_ends, score_ends),
    cmd("ZREMRANGEBYRANK", keys, integers, integers),
    cmd("ZPOPMIN", keys, options(words(counts), most=1)),
    cmd("ZPOPMAX", keys, options(words(counts), most=2)),
    cmd("ZMPOP", numkeys, several(keys), ends, options(words("COUNT", counts), most=1)),
    cmd("ZSCAN", keys, cursors, scan_words),
    cmd("SET", keys, values),
    cmd("DEL", keys),
)

SCORED_ALGEBRA = st.one_of(
    cmd("ZADD", keys, small, members),
    cmd("ZADD", keys, small, members, small, members),
    cmd("SADD", keys, several(members)),
    cmd("ZUNION", numkeys, several(keys), algebra),
    cmd("ZINTER", numkeys, several(keys), algebra),
    cmd("ZDIFF", numkeys, several(keys), algebra),
    cmd("ZUNIONSTORE", keys, numkeys, several(keys), algebra),
    cmd("ZINTERSTORE", keys, numkeys, several(keys), algebra),
    cmd("ZDIFFSTORE", keys, numkeys, several(keys), algebra),
    cmd("ZINTERCARD", numkeys, several(keys), options(words("LIMIT", counts), most=1)),
    cmd("ZRANGE", keys, "0", "-1", "WITHSCORES"),
    cmd("DEL", keys),
)

SCORED_NAMES = st.one_of(
    cmd("ZADD", keys, "0", members, "0", members, "0", members),
    cmd("ZRANGEBYLEX", keys, name_ends, name_ends, options(limits, "WITHSCORES", most=1)),
    cmd("ZREVRANGEBYLEX", keys, name_ends, name_ends, options(limits, most=1)),
    cmd("ZRANGE", keys, name_ends, name_ends, "BYLEX", options("REV", limits, "WITHSCORES", most=2)),
    cmd("ZLEXCOUNT", keys, name_ends, name_ends),
    cmd("ZREMRANGEBYLEX", keys, name_ends, name_ends),
    cmd("ZREM", keys, members),
    cmd("ZRANGESTORE", keys, keys, name_ends, name_ends, "BYLEX", options("REV", limits, most=2)),
)
