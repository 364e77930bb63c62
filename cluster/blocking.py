"""Clients that wait: for a key (BLPOP's family), for replicas (WAIT), for a migration, for a pause to end.

There is no task a client. A command parks its client here and returns None; whatever the client waits for calls
back. Clients of one key are served in the order in which they came, and as long as there is something for them: a
thousand workers that wait for one list cost a push next to nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from cluster.commands.registry import WRITE
from cluster.errors import CommandError

if TYPE_CHECKING:
    from cluster.commands.context import Context
    from cluster.commands.registry import Command
    from cluster.keyspace.values import Value
    from cluster.network.session import Session
    from cluster.server import Server

FEW_ENDED = 64
"""Ended waits that may stand among the deadlines before anybody looks for them."""
Retry = Callable[["Context", bytes], bytes | None]


class Wait:
    """One client's wait, by `command`. `retry(ctx, key)` gives the reply when `key`, which now holds a value of type
    `kind`, can serve it, else None; where `kind` is None it is asked whatever has become of the key. `arguments` are
    those of the whole command."""

    __slots__ = (
        "arguments", "client", "command", "db", "deadline_ms", "ended", "keys", "kind", "on_end", "on_timeout", "retry",
    )

    def __init__(
        self,
        client: Session,
        *,
        keys: list[bytes],
        deadline_ms: int | None,
        retry: Retry | None,
        on_timeout: bytes | Callable[[], bytes],
        on_end: Callable[[], object] | None = None,
        kind: type[Value] | None = None,
        command: Command | None = None,
    ) -> None:
        self.client = client
        self.command = command
        self.arguments: list[bytes] = []
        self.db = client.db.index
        self.keys = keys
        self.kind = kind
        self.deadline_ms = deadline_ms
        self.retry = retry
        self.on_timeout = on_timeout
        self.on_end = on_end
        self.ended = False


class WaitingRoom:
    """`by_key` maps (database, key) → the waits on it, oldest first."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[int, bytes], dict[Wait, None]] = {}
        self._deadlines: list[tuple[int, int, Wait]] = []
        self._ended = 0  # waits with a deadline that ended since the heap was last cleared of them
        self._order = count()
        self._ready: dict[tuple[int, bytes], None] = {}
        self.clients = 0
        self._watchful = 0
        """Waits that are asked when their key is gone, too."""

    def park(self, wait: Wait) -> None:
        """The client executes nothing more until `end`."""
        self.clients += 1
        wait.client.park(wait)
        self._watchful += bool(wait.keys) and wait.kind is None
        for key in dict.fromkeys(wait.keys):
            self.by_key.setdefault((wait.db, key), {})[wait] = None
        if wait.deadline_ms is not None:
            heapq.heappush(self._deadlines, (wait.deadline_ms, next(self._order), wait))

    def end(self, wait: Wait, reply: bytes | None) -> None:
        """The wait is over: answer (unless None) and let the client's next commands run."""
        if wait.ended:
            return
        wait.ended = True
        self.clients -= 1
        self._watchful -= bool(wait.keys) and wait.kind is None
        for key in dict.fromkeys(wait.keys):
            waits = self.by_key.get((wait.db, key))
            if waits is not None:
                waits.pop(wait, None)
                if not waits:
                    del self.by_key[(wait.db, key)]
        if wait.on_end is not None:
            wait.on_end()
            wait.on_end = None
        if wait.deadline_ms is not None:
            self._ended += 1
            if self._ended > max(FEW_ENDED, len(self._deadlines) // 2):
                self._clear_ended()
        wait.client.unpark(reply)

    def key_ready(self, db: int, key: bytes) -> None:
        """`key` was created, grew or is gone; who waits for it is asked when the command at hand is done."""
        if (db, key) in self.by_key:
            self._ready[(db, key)] = None

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def serve(self, server: Server) -> None:
        """Ask the clients that wait for the keys that became ready: key by key in the order in which that happened, and
        client by client. What they do may make further keys ready, which are next."""
        held: list[tuple[int, bytes]] = []
        while self._ready:
            ready, self._ready = self._ready, {}
            held += [place for place in ready if not self._serve_key(server, *place)]
        self._ready.update(dict.fromkeys(held))

    def _serve_key(self, server: Server, db: int, key: bytes) -> bool:
        """False when somebody was held back by a pause, and has to be asked after it."""
        held = False
        for wait in list(self.by_key.get((db, key), ())):
            if wait.ended or wait.retry is None:
                continue
            ctx = server.ctx
            ctx.bind(wait.client)
            value = ctx.peek(key)
            if wait.kind is not None:
                if value is None and not self._watchful:
                    break
                if type(value) is not wait.kind:
                    continue
            if wait.command is not None and server.pause.holds(wait.client, wait.command, WRITE in wait.command.flags):
                held = True
                continue
            server.latency.timed("command-unblocking", partial(self._ask, server, wait, wait.retry, key))
        return not held

    def _ask(self, server: Server, wait: Wait, retry: Retry, key: bytes) -> None:
        entries = server.journal.entries
        at = len(entries)
        try:
            if wait.client.restricted and wait.command is not None:
                server.access.check(wait.client, wait.command, wait.arguments)
            if wait.kind is None and wait.command is not None and server.cluster_enabled:
                server.router.check_moving(wait.client, wait.command, wait.keys)
            reply = retry(server.ctx, key)
        except CommandError as error:
            self.refuse(wait, error)
            return
        except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
            wait.client.give_up()
            self.end(wait, None)
            return
        if len(entries) - at > 1:
            server.journal.wrap(at)
        if reply is not None:
            self.end(wait, reply)

    def refuse(self, wait: Wait, error: CommandError) -> None:
        """The wait is over, and its command has failed."""
        self.end(wait, wait.client.failed(wait.command, error))

    @property
    def timed_clients(self) -> int:
        """Waits that have a deadline."""
        return sum(not wait.ended for _, _, wait in self._deadlines)

    @property
    def watchful_keys(self) -> int:
        """Keys of which somebody waits to hear when they are gone."""
        return sum(any(wait.kind is None for wait in waits) for waits in self.by_key.values())

    def _clear_ended(self) -> None:
        """Drop what would stay until its deadline, in years perhaps, with the clients that are long gone."""
        self._deadlines = [entry for entry in self._deadlines if not entry[2].ended]
        heapq.heapify(self._deadlines)
        self._ended = 0

    def next_deadline_ms(self) -> int | None:
        while self._deadlines and self._deadlines[0][2].ended:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def time_out(self, now_ms: int) -> None:
        """End every wait whose deadline has come."""
        while self._deadlines and (self._deadlines[0][0] <= now_ms or self._deadlines[0][2].ended):
            wait = heapq.heappop(self._deadlines)[2]
            if not wait.ended:
                self.end(wait, wait.on_timeout if isinstance(wait.on_timeout, bytes) else wait.on_timeout())
