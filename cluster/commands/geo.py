"""Geo sets: places of members, as sorted sets whose scores are geohashes. Searches have a file of their own."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import FIRST, FIRST_READ
from cluster.commands.registry import DENYOOM, READONLY, WRITE, command
from cluster.commands.sorted_sets import zadd
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace import geohash
from cluster.keyspace.geohash import Place
from cluster.keyspace.numbers import parse_float
from cluster.keyspace.values import SortedSetValue
from cluster.protocol import replies

_METERS = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}
_ADD_OPTIONS = (b"NX", b"XX", b"CH")
_COORDINATE_DECIMALS = 17


def parse_place(longitude: bytes, latitude: bytes) -> Place:
    place = Place(parse_float(longitude), parse_float(latitude))
    if abs(place.longitude) > geohash.LONGITUDE_LIMIT or abs(place.latitude) > geohash.LATITUDE_LIMIT:
        raise CommandError(f"ERR invalid longitude,latitude pair {place.longitude:f},{place.latitude:f}")
    return place


def parse_unit(text: bytes) -> float:
    """How many metres one of the unit is."""
    meters = _METERS.get(text.upper())
    if meters is None:
        raise CommandError("ERR unsupported unit provided. please use M, KM, FT, MI")
    return meters


def distance_reply(meters: float, unit: float) -> bytes:
    return replies.bulk(b"%.4f" % (meters / unit))


def place_reply(place: Place, resp: int) -> bytes:
    return replies.array([_coordinate(degrees, resp) for degrees in place])


def _coordinate(degrees: float, resp: int) -> bytes:
    shown = (b"%.*f" % (_COORDINATE_DECIMALS, degrees)).rstrip(b"0").rstrip(b".")
    if shown == b"-0":
        shown = b"0"
    return b",%b\r\n" % shown if resp == 3 else replies.bulk(shown)


@command("GEOADD", arity=-5, flags={WRITE, DENYOOM}, keys=FIRST, group="geo", since="3.2.0", own_effects=True,
         complexity="O(log(N)) for each member, where N is the size of the sorted set",
         summary="Adds members with their places to a geo set, or moves them.",
         syntax="key [NX | XX]@6.2.0 [CH]@6.2.0 (longitude:double latitude:double member)...")
def geoadd(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    at = 0
    while at < len(arguments) and arguments[at].upper() in _ADD_OPTIONS:
        at += 1
    words, triples = arguments[:at], arguments[at:]
    if len(triples) % 3 or {b"NX", b"XX"} <= {word.upper() for word in words}:
        raise SyntaxFault
    pairs: list[bytes] = []
    for longitude, latitude, member in zip(triples[::3], triples[1::3], triples[2::3], strict=True):
        pairs += b"%d" % geohash.encode(parse_place(longitude, latitude)), member
    before = ctx.dirty
    reply = zadd(ctx, key, *words, *pairs)
    if ctx.dirty != before:
        # Replicas need not know of places.
        ctx.propagate(b"ZADD", key, *words, *pairs)
    assert reply is not None
    return reply


def _scores(ctx: Context, key: bytes, members: tuple[bytes, ...]) -> list[float | None]:
    value = ctx.typed(key, SortedSetValue)
    return [None if value is None else value.score(member) for member in members]


@command("GEOPOS", arity=-2, flags={READONLY}, keys=FIRST_READ, group="geo", since="3.2.0",
         complexity="O(1) for each member", summary="Answers the places of members.", syntax="key [member...]")
def geopos(ctx: Context, key: bytes, *members: bytes) -> bytes:
    return replies.array([
        ctx.null_array if score is None else place_reply(geohash.decode(score), ctx.resp)
        for score in _scores(ctx, key, members)
    ])


@command("GEOHASH", arity=-2, flags={READONLY}, keys=FIRST_READ, group="geo", since="3.2.0",
         complexity="O(1) for each member", summary="Answers the places of members as geohashes in letters.",
         syntax="key [member...]")
def geohash_(ctx: Context, key: bytes, *members: bytes) -> bytes:
    return replies.array([
        ctx.null if score is None else replies.text(geohash.text_of(score)) for score in _scores(ctx, key, members)
    ])


@command("GEODIST", arity=-4, flags={READONLY}, keys=FIRST_READ, group="geo", since="3.2.0",
         complexity="O(1)", summary="Answers the distance between two members.",
         syntax="key member1 member2 [M | KM | FT | MI]")
def geodist(ctx: Context, key: bytes, member: bytes, other: bytes, *options: bytes) -> bytes:
    if len(options) > 1:
        raise SyntaxFault
    unit = parse_unit(options[0]) if options else 1.0
    score, other_score = _scores(ctx, key, (member, other))
    if score is None or other_score is None:
        return ctx.null
    return distance_reply(geohash.distance(geohash.decode(score), geohash.decode(other_score)), unit)
