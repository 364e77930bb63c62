"""Geo sets: who is within a circle or a box? GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS in four forms.

All of them fill in a `Search` from their arguments, in redis-server's order of errors, and then ask it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cluster.commands.context import Context
from cluster.commands.geo import distance_reply, parse_place, parse_unit, place_reply
from cluster.commands.keys import FIRST_READ, READ, REPLACE, Keys, KeySpec, Keyword, first_key
from cluster.commands.registry import DENYOOM, MOVABLE_KEYS, READONLY, WRITE, command
from cluster.commands.sorted_set_ranges import store
from cluster.errors import CommandError, NamedAsTyped, NotAFloat, SyntaxFault
from cluster.keyspace import geohash
from cluster.keyspace.geohash import Place, Shape
from cluster.keyspace.numbers import parse_float, parse_integer
from cluster.keyspace.values import SortedSetValue
from cluster.protocol import replies

_PIECE = 256
"""Members looked at in one go: a search for any few of them should not copy a whole stretch."""

_COMPLEXITY = "O(N+log(M)), where M is the size of the sorted set, and N that of the cells which cover the shape"


class Found(NamedTuple):
    """`distance` is that from the center, in metres."""

    distance: float
    score: float
    member: bytes
    place: Place


@dataclass(slots=True)
class Search:
    """What is asked of the sorted set `source`, None if there is none.

    form: "radius" (GEORADIUS, which may name where to store), "read" (its forms that may not), "search" or "store".
    unit: what one of the distance's unit is in metres. limit: 0 for no COUNT. target: where to store the result.
    """

    source: SortedSetValue | None
    form: str
    center: Place | None = None
    from_member: bool = False
    by_box: bool | None = None
    width: float = 0.0
    height: float = 0.0
    unit: float = 1.0
    order: bytes | None = None
    limit: int = 0
    any: bool = False
    with_distance: bool = False
    with_hash: bool = False
    with_place: bool = False
    target: bytes | None = None
    stores_distances: bool = False

    # -- arguments -----------------------------------------------------------------------------------------------

    def place_at_member(self, member: bytes) -> None:
        self.from_member = True
        if self.source is None:
            return  # the answer is known, but errors in what follows come first
        score = self.source.score(member)
        if score is None:
            raise CommandError("ERR could not decode requested zset member")
        self.center = geohash.decode(score)

    def set_radius(self, radius: bytes, unit: bytes) -> None:
        self.by_box = False
        # A circle is as wide and as high as its radius says, to either side.
        self.width = self.height = 2 * _length(radius, "radius")
        if self.width < 0:
            raise CommandError("ERR radius cannot be negative")
        self.unit = parse_unit(unit)

    def set_box(self, width: bytes, height: bytes, unit: bytes) -> None:
        self.by_box = True
        self.width, self.height = _length(width, "width"), _length(height, "height")
        if self.width < 0 or self.height < 0:
            raise CommandError("ERR height or width cannot be negative")
        self.unit = parse_unit(unit)

    def parse(self, arguments: tuple[bytes, ...]) -> None:
        """The options of all forms, and whether they go together."""
        rest = list(reversed(arguments))
        while rest:
            word = rest.pop().upper()
            if not (self._parse_plain(word) or self._parse_shape(word, rest) or self._parse_valued(word, rest)):
                raise SyntaxFault
        if self.target is not None and (self.with_distance or self.with_hash or self.with_place):
            what = "GEOSEARCHSTORE" if self.form == "store" else "STORE option in GEORADIUS"
            raise CommandError(f"ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
        if self.center is None and not self.from_member:
            raise NamedAsTyped("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}")
        if self.by_box is None and self.form in ("search", "store"):
            raise NamedAsTyped("ERR exactly one of BYRADIUS and BYBOX can be specified for {}")
        if self.any and not self.limit:
            raise CommandError("ERR the ANY argument requires COUNT argument")

    def _parse_plain(self, word: bytes) -> bool:
        if word == b"WITHDIST":
            self.with_distance = True
        elif word == b"WITHHASH":
            self.with_hash = True
        elif word == b"WITHCOORD":
            self.with_place = True
        elif word == b"ANY":
            self.any = True
        elif word in (b"ASC", b"DESC"):
            self.order = word
        elif word == b"STOREDIST" and self.form == "store":
            self.stores_distances = True
        else:
            return False
        return True

    def _parse_valued(self, word: bytes, rest: list[bytes]) -> bool:
        if not rest:
            return False
        if word == b"COUNT":
            self.limit = parse_integer(rest.pop())
            if self.limit <= 0:
                raise CommandError("ERR COUNT must be > 0")
        elif word in (b"STORE", b"STOREDIST") and self.form == "radius":
            self.target = rest.pop()
            self.stores_distances = word == b"STOREDIST"
        else:
            return False
        return True

    def _parse_shape(self, word: bytes, rest: list[bytes]) -> bool:
        if self.form not in ("search", "store"):
            return False
        left = len(rest)
        if word == b"FROMMEMBER" and left >= 1 and (self.from_member or self.center is None):
            self.place_at_member(rest.pop())
        elif word == b"FROMLONLAT" and left >= 2 and not self.from_member:
            self.center = parse_place(rest.pop(), rest.pop())
        elif word == b"BYRADIUS" and left >= 2 and not self.by_box:
            self.set_radius(rest.pop(), rest.pop())
        elif word == b"BYBOX" and left >= 3 and self.by_box is not False:
            self.set_box(rest.pop(), rest.pop(), rest.pop())
        else:
            return False
        return True

    # -- the answer ----------------------------------------------------------------------------------------------

    def found(self) -> list[Found]:
        """In the order asked for; without one as the cells come, nearest first where COUNT chooses."""
        if self.source is None or self.center is None:
            return []
        shape = Shape(self.center, self.width / 2 * self.unit, self.height / 2 * self.unit, bool(self.by_box))
        found: list[Found] = []
        for score, member in _members(self.source, shape):
            place = geohash.decode(score)
            distance = shape.distance_within(place)
            if distance is not None:
                found.append(Found(distance, score, member, place))
                if self.any and len(found) == self.limit:
                    break
        if self.order is not None or (self.limit and not self.any):
            found.sort(key=lambda one: one.distance, reverse=self.order == b"DESC")
        return found[: self.limit] if self.limit else found

    def answer(self, ctx: Context) -> bytes:
        found = self.found()
        if self.target is not None:
            event = "geosearchstore" if self.form == "store" else "georadiusstore"
            scores = ((one.member, one.distance / self.unit if self.stores_distances else one.score) for one in found)
            return store(ctx, self.target, SortedSetValue(scores), event)
        if not (self.with_distance or self.with_hash or self.with_place):
            return replies.bulk_array([one.member for one in found])
        return replies.array([self._described(one, ctx.resp) for one in found])

    def _described(self, one: Found, resp: int) -> bytes:
        parts = [replies.bulk(one.member)]
        if self.with_distance:
            parts.append(distance_reply(one.distance, self.unit))
        if self.with_hash:
            parts.append(replies.integer(int(one.score)))
        if self.with_place:
            parts.append(place_reply(one.place, resp))
        return replies.array(parts)


def _length(text: bytes, what: str) -> float:
    try:
        return parse_float(text)
    except NotAFloat:
        raise CommandError(f"ERR need numeric {what}") from None


def _members(source: SortedSetValue, shape: Shape) -> Iterator[tuple[float, bytes]]:
    """(score, member) of all that lie in the cells which cover `shape`."""
    for cell in geohash.covering(shape):
        low, high = cell.scores
        first = source.position_of_score(float(low), after=False)
        behind = source.position_of_score(float(high), after=False)
        for start in range(first, behind, _PIECE):
            yield from source.stretch(start, min(start + _PIECE, behind))


# -- the commands ------------------------------------------------------------------------------------------------


@command("GEOSEARCH", arity=-7, flags={READONLY}, keys=FIRST_READ, group="geo", since="6.2.0", complexity=_COMPLEXITY,
         summary="Answers the members within a circle or a box.",
         syntax="key (FROMMEMBER member | FROMLONLAT (longitude:double latitude:double)) (BYRADIUS radius:double (M | "
                "KM | FT | MI) | BYBOX width:double height:double (M | KM | FT | MI)) [ASC | DESC] [COUNT "
                "count:integer [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]")
def geosearch(ctx: Context, key: bytes, *options: bytes) -> bytes:
    search = Search(ctx.typed(key, SortedSetValue), "search")
    search.parse(options)
    return search.answer(ctx)


@command("GEOSEARCHSTORE", arity=-8, flags={WRITE, DENYOOM}, group="geo", since="6.2.0", complexity=_COMPLEXITY,
         keys=(KeySpec(1, 1, 1, REPLACE), KeySpec(2, 2, 1, READ)),
         summary="Stores the members within a circle or a box.",
         syntax="destination:key source:key (FROMMEMBER member | FROMLONLAT (longitude:double latitude:double)) "
                "(BYRADIUS radius:double (M | KM | FT | MI) | BYBOX width:double height:double (M | KM | FT | MI)) "
                "[ASC | DESC] [COUNT count:integer [ANY]] [STOREDIST]")
def geosearchstore(ctx: Context, destination: bytes, source: bytes, *options: bytes) -> bytes:
    search = Search(ctx.typed(source, SortedSetValue), "store", target=destination)
    search.parse(options)
    return search.answer(ctx)


_PLACE_SYNTAX = (
    "key longitude:double latitude:double radius:double (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] "
    "[COUNT count:integer [ANY]@6.2.0] [ASC | DESC]"
)
_MEMBER_SYNTAX = (
    "key member radius:double (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] "
    "[ASC | DESC]"
)
_STORE_SYNTAX = "[STORE key] [STOREDIST key]"


def _radius_keys(options_at: int) -> Keys:
    stored = (Keyword(word, options_at, flags=REPLACE) for word in (b"STORE", b"STOREDIST"))
    return (*first_key(*READ), *stored)


def _around_place(ctx: Context, key: bytes, where: tuple[bytes, ...], options: tuple[bytes, ...], form: str) -> bytes:
    """`where` is the longitude, the latitude, the radius and its unit."""
    search = Search(ctx.typed(key, SortedSetValue), form)
    search.center = parse_place(where[0], where[1])
    search.set_radius(where[2], where[3])
    search.parse(options)
    return search.answer(ctx)


def _around_member(ctx: Context, key: bytes, where: tuple[bytes, ...], options: tuple[bytes, ...], form: str) -> bytes:
    """`where` is the member, the radius and its unit."""
    search = Search(ctx.typed(key, SortedSetValue), form)
    search.place_at_member(where[0])
    if search.source is not None:
        search.set_radius(where[1], where[2])
    search.parse(options)
    return search.answer(ctx)


@command("GEORADIUS", arity=-6, flags={WRITE, DENYOOM, MOVABLE_KEYS}, keys=_radius_keys(6), group="geo", since="3.2.0",
         complexity=_COMPLEXITY, summary="Answers or stores the members within a distance from a place.",
         syntax=f"{_PLACE_SYNTAX} {_STORE_SYNTAX}",
         deprecated=("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"))
def georadius(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _around_place(ctx, key, arguments[:4], arguments[4:], "radius")


@command("GEORADIUS_RO", arity=-6, flags={READONLY}, keys=FIRST_READ, group="geo", since="3.2.10",
         complexity=_COMPLEXITY, summary="Answers the members within a distance from a place.",
         syntax=_PLACE_SYNTAX, deprecated=("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"))
def georadius_ro(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _around_place(ctx, key, arguments[:4], arguments[4:], "read")


@command("GEORADIUSBYMEMBER", arity=-5, flags={WRITE, DENYOOM, MOVABLE_KEYS}, keys=_radius_keys(5), group="geo",
         since="3.2.0", complexity=_COMPLEXITY,
         summary="Answers or stores the members within a distance from one of them.",
         syntax=f"{_MEMBER_SYNTAX} {_STORE_SYNTAX}",
         deprecated=("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"))
def georadiusbymember(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _around_member(ctx, key, arguments[:3], arguments[3:], "radius")


@command("GEORADIUSBYMEMBER_RO", arity=-5, flags={READONLY}, keys=FIRST_READ, group="geo", since="3.2.10",
         complexity=_COMPLEXITY, summary="Answers the members within a distance from one of them.",
         syntax=_MEMBER_SYNTAX,
         deprecated=("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"))
def georadiusbymember_ro(ctx: Context, key: bytes, *arguments: bytes) -> bytes:
    return _around_member(ctx, key, arguments[:3], arguments[3:], "read")
