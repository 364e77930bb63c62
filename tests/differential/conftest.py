"""The pairs of a redis-server and a node, each made once for all comparisons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.machine import DIRECTIVES, Pair
from tests.differential.server_pair import ServerPair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("oracle"), *DIRECTIVES)
    yield pair
    pair.oracle.close()


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """Both outside of cluster mode."""
    pair = ServerPair(tmp_path_factory.mktemp("alone"), cluster=False)
    yield pair
    pair.close()


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """Both the only node of a cluster."""
    pair = ServerPair(tmp_path_factory.mktemp("clustered"), cluster=True)
    yield pair
    pair.close()
