"""ioredis from npm, on a node alone and as a cluster's client."""

from __future__ import annotations

import pytest

from tests.programs.conftest import NodeJob
from tests.system.clusters import Cluster
from tests.system.harness import Server

pytestmark = pytest.mark.system

PROGRAM = "ioredis.mjs"
PLAIN = (
    "values", "pipelines", "transactions", "blocking", "streams", "scans", "reconnecting", "monitoring",
    "subscriptions", "resubscribing", "scripts",
)  # fmt: skip
CLUSTER = ("clusterValues", "clusterPipelines", "clusterReplicas", "clusterSubscriptions", "clusterShardSubscriptions")
SENTINEL = "sentinel"
"""In test_sentinel.py."""


def test_every_job_is_run(node_job: NodeJob) -> None:
    assert set(node_job(PROGRAM).split()) == {*PLAIN, *CLUSTER, SENTINEL}


@pytest.mark.parametrize("job", PLAIN)
def test_alone(node_job: NodeJob, alone: Server, job: str) -> None:
    assert node_job(PROGRAM, job, alone.port) == f"{job} is done\n"


@pytest.mark.parametrize("job", CLUSTER)
def test_cluster(node_job: NodeJob, whole_cluster: Cluster, job: str) -> None:
    assert node_job(PROGRAM, job, whole_cluster.servers[0].port) == f"{job} is done\n"
