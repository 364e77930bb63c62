"""The bus's thread and the node's: jobs in order, answers, and a fault at either side that nobody overlooks."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from cluster.bus_thread import BusGone, BusThread

pytestmark = pytest.mark.trio


@asynccontextmanager
async def running(thread: BusThread) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(thread.run, trio.sleep_forever)
        yield
        thread.stop()


async def test_jobs_are_done_in_order_in_the_other_thread() -> None:
    thread, seen = BusThread(), []
    async with running(thread):
        for number in range(100):
            thread.post(lambda number=number: seen.append((number, threading.current_thread().name)))  # type: ignore[misc]
        assert thread.call(lambda: len(seen)) == 100, "an answer stands behind what was posted before"
    assert seen == [(number, "bus") for number in range(100)]


async def test_what_the_bus_wants_is_done_in_order_by_the_node_and_before_an_answer_is_acted_on() -> None:
    thread = BusThread()
    seen: list[tuple[int, str]] = []

    def want(number: int) -> None:
        thread.tell(lambda: seen.append((number, threading.current_thread().name)))

    async with running(thread):
        thread.post(lambda: want(1))
        thread.call(lambda: want(2))
        thread.follow_up()
        mine = threading.current_thread().name
        assert seen == [(1, mine), (2, mine)]
        thread.post(lambda: want(3))
        done = trio.Event()
        thread.post(lambda: thread.tell(done.set))
        await done.wait()
        assert seen[2:] == [(3, mine)]


async def test_a_job_that_fails_is_told_to_who_asked_and_the_bus_goes_on() -> None:
    thread = BusThread()
    async with running(thread):
        with pytest.raises(ZeroDivisionError):
            thread.call(lambda: 1 // 0)
        assert thread.call(lambda: 1) == 1


@pytest.mark.parametrize("side", ["bus", "node"])
async def test_a_fault_of_what_nobody_waits_for_ends_the_node(side: str) -> None:
    thread = BusThread()

    def fail() -> None:
        raise OSError("the disk is full")

    with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(thread.run, trio.sleep_forever)
            thread.post(fail if side == "bus" else lambda: thread.tell(fail))
            await trio.sleep_forever()


async def test_a_bus_that_has_ended_leaves_nobody_waiting() -> None:
    thread = BusThread()

    async def end() -> None:
        raise OSError

    with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(thread.run, end)
            with pytest.raises(BusGone):
                _ask_for_ever(thread)


async def test_a_bus_that_is_held_does_nothing_until_it_is_let_go() -> None:
    thread, done = BusThread(), threading.Event()
    async with running(thread):
        with thread.held():
            thread.post(done.set)
            assert not done.wait(0.02)  # without the hold it is there at once
        thread.call(lambda: None)
        assert done.is_set()


async def test_a_bus_that_stands_still_goes_on_when_the_node_wants_something() -> None:
    thread = BusThread()
    async with running(thread):
        thread.post(thread.stand_still)
        assert thread.call(lambda: 1) == 1


def _ask_for_ever(thread: BusThread) -> None:
    while True:
        thread.call(lambda: None)
