"""One redis-server and one node for all comparisons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.machine import Pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("oracle"))
    yield pair
    pair.oracle.close()
