"""Geohashes: places on Earth as whole numbers that sort by where they lie, and the distances between places.

A geohash of `step` halves longitude and latitude that many times each; its bits take turns, longitude first. A member
of a geo set has a score of 26 steps, 52 bits, so the members of a coarser cell are one stretch of the sorted set: a
search covers its shape with a cell and its eight neighbours, and looks at what those stretches hold.

Longitude goes from -180 to 180, latitude to 85.05112878 either way (EPSG:3857), Earth is a sphere: the haversine
formula. The steps of the arithmetic are those of Redis, so that the doubles are the same to their last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

STEPS: Final = 26
_COLUMNS: Final = 1 << STEPS
LONGITUDE_LIMIT: Final = 180.0
LATITUDE_LIMIT: Final = 85.05112878
EARTH_RADIUS_METERS: Final = 6372797.560856
_HALF_EQUATOR_METERS: Final = 20037726.37
"""Of the Mercator projection: a radius as large needs no halving at all."""
_RADIANS: Final = math.pi / 180.0

_ALPHABET: Final = "0123456789bcdefghjkmnpqrstuvwxyz"
_TEXT_DIGITS: Final = 11
_TEXT_LATITUDE_LIMIT: Final = 90.0
"""Geohashes as texts, everybody's format, reach to the poles."""

_POLAR: Final = 66.0
_MOST_POLAR: Final = 80.0
_INT63: Final = 1 << 63
_UINT64_MASK: Final = (1 << 64) - 1


class Place(NamedTuple):
    """Degrees."""

    longitude: float
    latitude: float


class Cell(NamedTuple):
    """A geohash that was cut short: `column` and `row` count from the south-west corner, 2**step either way."""

    step: int
    column: int
    row: int

    @property
    def scores(self) -> tuple[int, int]:
        """(the first score within, the first one behind it)."""
        bits = _interleaved(self.row, self.column)
        shift = 2 * (STEPS - self.step)
        return bits << shift, (bits + 1) << shift

    def neighbour(self, east: int, north: int) -> Cell:
        """The cell that many columns to the east and rows to the north; both go around."""
        mask = (1 << self.step) - 1
        column = self.column + east & mask if east else self.column
        return Cell(self.step, column, self.row + north & mask if north else self.row)

    @property
    def bounds(self) -> Bounds:
        count = 1 << self.step
        return Bounds(
            _edge(self.column / count, LONGITUDE_LIMIT), _edge(self.row / count, LATITUDE_LIMIT),
            _edge((self.column + 1) / count, LONGITUDE_LIMIT), _edge((self.row + 1) / count, LATITUDE_LIMIT),
        )  # fmt: skip


def _edge(share: float, limit: float) -> float:
    """The degrees at that share of the way from -limit to limit."""
    return -limit + share * (2 * limit)


class Bounds(NamedTuple):
    west: float
    south: float
    east: float
    north: float


# -- places and scores -------------------------------------------------------------------------------------------


def _interleaved(low: int, high: int) -> int:
    """The bits of both in turn, the lowest from `low`. Read to the base 4, binary digits stand two apart."""
    return int(f"{low:b}", 4) | int(f"{high:b}", 4) << 1


def cell_of(place: Place, step: int, latitude_limit: float = LATITUDE_LIMIT) -> Cell:
    """The cell that holds `place`. The far edge itself counts as a cell of its own."""
    column = (place.longitude + LONGITUDE_LIMIT) / (2 * LONGITUDE_LIMIT)
    row = (place.latitude + latitude_limit) / (2 * latitude_limit)
    return Cell(step, int(column * (1 << step)), int(row * (1 << step)))


def encode(place: Place) -> int:
    """The score of a place within the limits."""
    return cell_of(place, STEPS).scores[0]


def decode(score: float) -> Place:
    """The middle of the cell that `score` stands for. Any double will do: a geo set is a sorted set like others."""
    bits = f"{int(score) if 0 <= score < _INT63 else _as_unsigned(score):064b}"
    column, row = int(bits[::2], 2), int(bits[1::2], 2)
    longitude = (_edge(column / _COLUMNS, LONGITUDE_LIMIT) + _edge((column + 1) / _COLUMNS, LONGITUDE_LIMIT)) / 2
    latitude = (_edge(row / _COLUMNS, LATITUDE_LIMIT) + _edge((row + 1) / _COLUMNS, LATITUDE_LIMIT)) / 2
    if row >= _COLUMNS or column >= _COLUMNS:
        return Place(min(longitude, LONGITUDE_LIMIT), min(latitude, LATITUDE_LIMIT))
    return Place(longitude, latitude)


def _as_unsigned(score: float) -> int:
    """A double as 64 bits without a sign, the way processors of the x86 family convert what does not fit."""
    if score >= _INT63:
        score -= _INT63
        return _INT63 + int(score) if score < _INT63 else 0
    return int(score) & _UINT64_MASK if score >= -_INT63 else _INT63


def text_of(score: float) -> str:
    """The place as a geohash in letters: eleven digits to the base 32, of which the last holds nothing any more."""
    bits, _ = cell_of(decode(score), STEPS, _TEXT_LATITUDE_LIMIT).scores
    digits = [bits >> 2 * STEPS - 5 * (at + 1) & 31 for at in range(_TEXT_DIGITS - 1)]
    return "".join(_ALPHABET[digit] for digit in digits) + _ALPHABET[0]


# -- distances ---------------------------------------------------------------------------------------------------


def distance(one: Place, other: Place) -> float:
    """In metres."""
    longitude, other_longitude = one.longitude * _RADIANS, other.longitude * _RADIANS
    across = math.sin((other_longitude - longitude) / 2)
    if across == 0.0:
        return _distance_along(one.latitude, other.latitude)
    latitude, other_latitude = one.latitude * _RADIANS, other.latitude * _RADIANS
    along = math.sin((other_latitude - latitude) / 2)
    share = along * along + math.cos(latitude) * math.cos(other_latitude) * across * across
    return 2.0 * EARTH_RADIUS_METERS * math.asin(math.sqrt(min(share, 1.0)))


def _distance_along(latitude: float, other: float) -> float:
    """Along a meridian."""
    return EARTH_RADIUS_METERS * abs(other * _RADIANS - latitude * _RADIANS)


# -- shapes to search in -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A circle or a box around `center`: half its width and height in metres, which is the radius of a circle."""

    center: Place
    half_width: float
    half_height: float
    is_box: bool

    def distance_within(self, place: Place) -> float | None:
        """How far `place` is from the center, in metres; None when it lies outside."""
        center = self.center
        if self.is_box:
            if _distance_along(place.latitude, center.latitude) > self.half_height:
                return None
            if distance(place, Place(center.longitude, place.latitude)) > self.half_width:
                return None
            return distance(center, place)
        found = distance(center, place)
        return None if found > self.half_height else found

    @property
    def bounds(self) -> Bounds:
        """In degrees; over the poles and the date line they go on."""
        longitude, latitude = self.center
        height = self.half_height / EARTH_RADIUS_METERS / _RADIANS
        # The side nearer to a pole is the one where a width takes more degrees.
        narrow = math.cos(_finite((latitude - height if latitude < 0 else latitude + height) * _RADIANS))
        width = self.half_width / EARTH_RADIUS_METERS / narrow / _RADIANS
        return Bounds(longitude - width, latitude - height, longitude + width, latitude + height)

    @property
    def reach(self) -> float:
        """The radius of a circle that covers the shape."""
        if not self.is_box:
            return self.half_height
        return math.sqrt(self.half_width * self.half_width + self.half_height * self.half_height)


def _finite(angle: float) -> float:
    return angle if math.isfinite(angle) else math.nan


def _step_for(radius: float, latitude: float) -> int:
    """How fine cells may be that cover a circle with one and its neighbours."""
    if radius == 0:
        return STEPS
    step = -1
    while radius < _HALF_EQUATOR_METERS:
        radius *= 2
        step += 1
    step -= (abs(latitude) > _POLAR) + (abs(latitude) > _MOST_POLAR)
    return min(max(step, 1), STEPS)


def covering(shape: Shape) -> Iterator[Cell]:
    """The cells that hold all of `shape`, in the order in which Redis goes through them."""
    bounds = shape.bounds
    middle = cell_of(shape.center, _step_for(shape.reach, shape.center.latitude))
    if middle.step > 1 and _neighbours_fall_short(middle, bounds):
        middle = cell_of(shape.center, middle.step - 1)
    own = middle.bounds
    fine = middle.step > 1
    previous: Cell | None = None
    for east, north in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
        useless = (
            (north < 0 and own.south < bounds.south) or (north > 0 and own.north > bounds.north)
            or (east < 0 and own.west < bounds.west) or (east > 0 and own.east > bounds.east)
        )  # fmt: skip
        if fine and useless:
            continue
        cell = middle.neighbour(east, north)
        # Of the largest cells two neighbours may be one and the same.
        if cell != previous:
            yield cell
        previous = cell


def _neighbours_fall_short(middle: Cell, bounds: Bounds) -> bool:
    return (
        middle.neighbour(0, 1).bounds.north < bounds.north
        or middle.neighbour(0, -1).bounds.south > bounds.south
        or middle.neighbour(1, 0).bounds.east < bounds.east
        or middle.neighbour(-1, 0).bounds.west > bounds.west
    )
