"""Geohashes: known places, the way there and back, and cells that cover what they are to cover."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.keyspace import geohash
from cluster.keyspace.geohash import Place, Shape

longitudes = st.floats(-180, 180, exclude_max=True)
latitudes = st.floats(-85, 85)
places = st.builds(Place, longitudes, latitudes)
near_the_equator = st.builds(Place, longitudes, st.floats(-60, 60))


@pytest.mark.parametrize(
    ("longitude", "latitude", "text"),
    [(-5.603, 42.605, "ezs42"), (10.40744, 57.64911, "u4pruydqq"), (-49.265506, -25.382708, "6gkzwgjzn")],
)
def test_texts_are_everybodys_geohashes(longitude: float, latitude: float, text: str) -> None:
    shown = geohash.text_of(float(geohash.encode(Place(longitude, latitude))))
    assert len(shown) == 11
    assert shown.startswith(text)


@given(place=places)
def test_a_score_leads_back_to_within_a_meter(place: Place) -> None:
    again = geohash.decode(float(geohash.encode(place)))
    assert geohash.distance(place, again) < 1
    assert geohash.encode(again) == geohash.encode(place)


@given(score=st.floats(allow_nan=False))
def test_any_score_is_some_place(score: float) -> None:
    place = geohash.decode(score)
    assert abs(place.longitude) <= 180
    assert abs(place.latitude) <= geohash.LATITUDE_LIMIT
    assert len(geohash.text_of(score)) == 11


def test_distances() -> None:
    assert geohash.distance(Place(0, 0), Place(0, 0)) == 0
    quarter = math.pi / 2 * geohash.EARTH_RADIUS_METERS
    assert geohash.distance(Place(0, 0), Place(90, 0)) == pytest.approx(quarter)
    assert geohash.distance(Place(0, -45), Place(0, 45)) == pytest.approx(quarter)
    assert geohash.distance(Place(-179.5, 0), Place(179.5, 0)) == pytest.approx(quarter / 90)


@given(place=places)
def test_the_other_end_of_the_world_is_a_number_of_meters_away(place: Place) -> None:
    opposite = Place(place.longitude - math.copysign(180, place.longitude), -place.latitude)
    assert geohash.distance(place, opposite) == pytest.approx(math.pi * geohash.EARTH_RADIUS_METERS)


@given(
    center=near_the_equator, half_width=st.floats(0, 1e6), half_height=st.floats(0, 1e6), is_box=st.booleans(),
    direction=st.floats(0, 2 * math.pi), share=st.floats(0, 1.2),
)  # fmt: skip
def test_cells_cover_the_shape(
    center: Place, half_width: float, half_height: float, is_box: bool, direction: float, share: float
) -> None:
    shape = Shape(center, half_width if is_box else half_height, half_height, is_box)
    metres_a_degree = math.radians(geohash.EARTH_RADIUS_METERS)
    north = share * half_height * math.sin(direction) / metres_a_degree
    across = metres_a_degree * math.cos(math.radians(center.latitude + north))
    east = share * shape.half_width * math.cos(direction) / across
    place = Place((center.longitude + east + 180) % 360 - 180, center.latitude + north)
    score = geohash.encode(place)
    if shape.distance_within(geohash.decode(float(score))) is not None:
        assert any(first <= score < behind for first, behind in (cell.scores for cell in geohash.covering(shape)))


@pytest.mark.parametrize("center", [Place(13.4, 52.5), Place(-180, 0), Place(0, 0), Place(151.2, -33.9)])
def test_cells_of_a_small_shape_are_few_and_small(center: Place) -> None:
    cells = list(geohash.covering(Shape(center, 1000, 1000, is_box=False)))
    assert len(cells) == len(set(cells)) <= 9
    everything = 1 << 2 * geohash.STEPS
    assert sum(behind - first for first, behind in (cell.scores for cell in cells)) < everything / 1e6
