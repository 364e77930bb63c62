"""The pairs of a redis-server and a node, each made once for all comparisons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.machine import DIRECTIVES, Pair
from tests.differential.server_pair import ServerPair
from tests.newer_server import newer_server


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("oracle"), *DIRECTIVES)
    yield pair
    pair.close()


@pytest.fixture(scope="session")
def newer_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With a redis-server 8.2."""
    pair = Pair(tmp_path_factory.mktemp("newer-oracle"), *DIRECTIVES, program=newer_server())
    yield pair
    pair.close()


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
