"""node-redis (`redis` from npm), with either protocol, on a node alone and as a cluster's client."""

from __future__ import annotations

import pytest

from tests.programs.conftest import NodeJob
from tests.system.clusters import Cluster
from tests.system.harness import Server

pytestmark = pytest.mark.system

PROGRAM = "node-redis.mjs"
PLAIN = (
    "values", "pipelines", "transactions", "pools", "streams", "scans", "reconnecting", "subscriptions", "scripts",
    "functions", "accessLists", "clientSideCaching",
)  # fmt: skip
CLUSTER = ("clusterValues", "clusterReplicas", "clusterSubscriptions", "clusterShardSubscriptions")
SENTINEL = "sentinel"
"""In test_sentinel.py."""


def test_every_job_is_run(node_job: NodeJob) -> None:
    assert set(node_job(PROGRAM).split()) == {*PLAIN, *CLUSTER, SENTINEL}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("job", PLAIN)
def test_alone(node_job: NodeJob, alone: Server, job: str, protocol: int) -> None:
    alone.call("FLUSHALL")
    assert node_job(PROGRAM, job, alone.port, protocol) == f"{job} is done\n"


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("job", CLUSTER)
def test_cluster(node_job: NodeJob, whole_cluster: Cluster, job: str, protocol: int) -> None:
    assert node_job(PROGRAM, job, whole_cluster.servers[0].port, protocol) == f"{job} is done\n"
