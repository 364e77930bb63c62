"""The Celery application that test_celery.py and its worker load: its tasks, and where broker and results are.

PROGRAMS_BROKER and PROGRAMS_RESULTS are the URLs of the two; a broker `filesystem://` keeps its messages in
PROGRAMS_FILES.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery


def application(broker: str, results: str, files: str) -> Celery:
    app = Celery("programs", broker=broker, backend=results)
    if broker.startswith("filesystem"):
        app.conf.broker_transport_options = {
            "data_folder_in": files,
            "data_folder_out": files,
            "control_folder": files,
            "polling_interval": 0.02,
        }
    app.conf.update(
        broker_connection_retry_on_startup=True,
        task_track_started=True,
        result_extended=True,
        result_expires=600,
        worker_send_task_events=True,
        worker_enable_remote_control=not broker.startswith("filesystem"),
    )
    for task in (add, total, refuse):
        app.task(name=task.__name__)(task)
    app.task(name="third_time", bind=True, max_retries=3)(third_time)
    return app


def add(first: int, second: int) -> int:
    return first + second


def total(numbers: list[int]) -> int:
    return sum(numbers)


def refuse(reason: str) -> None:
    raise ValueError(reason)


def third_time(self: Any) -> int:
    """Asks twice to be tried again."""
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return int(self.request.retries)


if "PROGRAMS_BROKER" in os.environ:  # in the worker
    app = application(*(os.environ[name] for name in ("PROGRAMS_BROKER", "PROGRAMS_RESULTS", "PROGRAMS_FILES")))
