"""Names that a sentinel looks up, which may come from anybody's hello."""

from __future__ import annotations

import pytest

from cluster.sentinel import names


@pytest.mark.parametrize("name", ["a..b", "x" * 70, "\udcff", "a\0b", ""])
def test_what_no_resolver_takes_is_not_found(name: str) -> None:
    assert names._look_up(name) is None


def test_an_address_is_its_own() -> None:
    assert names._look_up("127.0.0.1") == "127.0.0.1"


def test_names_of_strangers_take_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(names, "_look_up", asked.append)
    known = names.Names()
    known.enabled = True
    for number in range(names.KNOWN_LIMIT + 1):
        known.resolve(f"host{number}")
    known.resolve("host0")
    assert asked.count("host0") == 2, "it had to be forgotten"
    known.resolve(f"host{names.KNOWN_LIMIT}")
    assert asked.count(f"host{names.KNOWN_LIMIT}") == 1
