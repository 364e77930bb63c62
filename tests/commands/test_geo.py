"""Geo sets: what the comparison with redis-server cannot show, how much a search looks at and what it leaves behind."""

from __future__ import annotations

import random

import pytest

from cluster.commands.geo_search import Search
from cluster.keyspace import geohash
from cluster.keyspace.geohash import Place
from cluster.keyspace.sorted_set import SortedSetValue
from tests.commands.in_process import InProcessNode

SICILY = ("GEOADD", "Sicily", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania")


class Counted(SortedSetValue):
    """Counts the members that are looked at."""

    looked_at = 0

    def stretch(self, first: int, behind: int, *, descending: bool = False) -> list[tuple[float, bytes]]:
        self.looked_at += behind - first
        return super().stretch(first, behind, descending=descending)


@pytest.fixture(scope="module")
def world() -> Counted:
    rng = random.Random(1)
    places = [Place(rng.uniform(-180, 180), rng.uniform(-85, 85)) for _ in range(20_000)]
    return Counted((b"%d" % number, float(geohash.encode(place))) for number, place in enumerate(places))


def search(world: Counted, *options: bytes) -> list[bytes]:
    world.looked_at = 0
    asked = Search(world, "search")
    asked.parse(options)
    return [one.member for one in asked.found()]


def test_a_search_looks_only_where_something_may_be(world: Counted) -> None:
    found = search(world, b"FROMLONLAT", b"13.4", b"52.5", b"BYRADIUS", b"300", b"km")
    assert 0 < len(found) <= world.looked_at < 300


def test_any_few_are_found_without_looking_at_all(world: Counted) -> None:
    options = (b"FROMLONLAT", b"13.4", b"52.5", b"BYRADIUS", b"9000", b"km")
    assert len(search(world, *options, b"COUNT", b"3", b"ANY")) == 3
    assert world.looked_at < 1000
    assert search(world, *options, b"COUNT", b"3") == search(world, *options, b"ASC")[:3]


def test_a_search_finds_what_a_look_at_everything_finds(world: Counted) -> None:
    rng = random.Random(2)
    for _ in range(20):
        center = Place(rng.uniform(-180, 180), rng.uniform(-60, 60))
        radius = rng.choice([100, 1000, 3000])
        place = [b"%.6f" % degrees for degrees in center]
        found = search(world, b"FROMLONLAT", *place, b"BYRADIUS", b"%d" % radius, b"km")
        near = [
            member
            for member, score in world.items()
            if geohash.distance(Place(*map(float, place)), geohash.decode(score)) <= radius * 1000
        ]
        assert sorted(found) == sorted(near)


def test_places_travel_as_scores(node: InProcessNode) -> None:
    assert node.journaled(*SICILY) == [
        [b"ZADD", b"Sicily", b"3479099956230698", b"Palermo", b"3479447370796909", b"Catania"]
    ]
    assert node.journaled(*SICILY) == []
    assert node.journaled("geoadd", "Sicily", "xx", "ch", 0, 0, "Palermo") == [
        [b"ZADD", b"Sicily", b"xx", b"ch", b"3377699720527872", b"Palermo"]
    ]
    assert node.journaled("GEOADD", "Sicily", "NX", 1, 1, "Palermo") == []


def test_searches_that_store(node: InProcessNode) -> None:
    node(*SICILY)
    stored = ("GEORADIUS", "Sicily", 15, 37, 200, "km", "STORE", "near")
    assert node.journaled(*stored) == [[str(word).encode() for word in stored]]
    assert node("ZRANGE", "near", 0, -1) == [b"Palermo", b"Catania"]
    node("SET", "other", "x", "EX", 100)
    assert node("GEOSEARCHSTORE", "other", "Sicily", "FROMMEMBER", "Catania", "BYBOX", 1, 1, "km", "STOREDIST") == 1
    assert node("ZRANGE", "other", 0, -1, "WITHSCORES") == [b"Catania", b"0"]
    assert node("TTL", "other") == -1
    nothing = ("GEOSEARCHSTORE", "other", "Sicily", "FROMLONLAT", 0, 0, "BYRADIUS", 1, "m")
    assert node.journaled(*nothing) == [[str(word).encode() for word in nothing]]
    assert node("EXISTS", "other") == 0
    assert node.journaled(*nothing) == []
    assert node.journaled("GEOSEARCHSTORE", "near", "none", *nothing[3:]) != []
    assert node("EXISTS", "near") == 0


def test_an_error_names_the_command_as_it_was_typed(node: InProcessNode) -> None:
    text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GeoSearch"
    assert node.error("GeoSearch", "none", "BYRADIUS", 1, "m", "ASC", "ASC") == text
    node("MULTI")
    node("GeoSearch", "none", "BYRADIUS", 1, "m", "ASC", "ASC")
    assert [str(reply) for reply in node("EXEC")] == [text]


def test_keys_of_several_slots_do_not_meet(cluster_node: InProcessNode) -> None:
    cluster_node("GEOADD", "a", 1, 1, "m")
    assert cluster_node.error("GEORADIUS", "a", 1, 1, 1, "m", "STORE", "b").startswith("CROSSSLOT")
    assert cluster_node.error("GEORADIUSBYMEMBER", "a", "m", 1, "m", "STOREDIST", "b").startswith("CROSSSLOT")
    assert cluster_node("GEORADIUS", "a", 1, 1, 1, "m", "STORE", "{a}") == 1
