"""RQ: a worker that forks for every job, with queues, results and registries on the node."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue, Retry
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.scheduler import RQScheduler
from rq.worker import Worker as RqWorker

from tests.programs import rq_jobs
from tests.programs.workers import running
from tests.system.harness import Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
RQ_WORKER = ("-m", "rq.cli", "worker", "--results-ttl", "600")


@pytest.fixture(scope="module")
def connection(alone: Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=alone.port) as client:
        yield client


@pytest.fixture(scope="module")
def queue(alone: Server, connection: redis.Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A queue with a worker."""
    log = tmp_path_factory.mktemp("rq") / "worker.log"
    with running(log, *RQ_WORKER, "--url", f"redis://127.0.0.1:{alone.port}", "--name", "steady") as worker:
        wait_until(lambda: worker.says("Listening on default"), DEADLINE_S, lambda: f"it listens\n{worker.log()}")
        yield Queue(connection=connection)
        assert worker.stop() == 0


def ended(job: Job) -> JobStatus:
    wait_until(
        lambda: job.get_status() in {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED},
        DEADLINE_S,
        lambda: f"{job} ends; it is {job.get_status()}",
    )
    return job.get_status()


def test_jobs_and_what_depends_on_them(queue: Queue) -> None:
    first = queue.enqueue(rq_jobs.add, 2, 3)
    second = queue.enqueue(rq_jobs.add, 10, 20, depends_on=first)
    result = second.latest_result(timeout=int(DEADLINE_S))  # waits at the job's stream of results
    assert result is not None
    assert result.return_value == 30
    assert ended(first) is JobStatus.FINISHED
    assert first.return_value() == 5
    wait_until(
        lambda: {first.id, second.id} <= set(FinishedJobRegistry(queue=queue).get_job_ids()), DEADLINE_S, "both kept"
    )  # fmt: skip


def test_what_a_job_notes_is_read(queue: Queue) -> None:
    job = queue.enqueue(rq_jobs.note_progress)
    assert ended(job) is JobStatus.FINISHED
    assert job.get_meta(refresh=True) == {"progress": 100}


def test_a_failed_job_is_kept_and_can_be_put_back(queue: Queue) -> None:
    job = queue.enqueue(rq_jobs.refuse, "not today")
    assert ended(job) is JobStatus.FAILED
    result = job.latest_result()
    assert result is not None
    assert "ValueError: not today" in str(result.exc_string)
    registry = FailedJobRegistry(queue=queue)
    wait_until(lambda: job in registry, DEADLINE_S, "the failed job is registered")
    registry.requeue(job)
    wait_until(lambda: len(job.results()) == 2, DEADLINE_S, "it fails again")


def test_a_job_is_tried_again(queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(rq_jobs.third_time, str(tmp_path / "marks"), retry=Retry(max=3))
    assert ended(job) is JobStatus.FINISHED
    assert job.return_value() == 2


def test_a_running_job_is_stopped_by_a_message(queue: Queue, connection: redis.Redis) -> None:
    job = queue.enqueue(rq_jobs.wait_for_a_signal)
    wait_until(lambda: job.get_status() is JobStatus.STARTED, DEADLINE_S, "the job runs")
    send_stop_job_command(connection, job.id)
    assert ended(job) is JobStatus.STOPPED


def test_a_worker_is_ended_by_a_message(
    queue: Queue, alone: Server, connection: redis.Redis, tmp_path: Path
) -> None:  # fmt: skip
    arguments = ("--url", f"redis://127.0.0.1:{alone.port}", "--name", "brief", "brief")
    with running(tmp_path / "worker.log", *RQ_WORKER, *arguments) as worker:
        wait_until(lambda: worker.says("Listening on brief"), DEADLINE_S, lambda: f"it listens\n{worker.log()}")
        assert {worker.name for worker in RqWorker.all(connection=connection)} == {"steady", "brief"}
        send_shutdown_command(connection, "brief")
        assert worker.wait_end() == 0
    assert [worker.name for worker in RqWorker.all(connection=connection)] == ["steady"]


def test_a_unique_job(queue: Queue) -> None:
    job = queue.enqueue(rq_jobs.add, 1, 1, job_id="only-one", unique=True)
    assert ended(job) is JobStatus.FINISHED


def test_a_scheduled_job(queue: Queue, connection: redis.Redis) -> None:
    job = queue.enqueue_in(timedelta(seconds=0), rq_jobs.add, 1, 1)
    scheduler: Any = RQScheduler([queue], connection=connection)
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    assert ended(job) is JobStatus.FINISHED
