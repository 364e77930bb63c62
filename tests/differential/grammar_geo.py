"""Geo sets.

There are six members on purpose: where several are equally far away, redis-server's choice of the nearest keeps their
order only among so few.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.grammar import Choice, cmd, integers, keys, options, several, small, values, words

members = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
known_places = st.sampled_from([
    [b"13.361389", b"38.115556"], [b"15.087269", b"37.502669"], [b"13.36", b"38.1"], [b"0", b"0"], [b"-0.5", b"0.5"],
    [b"179.99", b"-16.5"], [b"-179.99", b"-16.6"], [b"20", b"84.9"], [b"-100", b"85"], [b"40", b"-70"],
    [b"180", b"85.05112878"], [b"-180", b"-85.05112878"],
])  # fmt: skip
wrong_places = st.sampled_from([
    [b"181", b"0"], [b"0", b"86"], [b"-inf", b"1"], [b"nan", b"1"], [b"x", b"1"], [b"1", b""], [b"1e300", b"-1e300"],
    [b"180.0000001", b"-85.05112879"],
])  # fmt: skip
any_place = st.tuples(st.floats(-180, 180), st.floats(-85.05, 85.05)).map(
    lambda both: [repr(degrees).encode() for degrees in both]
)
places = st.one_of(known_places, known_places, any_place, wrong_places)
units = st.sampled_from([b"m", b"km", b"KM", b"ft", b"Mi", b"m", b"km", b"x"])
lengths = st.one_of(
    st.sampled_from([b"0", b"1", b"50", b"200", b"500", b"3000", b"9000", b"25000", b"1e6", b"1e9", b"1e300", b"inf"]),
    st.floats(0, 1e5).map(lambda length: repr(length).encode()),
    st.sampled_from([b"-1", b"x", b"nan", b"", b"-0"]),
)
counts = st.sampled_from([b"1", b"2", b"3", b"100", b"0", b"-1", b"x"])
shown: list[Choice] = [
    "WITHDIST", "WITHCOORD", "WITHHASH", "withdist", "ASC", "DESC", "ANY", words("COUNT", counts),
    words("COUNT", counts, "ANY"), "COUNT", "x",
]  # fmt: skip
storing: list[Choice] = [words("STORE", keys), words("STOREDIST", keys), words("STORE", keys), "STORE"]
centers = st.one_of(words("FROMMEMBER", members), words("FROMLONLAT", places))
circles = words("BYRADIUS", lengths, units)
boxes = words("BYBOX", lengths, lengths, units)
shapes = st.one_of(circles, boxes)

GEO = st.one_of(
    cmd("GEOADD", keys, known_places, members),
    cmd("GEOADD", keys, several(st.tuples(any_place, members), 2, 6)),
    cmd("GEOADD", keys, options("NX", "XX", "CH", "nx", "GT", most=2), several(st.tuples(places, members))),
    cmd("GEOADD", keys, several(st.one_of(small, members), 3, 7)),
    cmd("GEOPOS", keys, several(members, 0)),
    cmd("GEOHASH", keys, several(members, 0)),
    cmd("GEODIST", keys, members, members, options(words(units), words(units), most=2)),
    cmd("GEORADIUS", keys, places, lengths, units, options(*shown, *storing)),
    cmd("GEORADIUS_RO", keys, places, lengths, units, options(*shown, "STORE")),
    cmd("GEORADIUSBYMEMBER", keys, members, lengths, units, options(*shown, *storing)),
    cmd("GEORADIUSBYMEMBER_RO", keys, members, lengths, units, options(*shown, "STOREDIST")),
    cmd("GEOSEARCH", keys, centers, shapes, options(*shown, most=4)),
    cmd("GEOSEARCH", keys, options(centers, shapes, shapes, "FROMLONLAT", "BYBOX", "STOREDIST", *shown, most=5)),
    cmd("GEOSEARCHSTORE", keys, keys, centers, shapes, options(*shown, "STOREDIST", "STOREDIST", most=3)),
    cmd("ZADD", keys, st.one_of(integers, st.sampled_from([b"-inf", b"inf", b"1.5", b"1e300", b"-1e19"])), members),
    cmd("ZADD", keys, st.integers(0, (1 << 52) - 1).map(lambda score: b"%d" % score), members),
    cmd("ZRANGE", keys, "0", "-1", "WITHSCORES"),
    cmd("ZREM", keys, several(members)),
    cmd("SET", keys, values),
    cmd("DEL", keys),
)  # fmt: skip
