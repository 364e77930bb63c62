"""Names that a sentinel looks up, which may come from anybody's hello."""

from __future__ import annotations

import pytest

from cluster.sentinel.names import _look_up


@pytest.mark.parametrize("name", ["a..b", "x" * 70, "\udcff", "a\0b", ""])
def test_what_no_resolver_takes_is_not_found(name: str) -> None:
    assert _look_up(name) is None


def test_an_address_is_its_own() -> None:
    assert _look_up("127.0.0.1") == "127.0.0.1"
