"""Strings, bitmaps and HyperLogLogs."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import FAR, cmd, floats, integers, keys, options, several, small, values, words

times = st.one_of(st.sampled_from([b"1000", b"2000", b"100000"]), integers.filter(lambda text: not text.isdigit()))
"""Relative times: far enough off that nothing expires in a run, or wrong."""
moments = st.sampled_from([b"%d" % FAR, b"%d" % (FAR + 5), b"0", b"-1", b"x", b"9223372036854775807"])
deadlines = st.one_of(
    words("EX", times), words("PX", st.sampled_from([b"1000000", b"0", b"x"])), words("EXAT", moments),
    words("PXAT", st.sampled_from([b"%d000" % FAR, b"0", b"x"])),
)
bit_ranges: st.SearchStrategy[list[bytes]] = st.one_of(
    words(), words(integers), words(integers, integers),
    words(small, small, st.sampled_from([b"BIT", b"BYTE", b"bit", b"x"])), words(small, small, "BIT", "BIT"),
)
offsets = st.one_of(small, st.integers(0, 200).map(lambda number: b"%d" % number), integers)
types = st.one_of(
    st.tuples(st.sampled_from("iu"), st.integers(0, 66)).map(lambda drawn: f"{drawn[0]}{drawn[1]}".encode()),
    st.sampled_from([b"u8", b"i8", b"u4", b"i64", b"u63", b"u64", b"x8", b"u", b"U8", b"u08"]),
)
field_offsets = st.one_of(small, st.integers(0, 9).map(lambda number: b"#%d" % number), st.just(b"#x"))
field_operations = st.lists(
    st.one_of(
        words("GET", types, field_offsets), words("SET", types, field_offsets, integers),
        words("INCRBY", types, field_offsets, integers),
        words("OVERFLOW", st.sampled_from([b"WRAP", b"SAT", b"FAIL", b"fail", b"x"])), words("GET", types),
    ),
    max_size=4,
)

STRINGS = st.one_of(
    cmd("GET", keys),
    cmd("SET", keys, values),
    cmd("SET", keys, values, options("NX", "XX", "GET", "KEEPTTL", "x", "EX", deadlines)),
    cmd("SETEX", keys, times, values),
    cmd("PSETEX", keys, st.sampled_from([b"1000000", b"0", b"-5", b"x"]), values),
    cmd("SETNX", keys, values),
    cmd("GETSET", keys, values),
    cmd("GETDEL", keys),
    cmd("GETEX", keys, options("PERSIST", "EX", deadlines, most=2)),
    cmd("MGET", several(keys)),
    cmd("MSET", several(st.tuples(keys, values))),
    cmd("MSET", several(values, 2, 5)),
    cmd("MSETNX", several(st.tuples(keys, values))),
    cmd("STRLEN", keys),
    cmd("APPEND", keys, values),
    cmd("SETRANGE", keys, offsets, values),
    cmd("GETRANGE", keys, integers, integers),
    cmd("SUBSTR", keys, small, small),
    cmd("INCR", keys),
    cmd("DECR", keys),
    cmd("INCRBY", keys, integers),
    cmd("DECRBY", keys, integers),
    cmd("INCRBYFLOAT", keys, floats),
    cmd("LCS", keys, keys, options("LEN", "IDX", "WITHMATCHLEN", words("MINMATCHLEN", integers), "MINMATCHLEN")),
    cmd("GET"),
    cmd("STRLEN", keys, keys),
)

BITMAPS = st.one_of(
    cmd("SET", keys, values),
    cmd("GETBIT", keys, offsets),
    cmd("SETBIT", keys, offsets, st.sampled_from([b"0", b"1", b"1", b"2", b"x"])),
    cmd("BITCOUNT", keys, bit_ranges),
    cmd("BITPOS", keys, st.sampled_from([b"0", b"1", b"1", b"2", b"x"]), bit_ranges),
    cmd("BITOP", st.sampled_from([b"AND", b"OR", b"XOR", b"NOT", b"not", b"x"]), keys, several(keys)),
    cmd("BITFIELD", keys, field_operations),
    cmd("BITFIELD_RO", keys, field_operations),
    cmd("LPUSH", keys, values),
)

_HEADER = b"HYLL\x01\0\0\0" + b"\0" * 7 + b"\x80"
RAW_HYPERLOGLOGS = [
    _HEADER + b"\x7f\xff", _HEADER + b"\x3f" * 256, _HEADER + b"\x7f\xfe\x84", _HEADER + b"\x83\x83\x7f\xf7",
    # Broken ones: too short, of an unknown representation, runs of too few and of too many registers.
    _HEADER, _HEADER[:15], b"HYLL\x02" + _HEADER[5:] + b"\x7f\xff", b"HYLL\0" + _HEADER[5:] + b"\x7f\xff",
    b"hyll" + _HEADER[4:] + b"\x7f\xff", _HEADER + b"\x7f\xfe", _HEADER + b"\x7f\xff\x84", _HEADER + b"\x7f",
]  # fmt: skip
few_elements = st.lists(st.integers(0, 1 << 20).map(lambda number: b"%d" % number), max_size=4)
many_elements = st.tuples(st.integers(0, 1 << 20), st.sampled_from([30, 100])).map(
    lambda drawn: [b"%d" % number for number in range(drawn[0], drawn[0] + drawn[1])]
)

HYPERLOGLOGS = st.one_of(
    cmd("PFADD", keys, few_elements),
    cmd("PFADD", keys, st.one_of(few_elements, many_elements, several(values))),
    cmd("PFCOUNT", several(keys, 1, 4)),
    cmd("PFCOUNT", keys),
    cmd("PFMERGE", several(keys, 1, 4)),
    cmd("GET", keys),
    cmd("PFDEBUG", st.sampled_from([b"GETREG", b"decode", b"ENCODING", b"TODENSE", b"x"]), keys),
    cmd("SET", keys, st.one_of(st.sampled_from(RAW_HYPERLOGLOGS), values)),
    cmd("SETRANGE", keys, st.sampled_from([b"15", b"16", b"17", b"12290", b"12303", b"12304"]), values),
    cmd("CONFIG", "SET", "hll-sparse-max-bytes", st.sampled_from([b"0", b"40", b"3000", b"3000", b"16000"])),
    cmd("HSET", keys, "field", small),
    cmd("DEL", keys),
    cmd("OBJECT", "ENCODING", keys),
    cmd("STRLEN", keys),
)
