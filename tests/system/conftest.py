"""Fixtures of the system tests: a harness, and clusters that tests share while they only look at them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.system.clusters import Cluster
from tests.system.harness import Harness, ServerKind

NEEDED_PROGRAMS = ("redis-server", "redis-cli", "redis-benchmark")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip_without_redis(items)


def skip_without_redis(items: list[pytest.Item]) -> None:
    """Skip the system tests, or in CI fail, where Debian's programs are missing."""
    missing = [program for program in NEEDED_PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    reason = f"{', '.join(missing)} missing: install Debian's redis-server and redis-tools"
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(reason)
    for item in items:
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def server_kind(request: pytest.FixtureRequest) -> ServerKind:
    return "redis" if request.config.getoption("--server") == "redis" else "ours"


@pytest.fixture
def harness(server_kind: ServerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Servers for one test, which may do with them what it likes."""
    yield from harness_of(server_kind, tmp_path_factory)


@pytest.fixture(scope="module")
def shared_harness(server_kind: ServerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Servers for the tests of one file."""
    yield from harness_of(server_kind, tmp_path_factory)


@pytest.fixture(scope="module")
def shared_cluster(shared_harness: Harness) -> Cluster:
    """Three primaries with a replica each, which the tests of a file share and leave as they found it."""
    return Cluster.create(shared_harness, 6, 1)


def harness_of(kind: ServerKind, factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A harness for a fixture to yield: at its end no log may hold an unforeseen error, and all servers end."""
    harness = Harness(kind, factory.mktemp("servers"))
    try:
        yield harness
        complaints = harness.complaints()
        assert not complaints, "\n".join(complaints)
    finally:
        harness.close()
