"""Whether trio wants a turn: asked, because a turn it does not need costs as much as several requests.

While clients keep the reactor busy it goes on without returning to trio, and when nothing is left to do it sleeps for a
moment in an epoll that holds both its own and trio's: a sleep in trio and the way back take long. For that it has to
see what trio would see: tasks that can run, the next deadline, and the files that trio's tasks wait for. The first an
instrument tells. (Trio's own queue does not: what is to run in the same pass as the reactor has left it already, and
would have to wait for as long as clients keep the reactor busy, be it for seconds.) The others trio's scheduler knows
under names that are not its public interface. Where a release of trio has others (or no epoll), trio is held to want
each turn: the reactor then returns to it after each batch, as it would have to without this.
tests/network/test_trio_needs.py says when that has come.
"""

from __future__ import annotations

import select
from typing import Any

import trio


class _Runnable(trio.abc.Instrument):
    """The tasks that have been scheduled and have not had their turn."""

    def __init__(self) -> None:
        self.tasks: set[trio.lowlevel.Task] = set()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.tasks.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.tasks.discard(task)


class TrioNeeds:
    """To be made inside the run that it asks about; `epoll_fd` is the reactor's."""

    __slots__ = ("_deadlines", "_runnable", "_sleeper", "_trio_fd", "is_known")

    def __init__(self, epoll_fd: int) -> None:
        self.is_known = False
        """Whether trio can be asked."""
        self._trio_fd = -1
        self._runnable = _Runnable()
        self._deadlines: Any = None
        self._sleeper: select.epoll | None = None
        try:
            runner: Any = trio._core._run.GLOBAL_RUN_CONTEXT.runner
            self._trio_fd = runner.io_manager._epoll.fileno()
            self._deadlines = runner.deadlines
            self._deadlines.next_deadline()
            self._runnable.tasks.update(runner.runq)
        except AttributeError:
            return
        trio.lowlevel.add_instrument(self._runnable)
        self._sleeper = select.epoll()
        self._sleeper.register(epoll_fd, select.EPOLLIN)
        self._sleeper.register(self._trio_fd, select.EPOLLIN)
        self.is_known = True

    def are_due(self) -> bool:
        """Whether a task of trio could run now."""
        return self._left_s() <= 0 or self._has_come(0)

    def sleep(self, seconds: float) -> bool:
        """Sleep until a request has come: then True. False when it took too long, or trio wants its turn."""
        left_s = self._left_s()
        if left_s <= 0 or self._sleeper is None:
            return False
        events = self._sleeper.poll(min(seconds, left_s), 2)
        return bool(events) and all(fd != self._trio_fd for fd, _ in events)

    def _left_s(self) -> float:
        """Until trio's next deadline; 0 when a task can run already, or nobody knows."""
        if not self.is_known or self._runnable.tasks:
            return 0.0
        left_s: float = self._deadlines.next_deadline() - trio.current_time()
        return left_s

    def _has_come(self, seconds: float) -> bool:
        assert self._sleeper is not None
        return any(fd == self._trio_fd for fd, _ in self._sleeper.poll(seconds, 2))

    def close(self) -> None:
        if self._sleeper is not None:
            self._sleeper.close()
            self._sleeper = None
            trio.lowlevel.remove_instrument(self._runnable)
        self.is_known = False
