"""MIGRATE's outside: connections to other nodes, and the exchange of payloads with them.

redis-server stands still while it migrates. Here only the client that asked does: it is parked, a task talks to the
target. The keys under way stay in use meanwhile. When the target has answered, a key is deleted here only if it still
is exactly what was sent (its serialisation and its deadline are compared); one that was changed in between is sent
again, one that was deleted is deleted at the target too. Two nodes can migrate to each other without waiting.

In a transaction nothing may come between its commands, so there a MIGRATE holds up the whole node, as it does in
redis-server, for its timeout at most.

While writes are paused (a manual failover has told its replica the last offset) no key is deleted: the answers wait
for the end of the pause. A node that is a replica by then leaves its keys to its primary's word.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from traceback import format_exc
from typing import TYPE_CHECKING, NamedTuple

import hiredis
import trio

from cluster.blocking import Wait
from cluster.errors import CommandError
from cluster.keyspace.events import DEL
from cluster.keyspace.hashing import key_slot
from cluster.persistence.rdb_writer import dump_payload
from cluster.protocol import replies
from cluster.slots.migration import Migration

if TYPE_CHECKING:
    from cluster.keyspace.database import Database
    from cluster.network.session import Session
    from cluster.server import Server

READ_BYTES = 64 * 1024
CACHED_LIMIT = 64
"""Connections kept for the next MIGRATE."""
CACHED_SECONDS = 10.0
PIECE_KEYS = 20
"""Sent at once: the target restores one piece while the next is encoded and the last one's keys are deleted."""
ROUNDS_LIMIT = 100
"""How often keys that keep changing are sent again before the client is told."""
ANSWER_LIMIT_BYTES = 64 * 1024
"""An answer is one line. Who sends so much without ending one is no Redis."""
_UNBLOCKED = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
_CONNECTING = "IOERR error or timeout connecting to the client"
_WRITING = "IOERR error or timeout writing to target instance"
_READING = "IOERR error or timeout reading to target instance"

_Name = tuple[str, int, tuple[bytes, ...]]


@dataclass(slots=True)
class _Connection:
    stream: trio.SocketStream
    reader: hiredis.Reader
    db: int = 0
    used_at: float = field(default_factory=trio.current_time)
    fresh: bool = True


class _Sent(NamedTuple):
    """A key as it was sent. `value` is that of a string only. `payload` None: it is gone here, and has to go there."""

    key: bytes
    slot: int
    value: bytes | None
    payload: bytes | None
    deadline_ms: int | None


class _Outcome:
    """How the exchange about a batch stands: how many keys are settled, which have to be sent again, and the first
    refusal. `patience` ends the exchange."""

    __slots__ = ("again", "batch", "patience", "refusal", "settled")

    def __init__(self, batch: list[_Sent], seconds: float) -> None:
        self.batch = batch
        self.patience = trio.CancelScope(deadline=trio.current_time() + seconds)
        self.settled = 0
        self.again: list[_Sent] = []
        self.refusal = ""


class _Failed(Exception):
    """The error line for the client."""


class Migrator:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._send, self._receive = trio.open_memory_channel[tuple[Wait, "Database", Migration]](1 << 20)
        self._cached: dict[_Name, _Connection] = {}

    def submit(self, client: Session, migration: Migration) -> None:
        """Park `client` until the migration is through."""
        wait = Wait(client, keys=[], deadline_ms=None, retry=None, on_timeout=b"")
        self._server.park(wait)
        self._send.send_nowait((wait, client.db, migration))

    def migrate_now(self, db: Database, migration: Migration) -> bytes:
        """Migrate before anything else is done, over a connection of its own. Raises CommandError."""
        outcome = _Outcome(self._present(db, migration.keys), migration.timeout_seconds)
        if not outcome.batch:
            return replies.simple("NOKEY")
        try:
            self._exchange_now(db, migration, outcome)
        except _Failed as failure:
            raise CommandError(str(failure)) from None
        if outcome.refusal:
            raise CommandError(_refused(outcome.refusal))
        return replies.OK

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._close_unused)
                async for wait, db, migration in self._receive:
                    nursery.start_soon(self._serve, wait, db, migration)
        finally:
            for connection in self._cached.values():
                connection.stream.socket.close()
            self._cached.clear()

    async def _close_unused(self) -> None:
        while True:
            await trio.sleep(CACHED_SECONDS / 2)
            for name, connection in list(self._cached.items()):
                if trio.current_time() - connection.used_at > CACHED_SECONDS:
                    await self._forget(name)

    async def _serve(self, wait: Wait, db: Database, migration: Migration) -> None:
        try:
            reply = await self._migrate(db, migration)
        except _Failed as failure:
            reply = self._refusal(str(failure))
        except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
            self._server.log("warning", f"=== BUG: MIGRATE to {migration.host}:{migration.port} failed: {format_exc()}")
            reply = self._refusal("ERR internal error, see the server's log")
        self._server.waiting.end(wait, reply)
        self._server.shell.end_batch()

    def _refusal(self, text: str) -> bytes:
        self._server.stats.count_error(text)
        return b"-" + text.encode("utf-8", "surrogateescape") + b"\r\n"

    # -- the exchange ----------------------------------------------------------------------------------------

    async def _migrate(self, db: Database, migration: Migration) -> bytes:
        batch = self._present(db, migration.keys)
        if not batch:
            return replies.simple("NOKEY")
        replace = migration.replace
        for _ in range(ROUNDS_LIMIT):
            outcome = _Outcome(batch, migration.timeout_seconds)
            await self._exchange(db, migration, outcome, replace=replace)
            replace = True  # what is sent again is there already
            if outcome.refusal:
                raise _Failed(_refused(outcome.refusal))
            if not outcome.again:
                return replies.OK
            batch = outcome.again
        raise _Failed("IOERR the keys keep changing faster than they can be moved")

    async def _may_settle(self, migration: Migration, outcome: _Outcome) -> None:
        """Wait for when keys may be deleted here. Raises _Failed when that is our primary's by then."""
        if not migration.copy:
            if self._server.pause.active:
                await self._end_of_pause(outcome.patience)
            if self._server.is_read_only:
                raise _Failed(_UNBLOCKED)

    def _settle(self, db: Database, migration: Migration, outcome: _Outcome, answer: object) -> None:
        """The target's answer to the next key of the batch."""
        sent = outcome.batch[outcome.settled]
        outcome.settled += 1
        if isinstance(answer, hiredis.ReplyError):
            outcome.refusal = outcome.refusal or str(answer)
        elif sent.payload is not None and answer != b"OK":
            raise _Failed(_READING)  # it may speak RESP, but it did not restore the key
        elif not migration.copy and sent.payload is not None:
            changed = self._delete_if_same(db, sent)
            if changed is not None:
                outcome.again.append(changed)

    async def _end_of_pause(self, patience: trio.CancelScope) -> None:
        """Wait for it, however short the migration's own time."""
        left = patience.deadline - trio.current_time()
        patience.deadline = math.inf
        while self._server.pause.active:
            over = trio.Event()
            self._server.pause.afterwards.append(over.set)
            await over.wait()
        patience.deadline = trio.current_time() + left

    def _present(self, db: Database, keys: Sequence[bytes]) -> list[_Sent]:
        """The keys that are there and alive, as they are now."""
        found = (self._as_it_is(db, key) for key in dict.fromkeys(keys))
        return [sent for sent in found if sent.payload is not None]

    def _as_it_is(self, db: Database, key: bytes) -> _Sent:
        slot = key_slot(key)
        value, deadline = db.spaces[slot].get(key), db.deadlines[slot].get(key)
        if value is None or (deadline is not None and deadline <= self._server.clock_ms()):
            return _Sent(key, slot, None, None, None)
        string = value if type(value) is bytes else None
        return _Sent(key, slot, string, dump_payload(value, self._server.config), deadline)

    def _delete_if_same(self, db: Database, sent: _Sent) -> _Sent | None:
        """Delete a key that the target has now; or, when it was changed meanwhile, what has to be sent still."""
        key, slot = sent.key, sent.slot
        value = db.spaces[slot].get(key)
        # A string that is still the same object is unchanged; anything else is known by its serialisation only.
        if type(value) is not bytes or value is not sent.value or db.deadlines[slot].get(key) != sent.deadline_ms:
            now = self._as_it_is(db, key)
            if (now.payload, now.deadline_ms) != (sent.payload, sent.deadline_ms):
                return now
        ctx = self._server.ctx
        ctx.bind_database(db)
        ctx.routed, ctx.slot = key, slot
        ctx.remove(key, DEL)
        self._server.journal.append(db.index, [b"DEL", key])
        return None

    async def _exchange(self, db: Database, migration: Migration, outcome: _Outcome, *, replace: bool) -> None:
        """Send a batch and settle each key. A kept connection that turns out dead is replaced by a new one."""
        with outcome.patience:
            while True:
                connection = await self._take_connection(migration)
                try:
                    await self._converse(connection, db, migration, outcome, replace)
                except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    await trio.aclose_forcefully(connection.stream)
                    if connection.fresh or outcome.settled:
                        raise _Failed(_WRITING) from None
                    continue
                except BaseException:
                    connection.stream.socket.close()
                    raise
                await self._keep_connection(migration, connection)
                return
        raise _Failed(_READING)

    async def _converse(
        self, connection: _Connection, db: Database, migration: Migration, outcome: _Outcome, replace: bool
    ) -> None:
        prelude = _prelude(migration, fresh=connection.fresh, db=connection.db)
        counts: list[int] = []
        parts = list(prelude)
        for number, sent in enumerate(outcome.batch, 1):
            requests = self._requests(sent, replace)
            parts += requests
            counts.append(len(requests))
            if number % PIECE_KEYS == 0 or number == len(outcome.batch):
                await connection.stream.send_all(b"".join(parts))
                parts.clear()
        for _ in prelude:
            answer = await self._answer(connection)
            if isinstance(answer, hiredis.ReplyError):
                raise _Failed(_refused(answer))
        for count in counts:
            for _ in range(count):
                answer = _next_answer(connection.reader)
                if answer is False:
                    answer = await self._answer(connection)
            await self._may_settle(migration, outcome)
            self._settle(db, migration, outcome, answer)
        connection.db = migration.target_db

    def _exchange_now(self, db: Database, migration: Migration, outcome: _Outcome) -> None:
        reader = hiredis.Reader()
        prelude = _prelude(migration, fresh=True, db=0)
        requests = [self._requests(sent, migration.replace) for sent in outcome.batch]
        try:
            sock = socket.create_connection((migration.host, migration.port), migration.timeout_seconds)
        except (OSError, ValueError, OverflowError):
            raise _Failed(_CONNECTING) from None
        with sock:
            try:
                sock.sendall(b"".join([*prelude, *(part for parts in requests for part in parts)]))
            except OSError:
                raise _Failed(_WRITING) from None
            for _ in prelude:
                answer = _answer_now(sock, reader)
                if isinstance(answer, hiredis.ReplyError):
                    raise _Failed(_refused(answer))
            for parts in requests:
                for _ in parts:
                    answer = _answer_now(sock, reader)
                self._settle(db, migration, outcome, answer)

    def _requests(self, sent: _Sent, replace: bool) -> list[bytes]:
        in_cluster = self._server.cluster_enabled
        if sent.payload is None:
            delete = replies.request([b"DEL", sent.key])
            return [replies.request([b"ASKING"]), delete] if in_cluster else [delete]
        ttl = 0 if sent.deadline_ms is None else max(1, sent.deadline_ms - self._server.clock_ms())
        name = b"RESTORE-ASKING" if in_cluster else b"RESTORE"
        options = [b"REPLACE"] if replace else []
        return [replies.request([name, sent.key, b"%d" % ttl, sent.payload, *options])]

    @staticmethod
    async def _answer(connection: _Connection) -> object:
        received = 0
        while (answer := _next_answer(connection.reader)) is False:
            if received > ANSWER_LIMIT_BYTES:
                raise _Failed(_READING)
            data = await connection.stream.receive_some(READ_BYTES)
            if not data:
                raise trio.BrokenResourceError
            received += len(data)
            connection.reader.feed(data)
        return answer

    # -- connections -----------------------------------------------------------------------------------------

    async def _take_connection(self, migration: Migration) -> _Connection:
        """A kept connection, taken out for the time of its use, or a new one."""
        kept = self._cached.pop(_name(migration), None)
        if kept is not None:
            return kept
        try:
            stream = await trio.open_tcp_stream(migration.host, migration.port)
        except (OSError, ValueError, OverflowError):  # the latter for what can be no host name, no port
            raise _Failed(_CONNECTING) from None
        return _Connection(stream, hiredis.Reader())

    async def _keep_connection(self, migration: Migration, connection: _Connection) -> None:
        connection.fresh = False
        connection.used_at = trio.current_time()
        name = _name(migration)
        if name in self._cached or len(self._cached) >= CACHED_LIMIT:
            await self._forget(name if name in self._cached else next(iter(self._cached)))
        self._cached[name] = connection
        self._server.stats.migrate_sockets = len(self._cached)

    async def _forget(self, name: _Name) -> None:
        connection = self._cached.pop(name, None)
        self._server.stats.migrate_sockets = len(self._cached)
        if connection is not None:
            await trio.aclose_forcefully(connection.stream)


def _next_answer(reader: hiredis.Reader) -> object:
    """The next answer that is complete, else False. Raises _Failed where the target does not speak RESP.

    hiredis raises the other two for sizes and keys of maps that no Redis sends.
    """
    try:
        return reader.gets()
    except (hiredis.ProtocolError, MemoryError, TypeError):
        raise _Failed(_READING) from None


def _name(migration: Migration) -> _Name:
    return migration.host, migration.port, migration.credentials


def _refused(answer: object) -> str:
    return f"ERR Target instance replied with error: {answer}"


def _prelude(migration: Migration, *, fresh: bool, db: int) -> list[bytes]:
    """What has to be said over a connection, on which `db` is selected, before the keys are sent."""
    prelude: list[bytes] = []
    if fresh and migration.credentials:
        prelude.append(replies.request([b"AUTH", *migration.credentials]))
    if db != migration.target_db:
        prelude.append(replies.request([b"SELECT", b"%d" % migration.target_db]))
    return prelude


def _answer_now(sock: socket.socket, reader: hiredis.Reader) -> object:
    received = 0
    try:
        while (answer := _next_answer(reader)) is False:
            data = sock.recv(READ_BYTES)
            received += len(data)
            if not data or received > ANSWER_LIMIT_BYTES:
                raise _Failed(_READING)
            reader.feed(data)
    except OSError:
        raise _Failed(_READING) from None
    return answer
