"""MIGRATE's outside: connections to other nodes, and the exchange of payloads with them.

redis-server stands still while it migrates. Here only the client that asked does: it is parked, a task talks to the
target, and encodes what is large a while at a time. The keys under way stay in use meanwhile, and are observed
(cluster/under_way.py). When the target has answered, a key is deleted here only if it was left alone; one that was
changed in between is sent again, one that was deleted is deleted at the target too. Two nodes can migrate to each
other without waiting. A MIGRATE of keys that are under way already waits for the first one, and then finds them gone.

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
from time import perf_counter_ns
from traceback import format_exc
from typing import TYPE_CHECKING

import hiredis
import trio

from cluster.blocking import Wait
from cluster.errors import CommandError
from cluster.keyspace.events import DEL
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.values import StreamValue, Value
from cluster.persistence.rdb_writer import dump_payload, payload_parts
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
PIECE_BYTES = 256 * 1024
"""Sent at once: the target restores one piece while the next is encoded."""
TURN_NS = 2_000_000
"""How long the encoding of a value holds up everything else."""
SMALL_LENGTH = 256
"""A string of so many bytes, a collection of so many elements, is encoded in one go."""
COMPRESSED_LIMIT_BYTES = 1 << 20
"""Longer strings are sent as they are, since compressing one cannot be done in turns."""
ROUNDS_LIMIT = 100
"""How often keys that keep changing are sent again before the client is told."""
ANSWER_LIMIT_BYTES = 64 * 1024
"""An answer is one line. Who sends so much without ending one is no Redis."""
_UNBLOCKED = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
_UNDER_WAY = "TRYAGAIN Another MIGRATE of these keys has not ended yet"
_CONNECTING = "IOERR error or timeout connecting to the client"
_WRITING = "IOERR error or timeout writing to target instance"
_READING = "IOERR error or timeout reading to target instance"

_UNCONNECTABLE = (socket.gaierror, ValueError, TimeoutError, trio.TooSlowError)
"""No address for the name, what can be no name, or no answer at all. One that refuses the connection, redis-server
meets only when it writes, and says so."""

_Name = tuple[str, int, tuple[bytes, ...]]


@dataclass(slots=True)
class _Connection:
    stream: trio.SocketStream
    reader: hiredis.Reader
    db: int = 0
    used_at: float = field(default_factory=trio.current_time)
    fresh: bool = True


@dataclass(slots=True)
class _Sent:
    """A key as it is sent. `value` None: it is gone here, and has to go there."""

    key: bytes
    slot: int
    value: Value | None
    deadline_ms: int | None


class _Outcome:
    """How the exchange about a batch stands: how many keys are settled, which have to be sent again, and the first
    refusal. `patience` ends the exchange when nothing has gone on for so many seconds."""

    __slots__ = ("_seconds", "again", "batch", "patience", "refusal", "settled")

    def __init__(self, batch: list[bytes], seconds: float) -> None:
        self.batch = batch
        self._seconds = seconds
        self.patience = trio.CancelScope()
        self.settled = 0
        self.again: list[bytes] = []
        self.refusal = ""

    def begin(self) -> trio.CancelScope:
        """The scope of one try."""
        self.patience = trio.CancelScope()
        self.goes_on()
        return self.patience

    def goes_on(self) -> None:
        self.patience.deadline = trio.current_time() + self._seconds


class _Failed(Exception):
    """The error line for the client."""


class Migrator:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._send, self._receive = trio.open_memory_channel[tuple[Wait, "Database", Migration]](1 << 20)
        self._cached: dict[_Name, _Connection] = {}
        self._ended = trio.Event()  # the next migration that ends sets it, and leaves a new one

    def submit(self, client: Session, migration: Migration) -> None:
        """Park `client` until the migration is through."""
        wait = Wait(client, keys=[], deadline_ms=None, retry=None, on_timeout=b"")
        self._server.park(wait)
        self._send.send_nowait((wait, client.db, migration))

    def migrate_now(self, db: Database, migration: Migration) -> bytes:
        """Migrate before anything else is done, over a connection of its own. Raises CommandError."""
        if self._server.under_way.has_any(db.index, migration.keys):
            raise CommandError(_UNDER_WAY)
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
        under_way = self._server.under_way
        while under_way.has_any(db.index, migration.keys):
            await self._ended.wait()
        keys = self._present(db, migration.keys)
        if not keys:
            return replies.simple("NOKEY")
        under_way.start(db.index, keys)
        try:
            return await self._migrate_present(db, migration, keys)
        finally:
            under_way.end(db.index, keys)
            self._ended.set()
            self._ended = trio.Event()

    async def _migrate_present(self, db: Database, migration: Migration, keys: list[bytes]) -> bytes:
        for number in range(ROUNDS_LIMIT):
            outcome = _Outcome(keys, migration.timeout_seconds)
            await self._exchange(db, migration, outcome, again=number > 0)
            if outcome.refusal:
                raise _Failed(_refused(outcome.refusal))
            if not outcome.again:
                return replies.OK
            keys = outcome.again
        raise _Failed("IOERR the keys keep changing faster than they can be moved")

    async def _may_settle(self, migration: Migration, outcome: _Outcome) -> None:
        """Wait for when keys may be deleted here. Raises _Failed when that is our primary's by then."""
        await self._server.pace.is_over()
        if not migration.copy:
            if self._server.pause.active:
                await self._end_of_pause(outcome.patience)
            if self._server.is_read_only:
                raise _Failed(_UNBLOCKED)

    def _settle(self, db: Database, migration: Migration, outcome: _Outcome, sent: _Sent, answer: object) -> None:
        """The target's answer to a key of the batch."""
        outcome.settled += 1
        if isinstance(answer, hiredis.ReplyError):
            outcome.refusal = outcome.refusal or str(answer)
        elif sent.value is None:
            return
        elif answer != b"OK":
            raise _Failed(_READING)  # it may speak RESP, but it did not restore the key
        elif not migration.copy and not self._delete_if_same(db, sent):
            outcome.again.append(sent.key)

    async def _end_of_pause(self, patience: trio.CancelScope) -> None:
        """Wait for it, however short the migration's own time."""
        left = patience.deadline - trio.current_time()
        patience.deadline = math.inf
        while self._server.pause.active:
            over = trio.Event()
            self._server.pause.afterwards.append(over.set)
            await over.wait()
        patience.deadline = trio.current_time() + left

    def _present(self, db: Database, keys: Sequence[bytes]) -> list[bytes]:
        """The keys that are there and alive."""
        return [key for key in dict.fromkeys(keys) if self._alive(db, key) is not None]

    def _alive(self, db: Database, key: bytes) -> Value | None:
        slot = key_slot(key)
        deadline = db.deadlines[slot].get(key)
        if deadline is not None and deadline <= self._server.clock_ms():
            return None
        return db.spaces[slot].get(key)

    def _as_it_is(self, db: Database, key: bytes) -> _Sent:
        return _Sent(key, key_slot(key), self._alive(db, key), db.deadline(key))

    def _delete_if_same(self, db: Database, sent: _Sent) -> bool:
        """Delete a key that the target has now. Whether it was left alone meanwhile; else it has to be sent again."""
        key, slot = sent.key, sent.slot
        value = db.spaces[slot].get(key)
        if value is not sent.value or db.deadlines[slot].get(key) != sent.deadline_ms:
            return False
        if self._server.under_way.has_changed(db.index, key):
            return False
        ctx = self._server.ctx
        ctx.bind_database(db)
        ctx.routed, ctx.slot = key, slot
        ctx.remove(key, DEL)
        self._server.journal.append(db.index, [b"DEL", key])
        return True

    async def _exchange(self, db: Database, migration: Migration, outcome: _Outcome, *, again: bool) -> None:
        """Send a batch and settle each key. A kept connection that turns out dead is replaced by a new one."""
        while True:
            connection = await self._take_connection(migration)
            try:
                with outcome.begin():
                    await self._converse(connection, db, migration, outcome, again)
                    await self._keep_connection(migration, connection)
                    return
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.aclose_forcefully(connection.stream)
                if connection.fresh or outcome.settled:
                    raise _Failed(_WRITING) from None
                continue
            except BaseException:
                connection.stream.socket.close()
                raise
            connection.stream.socket.close()
            raise _Failed(_READING)

    async def _converse(
        self, connection: _Connection, db: Database, migration: Migration, outcome: _Outcome, again: bool
    ) -> None:
        prelude = _prelude(migration, fresh=connection.fresh, db=connection.db)
        under_way: list[_Sent] = []
        parts = list(prelude)
        for number, key in enumerate(outcome.batch, 1):
            sent = self._as_it_is(db, key)
            if sent.value is not None or again:
                self._server.under_way.look(db.index, key)
                under_way.append(sent)
                parts += await self._requests(sent, outcome, migration.replace or again)
            if number % PIECE_KEYS == 0 or number == len(outcome.batch) or len(parts) > 2 * PIECE_KEYS:
                await _send_all(connection, outcome, parts)
                parts.clear()
        for _ in prelude:
            answer = await self._answer(connection)
            if isinstance(answer, hiredis.ReplyError):
                raise _Failed(_refused(answer))
        for sent in under_way:
            for _ in range(self._answer_count(sent)):
                answer = _next_answer(connection.reader)
                if answer is False:
                    answer = await self._answer(connection)
            outcome.goes_on()
            await self._may_settle(migration, outcome)
            self._settle(db, migration, outcome, sent, answer)
        connection.db = migration.target_db

    def _exchange_now(self, db: Database, migration: Migration, outcome: _Outcome) -> None:
        reader = hiredis.Reader()
        prelude = _prelude(migration, fresh=True, db=0)
        under_way = [self._as_it_is(db, key) for key in outcome.batch]
        requests = [self._restore(sent, [self._payload(sent)], migration.replace) for sent in under_way]
        with _connect_now(migration) as sock:
            try:
                sock.sendall(b"".join([*prelude, *(part for parts in requests for part in parts)]))
            except OSError:
                raise _Failed(_WRITING) from None
            for _ in prelude:
                answer = _answer_now(sock, reader)
                if isinstance(answer, hiredis.ReplyError):
                    raise _Failed(_refused(answer))
            for sent in under_way:
                self._settle(db, migration, outcome, sent, _answer_now(sock, reader))

    async def _requests(self, sent: _Sent, outcome: _Outcome, replace: bool) -> list[bytes]:
        """What the target is to be sent, in several parts where it is much."""
        value = sent.value
        if value is None:
            delete = replies.request([b"DEL", sent.key])
            return [replies.request([b"ASKING"]) + delete if self._server.cluster_enabled else delete]
        if len(value) > SMALL_LENGTH or isinstance(value, StreamValue):
            return self._restore(sent, await self._encode_in_turns(value, outcome), replace)
        return [b"".join(self._restore(sent, [self._payload(sent)], replace))]

    def _answer_count(self, sent: _Sent) -> int:
        return 2 if sent.value is None and self._server.cluster_enabled else 1

    def _payload(self, sent: _Sent) -> bytes:
        assert sent.value is not None
        return dump_payload(sent.value, self._server.config)

    async def _encode_in_turns(self, value: Value, outcome: _Outcome) -> list[bytes]:
        """The payload, in pieces; everybody else has turns meanwhile."""
        config = self._server.config
        is_long = isinstance(value, (bytes, bytearray)) and len(value) > COMPRESSED_LIMIT_BYTES
        pieces: list[bytes] = []
        until = perf_counter_ns() + TURN_NS
        for piece in payload_parts(value, config, compress=config.rdbcompression and not is_long):
            pieces.append(piece)
            if perf_counter_ns() >= until:
                outcome.goes_on()
                await trio.lowlevel.checkpoint()
                until = perf_counter_ns() + TURN_NS
        return pieces

    def _restore(self, sent: _Sent, payload: list[bytes], replace: bool) -> list[bytes]:
        ttl = 0 if sent.deadline_ms is None else max(1, sent.deadline_ms - self._server.clock_ms())
        name = b"RESTORE-ASKING" if self._server.cluster_enabled else b"RESTORE"
        head = b"".join(map(replies.bulk, (name, sent.key, b"%d" % ttl)))
        size = sum(map(len, payload))
        tail = b"\r\n$7\r\nREPLACE\r\n" if replace else b"\r\n"
        return [b"*%d\r\n%b$%d\r\n" % (5 if replace else 4, head, size), *payload, tail]

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
        _check_address(migration)
        try:
            with trio.fail_after(migration.timeout_seconds):
                stream = await trio.open_tcp_stream(migration.host, migration.port)
        except _UNCONNECTABLE:
            raise _Failed(_CONNECTING) from None
        except (OSError, OverflowError):
            raise _Failed(_WRITING) from None
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


async def _send_all(connection: _Connection, outcome: _Outcome, parts: list[bytes]) -> None:
    """Send the parts, however many bytes they are, as long as that goes on."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            await connection.stream.send_all(b"".join(gathered))
            outcome.goes_on()
            gathered, size = [], 0
    await connection.stream.send_all(b"".join(gathered))
    outcome.goes_on()


def _check_address(migration: Migration) -> None:
    if not migration.host or migration.port < 0:
        raise _Failed(_CONNECTING)


def _connect_now(migration: Migration) -> socket.socket:
    _check_address(migration)
    try:
        return socket.create_connection((migration.host, migration.port), migration.timeout_seconds)
    except _UNCONNECTABLE:
        raise _Failed(_CONNECTING) from None
    except (OSError, OverflowError):
        raise _Failed(_WRITING) from None


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
