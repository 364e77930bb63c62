"""The thread that the bus has for itself, with a trio run of its own, and how it and the node's thread talk.

A command runs to its end on the node's thread, be it for seconds. The interpreter lets another thread have its turn all
the same, every few milliseconds (but for a single call of C, such as sorting a list), and so heartbeats go on, and
votes, and the word that somebody has failed. Slow is not dead.

There is one rule: what belongs to a thread is touched by that thread alone, the core and the links by the bus's, all
else of a node by its own. They put jobs into each other's mailboxes. These are done in order, in the other's trio run,
which for the node means between two batches of commands, and never within one. So nothing else needs a lock. The node
may wait for an answer of the bus, which never waits for the node; so they cannot wait for each other.

A process that forks has only the thread that did so in the child, and no child of ours touches the bus, or a mailbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import sleep
from typing import Generic, TypeVar

import trio

from cluster.process import give_way, name_thread

LOOK_SECONDS = 0.01
"""How often a bus that stands still looks whether the node has something to say."""

T = TypeVar("T")
Job = Callable[[], object]


class BusGone(Exception):
    """The bus has ended, and the node is about to."""


class Question(Generic[T]):
    """A job whose outcome another thread waits for."""

    __slots__ = ("_answered", "_fault", "_job", "_outcome")

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self._answered = Lock()
        self._answered.acquire()
        self._fault: BaseException | None = None
        self._outcome: T

    def __call__(self) -> None:
        try:
            self._outcome = self._job()
        except BaseException as fault:  # noqa: BLE001  (raised again where it was asked)
            self._fault = fault
        self._answered.release()

    def abandon(self) -> None:
        """Nobody will answer it."""
        self._fault = BusGone()
        self._answered.release()

    def answer(self) -> T:
        """Wait for the outcome, and return or raise it."""
        with self._answered:
            if self._fault is not None:
                raise self._fault
            return self._outcome


class Mailbox:
    """Jobs that one thread puts in, and another does in its trio run, in order."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._jobs: deque[Job] = deque()
        self._token: trio.lowlevel.TrioToken | None = None
        self._told = False  # trio knows that there is something to do
        self._closed = False
        self._on_fault: Callable[[BaseException], object]

    def open(self, on_fault: Callable[[BaseException], object]) -> None:
        """The trio run at hand does the jobs from now on; what one raises is for `on_fault`, and is the end."""
        self._on_fault = on_fault
        with self._lock:
            self._token = trio.lowlevel.current_trio_token()
            self._told = bool(self._jobs)
        if self._told:
            self._token.run_sync_soon(self._do_all)

    def put(self, job: Job) -> bool:
        """Have `job` done. False: nobody does anything here any more."""
        with self._lock:
            if self._closed:
                return False
            self._jobs.append(job)
            if self._told or self._token is None:
                return True
            self._told = True
        try:
            self._token.run_sync_soon(self._do_all)
        except trio.RunFinishedError:
            return False
        return True

    @property
    def is_empty(self) -> bool:
        return not self._jobs

    def work_off(self) -> None:
        """Do what is there now, without waiting for trio. A job may call this, too: then the others follow within."""
        while True:
            with self._lock:
                if not self._jobs:
                    self._told = False
                    return
                job = self._jobs.popleft()
            job()

    def _do_all(self) -> None:
        try:
            self.work_off()
        except BaseException as fault:  # noqa: BLE001  (trio takes none from here: somebody else has to raise it)
            self._on_fault(fault)

    def close(self) -> None:
        """Nothing is done any more; who waits for an answer gets BusGone."""
        with self._lock:
            self._closed = True
        for job in self._jobs:
            if isinstance(job, Question):
                job.abandon()
        self._jobs.clear()


class BusThread:
    """`run` is the node's task; `post`, `call`, `follow_up` and `held` are for the node's thread, `tell` and
    `stand_still` for the bus's. While it does not run there is one thread for both: what is posted is done at once."""

    def __init__(self) -> None:
        self._to_bus = Mailbox()
        self._to_node = Mailbox()
        self._thread: Thread | None = None
        self._fault: BaseException | None = None
        self._scope = trio.CancelScope()
        self._over = trio.Event()

    async def run(
        self, serve: Callable[[], Awaitable[None]], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Have `serve` run in the thread until it ends, or `stop`, or this is cancelled. Raises what it raised, and
        what a job raised at either side."""
        self._to_node.open(self._end)
        self._thread = Thread(target=self._live, args=(serve,), name="bus", daemon=True)
        self._thread.start()
        try:
            task_status.started()
            await self._over.wait()
        finally:
            self.stop()
        if self._fault is not None:
            raise self._fault

    def _live(self, serve: Callable[[], Awaitable[None]]) -> None:
        name_thread("bus")
        give_way(yielding=True)  # who pushed the node's thread aside would find that it holds the interpreter
        fault: BaseException | None = None
        try:
            trio.run(self._serve, serve)
        except BaseException as error:  # noqa: BLE001  (raised again in the node's thread)
            fault = error
        self._to_bus.close()
        self._to_node.put(lambda: self._end(fault))

    async def _serve(self, serve: Callable[[], Awaitable[None]]) -> None:
        faults: list[BaseException] = []

        def fail(fault: BaseException) -> None:
            faults.append(fault)
            self._scope.cancel()

        with self._scope:
            self._to_bus.open(fail)
            await serve()
        if faults:
            raise faults[0]

    def _end(self, fault: BaseException | None) -> None:
        self._fault = self._fault or fault
        self._over.set()

    def stop(self) -> None:
        """End the thread, and return when it has ended."""
        if self._thread is not None:
            self._to_bus.put(self._scope.cancel)
            self._thread.join()
            self._thread = None

    # -- for the node's thread ---------------------------------------------------------------------------------

    def post(self, job: Job) -> None:
        """Have the bus's thread do that. What it raises ends the node."""
        if self._thread is None:
            job()
        else:
            self._to_bus.put(job)

    def call(self, job: Callable[[], T]) -> T:
        """Have the bus's thread do that, and wait: what it returns or raises, or BusGone."""
        if self._thread is None:
            return job()
        question = Question(job)
        if not self._to_bus.put(question):
            raise BusGone
        return question.answer()

    def follow_up(self) -> None:
        """Do what the bus wants of the node so far."""
        self._to_node.work_off()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The bus stands still meanwhile, as if the process did."""
        over = Event()
        if self._thread is not None:
            self._to_bus.put(over.wait)
        try:
            yield
        finally:
            over.set()

    # -- for the bus's -----------------------------------------------------------------------------------------

    def tell(self, job: Job) -> None:
        """Have the node's thread do that."""
        self._to_node.put(job)

    def stand_still(self) -> None:
        """Do nothing at all until the node's thread wants something."""
        while self._to_bus.is_empty:
            sleep(LOOK_SECONDS)
