"""Fixtures of the tests with real programs: a node alone, a cluster, and Node.js with its clients."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.clusters import Cluster
from tests.system.conftest import harness_of, server_kind, skip_without_redis
from tests.system.harness import Harness, Server, ServerKind
from tests.system.waiting import wait_until

__all__ = ["server_kind"]

HERE = Path(__file__).parent
_JOB_DEADLINE_S = 30.0

NodeJob = Callable[..., str]
"""Run `node js/PROGRAM ARGUMENTS`, and return what it prints; fails unless it ends with status 0."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip_without_redis(items)


@pytest.fixture(scope="package")
def servers(server_kind: ServerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """The servers of all these tests: one node alone and one cluster, since each file adds but a few keys."""
    yield from harness_of(server_kind, tmp_path_factory)


@pytest.fixture(scope="package")
def alone(servers: Harness) -> Server:
    """A plain node, without a cluster."""
    return servers.server({"cluster-enabled": "no"})


@pytest.fixture(scope="package")
def whole_cluster(servers: Harness) -> Cluster:
    """Three primaries with a replica each, once every node lists every replica: a client asks any of them."""
    cluster = Cluster.create(servers, 6, 1)
    wait_until(lambda: all(map(_lists_replicas, cluster.servers)), 20, "the replicas are in CLUSTER SLOTS")
    return cluster


def _lists_replicas(server: Server) -> bool:
    ranges = server.call("CLUSTER", "SLOTS")
    assert isinstance(ranges, list)
    return all(len(entry) == 4 for entry in ranges)


@pytest.fixture(scope="session")
def node_job() -> NodeJob:
    missing = ""
    if shutil.which("node") is None:
        missing = "node is missing: install Node.js 18 or newer (Debian: nodejs npm)"
    elif not (HERE / "node_modules" / "ioredis").is_dir():
        missing = "tests/programs/node_modules is missing: scripts/test installs it with npm"
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return _run


def _run(program: str, *arguments: str | int) -> str:
    command = ["node", str(HERE / "js" / program), *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_JOB_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{program} {arguments} did not end:\n{error.stdout!r}\n{error.stderr!r}") from None
    assert done.returncode == 0, f"{program} {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout
