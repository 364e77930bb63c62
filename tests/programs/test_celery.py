"""Celery: a worker of its own, with its results on the node, and with the node as its broker."""

from __future__ import annotations

import gc
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import kombu
import pytest
from celery import Celery, chain, chord, group
from celery.result import AsyncResult

from tests.programs.celery_app import application
from tests.programs.workers import Worker, running
from tests.system.harness import Server
from tests.system.waiting import wait_until

# Celery and kombu leave connections to the garbage collector, which complains of each.
pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore::ResourceWarning")]

DEADLINE_S = 20.0


def url(server: Server, database: int = 0) -> str:
    return f"redis://127.0.0.1:{server.port}/{database}"


@pytest.fixture(scope="module", autouse=True)
def complaints_stay_here() -> Iterator[None]:
    """What is left is collected while its complaints are ignored, not in the tests of some other file."""
    yield
    gc.collect()


@pytest.fixture(
    scope="module", params=["results on the node", "broker on the node"]
)  # fmt: skip
def celery_urls(request: pytest.FixtureRequest, alone: Server) -> tuple[str, str]:
    """Where an application has its broker and its results; a broker that is not the node is a directory."""
    if request.param == "broker on the node":
        return url(alone, 1), url(alone, 1)
    return "filesystem://", url(alone)


@pytest.fixture(scope="module")
def celery_worker(celery_urls: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    files = tmp_path_factory.mktemp("celery")
    environment = {"PROGRAMS_BROKER": celery_urls[0], "PROGRAMS_RESULTS": celery_urls[1], "PROGRAMS_FILES": str(files)}
    command = ["-m", "celery", "-A", "tests.programs.celery_app", "worker", "-l", "info", "-P", "solo"]
    with running(files / "worker.log", *command, environment=environment) as worker:
        wait_until(lambda: worker.says("ready."), DEADLINE_S, lambda: f"the worker is ready\n{worker.log()}")
        yield worker


@pytest.fixture(scope="module")
def celery(celery_urls: tuple[str, str], celery_worker: Worker) -> Iterator[Celery]:
    """The application of the worker that is running."""
    app = application(*celery_urls, files=str(celery_worker.log_path.parent))
    yield app
    app.close()


def call(app: Celery, name: str, *arguments: object) -> Any:
    return app.signature(name, args=arguments)


def test_a_result(celery: Celery) -> None:
    results = [call(celery, "add", number, 1).delay() for number in range(20)]
    assert [result.get(timeout=DEADLINE_S) for result in results] == [number + 1 for number in range(20)]
    # By its id alone anybody reads it, until it is forgotten.
    read = AsyncResult(results[3].id, app=celery)
    assert (read.state, read.result, read.name) == ("SUCCESS", 4, "add")
    read.forget()
    assert AsyncResult(results[3].id, app=celery).state == "PENDING"


def test_a_failure_is_raised_where_it_is_read(celery: Celery) -> None:
    result = call(celery, "refuse", "not today").delay()
    with pytest.raises(ValueError, match="not today"):
        result.get(timeout=DEADLINE_S)
    assert result.state == "FAILURE"
    assert "in refuse" in result.traceback


def test_retries(celery: Celery) -> None:
    assert call(celery, "third_time").delay().get(timeout=DEADLINE_S) == 2


def test_a_chain_and_a_group(celery: Celery) -> None:
    summed = chain(call(celery, "add", 1, 2), call(celery, "add", 10), call(celery, "add", 100))
    assert summed.delay().get(timeout=DEADLINE_S) == 113
    many = group([call(celery, "add", number, number) for number in range(10)])
    assert many.delay().get(timeout=DEADLINE_S) == [2 * number for number in range(10)]


def test_results_expire(celery: Celery) -> None:
    result = call(celery, "add", 1, 2).delay()
    result.get(timeout=DEADLINE_S)
    with celery.backend.client.pipeline() as pipeline:
        pipeline.ttl(f"celery-task-meta-{result.id}").get(f"celery-task-meta-{result.id}")
        ttl, stored = pipeline.execute()
    assert 500 < ttl <= 600
    assert json.loads(stored)["result"] == 3


def test_a_chord(celery: Celery, celery_worker: Worker) -> None:
    """The last of a group to end starts the body, which gets all results. The last test: it ends a worker it fails."""
    header = group([call(celery, "add", number, number) for number in range(10)])
    result = chord(header)(call(celery, "total"))
    wait_until(lambda: result.ready() or celery_worker.says("ResponseError"), DEADLINE_S, "the body ends")
    assert result.ready()
    assert result.get(timeout=DEADLINE_S) == 90


@pytest.mark.parametrize("celery_urls", ["broker on the node"], indirect=True)
def test_remote_control_and_events(celery: Celery) -> None:
    """Both are published: a ping to all workers, and what a worker tells of its tasks."""
    [(_, answer)] = celery.control.broadcast("ping", reply=True, limit=1, timeout=DEADLINE_S)[0].items()
    assert answer == {"ok": "pong"}
    with celery.connection_for_read() as connection:
        receiver = celery.events.Receiver(connection)
        seen: list[str] = []

        def hear(event: dict[str, Any]) -> None:
            if not seen:  # The receiver has asked for a sign of life, and is heard: now a task.
                call(celery, "add", 1, 1).delay()
            seen.append(event["type"])
            receiver.should_stop = event["type"] == "task-succeeded"

        receiver.handlers = {"*": hear}
        receiver.capture(limit=None, timeout=DEADLINE_S, wakeup=True)
        assert {"task-received", "task-started", "task-succeeded"} <= set(seen)


# -- kombu, the part of Celery that sends and takes messages: what of it needs no script ------------------------------


def test_messages_are_taken_and_acknowledged(alone: Server) -> None:
    with kombu.Connection(url(alone, 2)) as connection, connection.SimpleQueue("jobs") as queue:
        for number in range(20):
            queue.put({"number": number})
        assert queue.qsize() == 20
        messages = [queue.get(timeout=DEADLINE_S) for _ in range(20)]
        assert [message.payload["number"] for message in messages] == list(range(20))
        client = connection.default_channel.client
        assert client.hlen("unacked") == client.zcard("unacked_index") == 20
        messages[0].reject(requeue=True)
        for message in messages[1:]:
            message.ack()
        assert client.exists("unacked", "unacked_index") == 0
        assert queue.get(timeout=DEADLINE_S).payload == {"number": 0}
        queue.clear()


def test_a_broadcast_reaches_every_consumer(alone: Server) -> None:
    exchange = kombu.Exchange("news", type="fanout")
    heard: list[tuple[str, str]] = []
    with kombu.Connection(url(alone, 3)) as connection:
        for name in ("one", "two"):
            queue = kombu.Queue(name, exchange, auto_delete=True)
            kombu.Consumer(connection.channel(), queue, callbacks=[_listener(heard, name)]).consume()
        with suppress(socket.timeout):
            connection.drain_events(timeout=0.01)  # subscribes
        connection.Producer().publish("hello", exchange=exchange, declare=[exchange])
        while len(heard) < 2:
            connection.drain_events(timeout=DEADLINE_S)
    assert sorted(heard) == [("one", "hello"), ("two", "hello")]


def _listener(heard: list[tuple[str, str]], name: str) -> Any:
    def hear(body: str, message: kombu.Message) -> None:
        heard.append((name, body))
        message.ack()

    return hear
