"""MIGRATE's outside: the exchange of payloads with other nodes, and who has which key meanwhile.

redis-server stands still while it migrates. Here only the client that asked does: it is parked, a task talks to the
target, and encodes what is large a while at a time. The keys under way stay in use meanwhile, and are observed
(cluster/under_way.py). When the target has answered, a key is deleted here only if it was left alone; one that was
changed in between is sent again, one that was deleted is deleted at the target too. Until one of them is done the key
is this node's, and from then on it is the target's: each write is acknowledged by the node that has the last word.
Two nodes can migrate to each other without waiting. A MIGRATE of keys that are under way already waits for the first
one, and then finds them gone.

An exchange that fails leaves the keys here. What was deleted here while it was under way must not come back from a
target that may have got it: the target is told as soon as it can be reached, and until then the answer is TRYAGAIN.

In a transaction nothing may come between its commands, so there a MIGRATE holds up the whole node, as it does in
redis-server, for its timeout at most.

While writes are paused (a manual failover has told its replica the last offset) no key is deleted: the answers wait
for the end of the pause. A node that is a replica by then leaves its keys to its primary's word. Once a slot is another
node's, nothing more is said of its keys: they are that node's own.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Sequence
from contextlib import suppress
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
from cluster.network.migration_link import (
    READING,
    WRITING,
    Connection,
    ConnectionNow,
    Connections,
    Failed,
    prelude_of,
    refused,
)
from cluster.persistence.rdb_writer import dump_payload, payload_parts
from cluster.protocol import replies
from cluster.slots.migration import Migration
from cluster.under_way import Passage, Stage

if TYPE_CHECKING:
    from cluster.keyspace.database import Database
    from cluster.network.session import Session
    from cluster.server import Server

PIECE_KEYS = 20
"""Sent at once: the target restores one piece while the next is encoded."""
TURN_NS = 2_000_000
"""How long the encoding of a value holds up everything else."""
SMALL_LENGTH = 256
"""A string of so many bytes, a collection of so many elements, is encoded in one go."""
COMPRESSED_LIMIT_BYTES = 1 << 20
"""Longer strings are sent as they are, since compressing one cannot be done in turns."""
ROUNDS_LIMIT = 100
"""How often keys that keep changing are sent again before the client is told."""
TELL_AGAIN_SECONDS = 1.0
"""A target that may have got what is gone is told so that often."""
_UNBLOCKED = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
_UNDER_WAY = "TRYAGAIN Another MIGRATE of these keys has not ended yet"


class _Outcome:
    """How the exchange about a batch stands: how many answers have come, which keys have to be sent again, and the
    first refusal. `patience` ends the exchange when nothing has gone on for so many seconds."""

    __slots__ = ("_seconds", "again", "answers", "batch", "patience", "refusal")

    def __init__(self, batch: list[Passage], seconds: float) -> None:
        self.batch = batch
        self._seconds = seconds
        self.patience = trio.CancelScope()
        self.answers = 0
        self.again: list[Passage] = []
        self.refusal = ""

    def begin(self) -> trio.CancelScope:
        """The scope of one try."""
        self.patience = trio.CancelScope()
        self.goes_on()
        return self.patience

    def goes_on(self) -> None:
        self.patience.deadline = trio.current_time() + self._seconds


class Migrator:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._under_way = server.under_way
        self._send, self._receive = trio.open_memory_channel[tuple[Wait, "Database", Migration]](1 << 20)
        self._connections = Connections(server.stats, self._tls)
        self._ended = trio.Event()  # the next migration that ends sets it, and leaves a new one

    def _tls(self) -> ssl.SSLContext | None:
        """What the other nodes of the cluster are connected to by."""
        return self._server.tls.contexts.outgoing if self._server.config.tls_cluster else None

    def submit(self, client: Session, migration: Migration) -> None:
        """Park `client` until the migration is through."""
        wait = Wait(client, keys=[], deadline_ms=None, retry=None, on_timeout=b"")
        self._server.park(wait)
        self._send.send_nowait((wait, client.db, migration))

    def migrate_now(self, db: Database, migration: Migration) -> bytes:
        """Migrate before anything else is done, over a connection of its own. Raises CommandError."""
        if self._under_way.is_busy(db.index, migration.keys):
            raise CommandError(_UNDER_WAY)
        keys = self._present(db, migration.keys)
        if not keys:
            return replies.simple("NOKEY")
        outcome = _Outcome(self._under_way.start(db.index, keys), migration.timeout_seconds)
        try:
            self._exchange_now(db, migration, outcome)
        except Failed as failure:
            raise CommandError(str(failure)) from None
        finally:
            self._end(outcome.batch)
        if outcome.refusal:
            raise CommandError(refused(outcome.refusal))
        return replies.OK

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._connections.close_unused)
                async for wait, db, migration in self._receive:
                    nursery.start_soon(self._serve, wait, db, migration)
        finally:
            self._connections.close()

    async def _serve(self, wait: Wait, db: Database, migration: Migration) -> None:
        passages: list[Passage] = []
        try:
            reply = await self._migrate(db, migration, passages)
        except Failed as failure:
            reply = self._refusal(str(failure))
        except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
            self._server.log("warning", f"=== BUG: MIGRATE to {migration.host}:{migration.port} failed: {format_exc()}")
            reply = self._refusal("ERR internal error, see the server's log")
        left = [] if migration.copy else self._left_behind(db, passages)
        self._end([one for one in passages if one not in left])
        self._server.waiting.end(wait, reply)
        self._server.shell.end_batch()
        await self._tell_what_is_gone(db, migration, left)

    def _end(self, passages: list[Passage]) -> None:
        for one in passages:
            self._under_way.settle(one)
        self._ended.set()
        self._ended = trio.Event()

    def _refusal(self, text: str) -> bytes:
        self._server.stats.count_error(text)
        return b"-" + text.encode("utf-8", "surrogateescape") + b"\r\n"

    # -- the exchange ----------------------------------------------------------------------------------------

    async def _migrate(self, db: Database, migration: Migration, passages: list[Passage]) -> bytes:
        """Move the keys; they are put into `passages`."""
        while self._under_way.is_busy(db.index, migration.keys):
            await self._ended.wait()
        keys = self._present(db, migration.keys)
        if not keys:
            return replies.simple("NOKEY")
        passages += self._under_way.start(db.index, keys)
        batch, refusal = passages, ""
        for _ in range(ROUNDS_LIMIT):
            outcome = _Outcome(batch, migration.timeout_seconds)
            await self._exchange(db, migration, outcome)
            refusal = refusal or outcome.refusal
            batch = outcome.again
            if not batch:
                break
        if refusal:
            raise Failed(refused(refusal))
        if batch:
            raise Failed("IOERR the keys keep changing faster than they can be moved")
        return replies.OK

    async def _may_settle(self, migration: Migration, outcome: _Outcome) -> None:
        """Wait for when keys may be deleted here. Raises Failed when that is our primary's by then."""
        await self._server.pace.is_over()
        if not migration.copy:
            if self._server.pause.active:
                await self._end_of_pause(outcome.patience)
            if self._server.is_read_only:
                raise Failed(_UNBLOCKED)

    def _settle(self, db: Database, migration: Migration, outcome: _Outcome, one: Passage, answer: object) -> None:
        """The target's answer to a key of the batch."""
        outcome.answers += 1
        if one.is_over:
            return
        if isinstance(answer, hiredis.ReplyError):
            outcome.refusal = outcome.refusal or str(answer)
            if one.stage is Stage.SENT:  # it took nothing
                self._under_way.settle(one)
        elif one.value is None:
            if self._alive(db, one.key) is None:
                self._under_way.settle(one)
            else:
                outcome.again.append(one)  # it was made anew before the target said that the old one is gone
        elif answer != b"OK":
            raise Failed(READING)  # it may speak RESP, but it did not restore the key
        elif migration.copy or self._delete_if_same(db, one):
            self._under_way.settle(one)
        else:
            one.stage = Stage.THERE
            outcome.again.append(one)

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

    def _delete_if_same(self, db: Database, one: Passage) -> bool:
        """Delete a key that the target has now. Whether it was left alone meanwhile; else it has to be sent again."""
        key, slot = one.key, one.slot
        value = db.spaces[slot].get(key)
        if value is not one.value or db.deadlines[slot].get(key) != one.deadline_ms or one.changed:
            return False
        ctx = self._server.ctx
        ctx.bind_database(db)
        ctx.routed, ctx.slot = key, slot
        self._server.barrier.key(db, key)
        ctx.remove(key, DEL)
        self._server.journal.append(db.index, [b"DEL", key])
        return True

    async def _exchange(self, db: Database, migration: Migration, outcome: _Outcome) -> None:
        """Send a batch and settle each key. A kept connection that turns out dead is replaced by a new one."""
        while True:
            connection = await self._connections.take(migration)
            try:
                with outcome.begin():
                    await self._converse(connection, db, migration, outcome)
                    await self._connections.keep(migration, connection)
                    return
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.aclose_forcefully(connection.stream)
                if connection.fresh or outcome.answers:
                    raise Failed(WRITING) from None
                continue
            except BaseException:
                connection.close()
                raise
            connection.close()
            raise Failed(READING)

    async def _converse(
        self, connection: Connection, db: Database, migration: Migration, outcome: _Outcome
    ) -> None:
        prelude = prelude_of(migration, fresh=connection.fresh, db=connection.db)
        sent: list[tuple[Passage, int]] = []
        piece: list[tuple[Passage, int, list[bytes]]] = []
        parts = list(prelude)
        for number, one in enumerate(outcome.batch, 1):
            if self._look(db, migration, one):
                piece.append((one, self._answer_count(one), await self._requests(one, outcome, migration)))
            if number % PIECE_KEYS == 0 or number == len(outcome.batch) or (piece and len(piece[-1][2]) > PIECE_KEYS):
                for passage, count, requests in piece:
                    if not passage.is_over:  # its slot may have become another node's while others were encoded
                        sent.append((passage, count))
                        parts += requests
                await connection.send(parts, outcome.goes_on)
                parts, piece = [], []
        await connection.answer_prelude(prelude)
        for one, count in sent:
            answer: object = None
            for _ in range(count):
                answer = await connection.answer()
            outcome.goes_on()
            await self._may_settle(migration, outcome)
            self._settle(db, migration, outcome, one, answer)
        connection.db = migration.target_db

    def _look(self, db: Database, migration: Migration, one: Passage) -> bool:
        """Look at a key as it is now. Whether the target is to be sent it, or that it is gone."""
        if one.is_over:
            return False
        one.look(self._alive(db, one.key), db.deadline(one.key))
        is_told = one.stage is not Stage.HERE and not migration.copy and self._is_ours(one.slot)
        if (one.value is None and not is_told) or (one.value is not None and one.stage is Stage.LEFT):
            self._under_way.settle(one)
            return False
        if one.stage is Stage.HERE:
            one.stage = Stage.SENT
        return True

    def _is_ours(self, slot: int) -> bool:
        """Whether what is deleted here is deleted: where the slot is only on its way here, its owner decides."""
        view = self._server.router.view
        return not self._server.cluster_enabled or (view is not None and view.owners[slot] == view.my_id)

    def _exchange_now(self, db: Database, migration: Migration, outcome: _Outcome) -> None:
        prelude = prelude_of(migration, fresh=True, db=0)
        parts = list(prelude)
        for one in outcome.batch:
            self._look(db, migration, one)
            parts += self._restore(one, [self._payload(one)], migration)
        with ConnectionNow(migration, self._tls()) as connection:
            connection.send(parts)
            connection.answer_prelude(prelude)
            for one in outcome.batch:
                self._settle(db, migration, outcome, one, connection.answer())

    async def _requests(self, one: Passage, outcome: _Outcome, migration: Migration) -> list[bytes]:
        """What the target is to be sent, in several parts where it is much."""
        value = one.value
        if value is None:
            delete = replies.request([b"DEL", one.key])
            return [replies.request([b"ASKING"]) + delete if self._server.cluster_enabled else delete]
        if len(value) > SMALL_LENGTH or isinstance(value, StreamValue):
            return self._restore(one, await self._encode_in_turns(value, outcome), migration)
        return [b"".join(self._restore(one, [self._payload(one)], migration))]

    def _answer_count(self, one: Passage) -> int:
        """How many answers there will be to what is sent of it."""
        return 2 if one.value is None and self._server.cluster_enabled else 1

    def _payload(self, one: Passage) -> bytes:
        assert one.value is not None
        return dump_payload(one.value, self._server.config)

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

    def _restore(self, one: Passage, payload: list[bytes], migration: Migration) -> list[bytes]:
        replace = migration.replace or one.stage is Stage.THERE
        ttl = 0 if one.deadline_ms is None else max(1, one.deadline_ms - self._server.clock_ms())
        name = b"RESTORE-ASKING" if self._server.cluster_enabled else b"RESTORE"
        head = b"".join(map(replies.bulk, (name, one.key, b"%d" % ttl)))
        size = sum(map(len, payload))
        tail = b"\r\n$7\r\nREPLACE\r\n" if replace else b"\r\n"
        return [b"*%d\r\n%b$%d\r\n" % (5 if replace else 4, head, size), *payload, tail]

    # -- what could not be said ------------------------------------------------------------------------------

    def _left_behind(self, db: Database, passages: list[Passage]) -> list[Passage]:
        """Keys that are gone here although the exchange about them was not over, and may be at the target."""
        left = [one for one in passages if one.stage in (Stage.SENT, Stage.THERE) and self._is_left(db, one)]
        for one in left:
            one.stage = Stage.LEFT
        return left

    def _is_left(self, db: Database, one: Passage) -> bool:
        """Whether clients would be sent to the target for a key of which it has an old value."""
        view = self._server.router.view
        return (
            self._server.cluster_enabled and view is not None and self._is_ours(one.slot)
            and one.slot in view.migrating and self._alive(db, one.key) is None
        )

    async def _tell_what_is_gone(self, db: Database, migration: Migration, left: list[Passage]) -> None:
        """Have the target delete what is gone here, however long it cannot be reached."""
        while left:
            for one in left:
                if not one.is_over and not self._is_left(db, one):
                    self._under_way.settle(one)
            left = [one for one in left if not one.is_over]
            if left:
                with suppress(Failed):
                    await self._exchange(db, migration, _Outcome(left, migration.timeout_seconds))
                await trio.sleep(TELL_AGAIN_SECONDS)
