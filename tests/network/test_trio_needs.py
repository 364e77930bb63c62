"""The reactor stays away from trio exactly as long as trio has nothing to do."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from cluster.network.trio_needs import TrioNeeds

pytestmark = pytest.mark.trio

LONG_S = 30.0
"""Longer than a test may take: a sleep of this length must be cut short."""


class Setup:
    """A reactor's epoll with one client, whose other end is `client`."""

    def __init__(self) -> None:
        self.client, self.ours = socket.socketpair()
        self.epoll = select.epoll()
        self.epoll.register(self.ours.fileno(), select.EPOLLIN)
        self.needs = TrioNeeds(self.epoll.fileno())

    def close(self) -> None:
        self.needs.close()
        self.epoll.close()
        self.client.close()
        self.ours.close()


@contextmanager
def asked() -> Iterator[Setup]:
    setup = Setup()
    try:
        yield setup
    finally:
        setup.close()


async def test_this_release_of_trio_can_be_asked() -> None:
    with asked() as one:
        assert one.needs.is_known


async def test_an_idle_trio_wants_no_turn() -> None:
    with asked() as one:
        assert not one.needs.are_due()


async def test_a_request_ends_the_sleep() -> None:
    with asked() as one:
        one.client.send(b"x")
        assert one.needs.sleep(LONG_S)


async def test_no_request_ends_it_too() -> None:
    with asked() as one:
        assert not one.needs.sleep(0.001)


async def test_a_task_that_can_run_is_due() -> None:
    with asked() as one:
        event = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(event.wait)
            await trio.testing.wait_all_tasks_blocked()
            event.set()
            assert one.needs.are_due()
            assert not one.needs.sleep(LONG_S)


async def test_who_is_to_run_in_the_same_pass_is_due_until_then() -> None:
    found: set[bool] = set()
    ran: list[int] = []

    async def other(number: int) -> None:
        ran.append(number)

    async def reactor(needs: TrioNeeds) -> None:
        assert needs.are_due() is (len(ran) < 5)
        found.add(needs.are_due())

    with asked() as one:
        for _ in range(40):  # trio orders the tasks of a pass as it likes
            ran.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reactor, one.needs)
                for number in range(5):
                    nursery.start_soon(other, number)
        assert True in found
        await trio.lowlevel.checkpoint()
        assert not one.needs.are_due()


async def test_a_deadline_that_has_come_is_due() -> None:
    with asked() as one:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0.01)
            await trio.testing.wait_all_tasks_blocked()
            one.client.send(b"x")
            assert one.needs.sleep(LONG_S)  # a request comes first
            one.ours.recv(1)
            assert not one.needs.sleep(LONG_S)
            assert one.needs.are_due()


async def test_what_a_task_waits_for_is_due_when_it_comes() -> None:
    with asked() as one:
        theirs, stdlib = socket.socketpair()
        with theirs, trio.socket.from_stdlib_socket(stdlib) as ours:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.recv, 1)
                await trio.testing.wait_all_tasks_blocked()
                assert not one.needs.are_due()
                theirs.send(b"x")
                one.client.send(b"x")  # and a request at the same time: trio goes first
                assert one.needs.are_due()
                assert not one.needs.sleep(LONG_S)


async def test_a_thread_that_is_done_is_due() -> None:
    with asked() as one:
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(done.wait)
            await trio.testing.wait_all_tasks_blocked()
            token.run_sync_soon(done.set)
            assert not one.needs.sleep(LONG_S)
            assert one.needs.are_due()
