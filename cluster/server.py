"""The node's state and services, as commands and sessions see them: everything but the I/O.

`Server` owns the databases, the command table, the clients, the journal, the waiting room and the router, and
does what belongs to no single command: expiry, watching, write checks, the steps after each command
(`follow_up`) and after each batch (`end_batch`). The shells around it (reactor, bus, replication links) call in
with bytes, events and the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from cluster import errors
from cluster.access import Access
from cluster.barrier import Barrier
from cluster.blocking import Retry, Wait, WaitingRoom
from cluster.client_eviction import ClientEviction
from cluster.command_times import CommandTimes
from cluster.commands.context import Context
from cluster.commands.registry import Command, CommandTable
from cluster.doubt import Doubt
from cluster.errors import CommandError
from cluster.journal import Entry, Journal
from cluster.key_events import KeyEvents
from cluster.keyspace.database import Database
from cluster.keyspace.events import DEL, EVICTED, EXPIRED, FIELDS_EXPIRED, Event
from cluster.keyspace.expiring_hash import ExpiringHashValue
from cluster.keyspace.flat_fields import NamePool
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.lazy_free import LazyFree
from cluster.keyspace.scan import ScanCache
from cluster.keyspace.values import Value
from cluster.latency import EVICTION, LatencyMonitor
from cluster.lost_slots import LostSlots
from cluster.network.session import Session
from cluster.observing import Attacks, SlowLog, monitor_line
from cluster.pause import Pause
from cluster.pubsub import PubSub
from cluster.scripting.parts import scripting_of
from cluster.shell import Shell
from cluster.slots.router import SERVED, Router
from cluster.stats import Stats
from cluster.tls import Tls
from cluster.tracking import Tracking
from cluster.under_way import UnderWay
from cluster.watching import Watching

if TYPE_CHECKING:
    from cluster.bus_bridge import BusBridge
    from cluster.config.store import Configuration
    from cluster.keyspace.memory import MemoryAccount
    from cluster.network.migrator import Migrator
    from cluster.persistence.snapshot import Persistence
    from cluster.replication.role import Replication

LogSink = Callable[[str, str], None]
"""(level: debug, verbose, notice or warning; text)"""


class Server:
    """`clock_ms` is wall-clock time in ms; the context's `now_ms` is its value at the start of the batch."""

    def __init__(
        self,
        config: Configuration,
        table: CommandTable,
        *,
        clock_ms: Callable[[], int],
        rng: random.Random,
        log: LogSink,
        run_id: str,
    ) -> None:
        self.config = config
        self.table = table
        self.clock_ms = clock_ms
        self.rng = rng
        self.log = log
        self.run_id = run_id
        self.cluster_enabled: bool = config.cluster_enabled
        self.mode = "cluster" if self.cluster_enabled else "standalone"
        self.databases = [Database(index) for index in range(1 if self.cluster_enabled else config.databases)]
        self.journal = Journal()
        self.waiting = WaitingRoom()
        self.blocked_keys = self.waiting.by_key
        self.pause = Pause(self)
        self.doubt = Doubt(self)
        self.pace, self.scripts, self.functions = scripting_of(self)
        self.stats = Stats()
        self.scan_cache = ScanCache()
        self.lazy_free = LazyFree()
        self.field_names = NamePool()
        self.clients: dict[int, Session] = {}
        self.monitors: dict[int, Session] = {}
        self._start_flags()
        self._start_observing()
        self.access, self.tls = Access(self), Tls(config, log)
        self.awake: dict[Session, None] = {}
        self.unfinished: dict[Session, None] = {}
        self._next_client_id = 0
        self.started_ms = clock_ms()
        self.ctx = Context(self, config, rng)
        self.ctx.now_ms = self.started_ms
        self.router = Router(config, self._answers_for)
        self.served = self.router.served if self.cluster_enabled else bytearray(b"\1" * SLOT_COUNT)
        # Set by the node once they exist; a server without them (tests) runs plain commands.
        self.memory: MemoryAccount
        self.replication: Replication
        self.persistence: Persistence
        self.migrator: Migrator
        self.bus: BusBridge | None = None
        self.shell = Shell()
        self.refresh_road()

    def _start_observing(self) -> None:
        self.watching = Watching(self)
        self.barrier = Barrier(self)
        self.under_way = UnderWay(self)
        self.lost_slots = LostSlots(self)
        self.pubsub = PubSub(self)
        self.tracking = Tracking(self)
        self.key_events = KeyEvents(self)
        self.slow_log = SlowLog()
        self.latency = LatencyMonitor(self.clock_ms, perf_counter_ns)
        self.noted_ns = 0  # a command that takes longer is told to `times`
        self.times = CommandTimes(self)
        self.client_eviction = ClientEviction(self)

    def _start_flags(self) -> None:
        self.loading = False
        self.active_expiry = True
        self.cron_paused = False  # DEBUG PAUSE-CRON
        self.serves_stale_only = False  # our primary is away and replica-serve-stale-data says no
        self.answers_primary = False
        self.confirms_writes = False  # cluster-write-acks
        self.is_replica = False
        self.unusual = False
        self.has_followups = False
        self.attacks = Attacks()

    # -- clients ---------------------------------------------------------------------------------------------

    def connect(self, *, address: str, local_address: str = "") -> Session:
        """A new client's session."""
        self._next_client_id += 1
        session = Session(self, self._next_client_id, address=address, local_address=local_address)
        self.clients[session.id] = session
        self.stats.connections += 1
        return session

    def disconnect(self, session: Session) -> None:
        """The connection is gone: nothing of it stays."""
        if self.clients.pop(session.id, None) is None:
            return
        if session.wait is not None:
            self.waiting.end(session.wait, None)
        self.watching.forget(session)
        self.pubsub.forget(session)
        self.tracking.stop(session)
        self.client_eviction.forget(session)
        self.monitors.pop(session.id, None)
        self.awake.pop(session, None)
        self.unfinished.pop(session, None)
        session.closing = True
        if session.is_replica_link:
            self.replication.replica_gone(session)
        # Session and connection know each other, as do the two parsers: what they hold would stay until the garbage
        # collector looks at old objects, which it hardly ever does here.
        session.parser.forget()
        session.held.clear()
        session.rest = session.transport = session.replica = None
        self.refresh_road()

    def kill(self, session: Session) -> None:
        """Close a client's connection, whatever it waits for."""
        if session.is_primary_link:
            self.replication.drop_link()
        else:
            self.shell.hang_up(session)

    def wake(self, session: Session) -> None:
        """`session` has output, or commands to go on with, outside its own turn."""
        if not self.awake:
            self.shell.wake()
        self.awake[session] = None

    def postpone(self, session: Session) -> None:
        """`session` has commands left to run, and has had its turn in this batch."""
        if not self.unfinished:
            self.shell.wake()
        self.unfinished[session] = None

    def take_unfinished(self) -> dict[Session, None]:
        """The sessions that go on in this batch."""
        taken = self.unfinished
        if taken:
            self.unfinished = {}
        return taken

    # -- the road --------------------------------------------------------------------------------------------

    def refresh_road(self) -> None:
        """Recompute `unusual`: whether every command must take the long road."""
        persistence = getattr(self, "persistence", None)
        memory = getattr(self, "memory", None)
        self.table.take_writes(self.barrier.walk is None and (self.cluster_enabled or not self.is_read_only))
        self.access.follow_table()
        self.unusual = bool(
            self.loading
            or self.pause.active
            or self.pace.suspended
            or self.monitors
            or (memory is not None and memory.is_over and self.may_evict)
            or self.serves_stale_only
            or (self.config.min_replicas_to_write and self.config.min_replicas_max_lag)
            or (self.confirms_writes and self.replication.write_acks.lacks_replicas)
            or (persistence is not None and persistence.refuses_writes)
        )

    def route(self, client: Session, command: Command, arguments: list[bytes]) -> None:
        """In cluster mode, raise the redirect the command deserves."""
        if not self.cluster_enabled:
            return
        if command.name == "exec" and client.transaction is not None:
            keys = client.transaction.keys()
            if keys:
                self.router.check_keys(client, command, keys, writes=client.transaction.writes)
            return
        if command.keys:
            self.router.check(client, command, arguments)

    @property
    def is_read_only(self) -> bool:
        """A replica that takes no writes but its primary's."""
        return self.is_replica and (self.cluster_enabled or self.config.replica_read_only)

    def check_write_allowed(self, client: Session, writes: bool) -> None:
        """Writes that this node must refuse now, although it serves the slot."""
        if writes and not client.is_primary_link:
            self.check_disk()
        if writes and self.is_read_only:
            raise CommandError(errors.READONLY)
        needed = self.config.min_replicas_to_write
        if writes and needed and self.config.min_replicas_max_lag and not self.is_replica:
            if self.replication.good_replicas(self.ctx.now_ms) < needed:
                raise CommandError(errors.NOREPLICAS)
        if writes and self.confirms_writes:
            self.replication.write_acks.check()

    def check_disk(self) -> None:
        """Raise MISCONF while writes are refused because the disk does not take them."""
        persistence = getattr(self, "persistence", None)
        if persistence is not None and persistence.refuses_writes:
            raise CommandError(persistence.refusal)

    def ensure_memory(self) -> None:
        """Evict where the data does not fit maxmemory; raise OOM when the policy leaves nothing to evict."""
        if self.memory.is_over and self.may_evict and not self.latency.timed(EVICTION, self.memory.make_room):
            raise CommandError(errors.OOM)

    @property
    def may_evict(self) -> bool:
        """Whether the data may shrink by itself: a replica's is its primary's, and a pause is one of all changes."""
        ignores = self.is_replica and self.config.replica_ignore_maxmemory
        return not (ignores or self.loading or self.pause.active)

    # -- keys ------------------------------------------------------------------------------------------------

    def _answers_for(self, key: bytes) -> bool:
        self.ctx.bind_database(self.databases[0])
        return self.under_way.has_last_word(0, key) or self.ctx.exists(key)

    def expire_now(self, db: Database, key: bytes, slot: int) -> None:
        """Delete an expired key and propagate the deletion."""
        self._drop(db, key, slot, lazily=self.config.lazyfree_lazy_expire)
        self.stats.expired_keys += 1
        if self.ctx.observed:
            self.announce(db, key, EXPIRED)

    def _drop(self, db: Database, key: bytes, slot: int, *, lazily: bool) -> None:
        self.barrier.key(db, key)
        value = db.spaces[slot].pop(key)
        if type(value) is not bytes:
            self.lazy_free.take(value, counted=lazily)
        db.deadlines[slot].pop(key, None)
        db.fields.forget(key)
        self.key_ready(db, key)
        self.journal.append(db.index, [b"UNLINK" if lazily else b"DEL", key])

    def expire_fields(self, db: Database, key: bytes, value: ExpiringHashValue, fields: list[bytes]) -> None:
        """`fields` had expired and were taken from `value`, which `key` holds: tell replicas, and go with the last."""
        if not fields:
            return
        self.stats.expired_fields += len(fields)
        self.journal.append(db.index, [b"HDEL", key, *fields])
        if value:
            db.note_fields(key, value)
        else:
            db.delete(key)
            if self.blocked_keys:
                self.key_ready(db, key)
        if self.ctx.observed:
            self.announce(db, key, FIELDS_EXPIRED)
            if not value:
                self.announce(db, key, DEL)

    def evict_now(self, db: Database, key: bytes, slot: int) -> None:
        """Delete a key for want of memory and propagate the deletion."""
        self._drop(db, key, slot, lazily=self.config.lazyfree_lazy_eviction)
        self.stats.evicted_keys += 1
        if self.ctx.observed:
            self.announce(db, key, EVICTED)

    def announce(self, db: Database, key: bytes, event: Event, *, watched: bool = True) -> None:
        """Tell those who observe keys: transactions that watch it, the account of memory, keyspace events."""
        if event.kind != "m":
            if watched and self.watching.by_key:
                self.watching.changed(db.index, key)
            if watched and self.tracking.clients:
                self.tracking.changed(key, None if event in (EXPIRED, EVICTED) else self.ctx.client)
            if self.under_way.by_key:
                self.under_way.changed(db.index, key)
            if self.config.maxmemory or self.ctx.tracks_access:
                self.memory.measure(db, key)
        if event.kind in self.key_events.kinds:
            self.key_events.publish(db, key, event)

    def refresh_observed(self) -> None:
        self.ctx.observed = bool(
            self.watching.by_key or self.under_way.by_key or self.config.maxmemory or self.ctx.tracks_access
            or self.key_events.kinds or self.tracking.clients
        )

    def flush(self, databases: list[Database], *, lazily: bool = False) -> int:
        """Empty `databases`; how many keys there were. `lazily`: INFO counts them as freed in the background."""
        self.barrier.replacing(databases)
        count = 0
        for db in databases:
            for watched in [where for where in self.watching.by_key if where[0] == db.index]:
                if db.get(watched[1]) is not None:
                    self.announce(db, watched[1], Event("g", "flushed"))
            keys = len(db)
            if keys:
                count += keys
                self.lazy_free.take_tables(db.clear(), keys if lazily else 0)
                if self.config.maxmemory or self.ctx.tracks_access:
                    self.memory.emptied(db)
        for index, key in list(self.blocked_keys):
            if self.databases[index] in databases:
                self.key_ready(self.databases[index], key)
        self.scan_cache.clear()
        self.tracking.flushed()
        self.ctx.routed = None
        return count

    def emptied(self) -> None:
        """FLUSHALL is done and journaled."""
        persistence = getattr(self, "persistence", None)
        if persistence is not None:
            persistence.emptied()

    def swap_databases(self, first: int, second: int) -> None:
        """Exchange the contents of two databases; clients and watches stay with their index."""
        one, other = self.databases[first], self.databases[second]
        self.barrier.replacing((one, other))
        for index, key in list(self.watching.by_key):
            if index in (first, second) and (one.get(key) is not None or other.get(key) is not None):
                self.announce(self.databases[index], key, Event("g", "swapdb"))
        one.spaces, other.spaces = other.spaces, one.spaces
        one.deadlines, other.deadlines = other.deadlines, one.deadlines
        one.used_ms, other.used_ms = other.used_ms, one.used_ms
        one.agenda, other.agenda = other.agenda, one.agenda
        one.fields.exchange(other.fields)
        self.scan_cache.clear()
        self.ctx.bind_database(self.ctx.db)
        if self.config.maxmemory or self.ctx.tracks_access:
            self.memory.swapped(first, second)
        for index, key in list(self.blocked_keys):
            if index in (first, second):
                self.key_ready(self.databases[index], key)

    # -- waiting ---------------------------------------------------------------------------------------------

    def block(
        self, keys: list[bytes], timeout_ms: int | None, retry: Retry, on_timeout: bytes, kind: type[Value] | None
    ) -> None:
        """Park the client at hand until `retry(ctx, key)` gives a reply for one of `keys`, when this has become a value
        of `kind` (None: has changed or is gone), or until `timeout_ms` have passed (0: for ever)."""
        ctx = self.ctx
        deadline = ctx.now_ms + timeout_ms if timeout_ms else None
        self.park(
            Wait(
                ctx.client, keys=keys, deadline_ms=deadline, retry=retry, on_timeout=on_timeout, kind=kind,
                command=ctx.command,
            )
        )

    def park(self, wait: Wait) -> None:
        """Let a client wait for what `wait` says."""
        self.waiting.park(wait)
        if wait.deadline_ms is not None:
            self.shell.hurry_cron()

    def key_ready(self, db: Database, key: bytes) -> None:
        """`key` was made, grew or is gone: who waits for it looks again when the command at hand is done."""
        self.waiting.key_ready(db.index, key)
        if self.waiting.has_ready:
            self.has_followups = True

    def redirect_waiting(self) -> None:
        """The view has changed: clients that wait for keys served elsewhere now are told where."""
        for (_, key), waits in list(self.waiting.by_key.items()):
            if self.served[key_slot(key)] == SERVED:
                continue
            for wait in list(waits):
                command = wait.command
                try:
                    self.router.check_waiting(wait.client, key, reads=command is not None and not command.writes)
                except CommandError as error:
                    self.stats.count_error(error.message)
                    self.waiting.end(wait, error.encoded)

    # -- after a command, after a batch ----------------------------------------------------------------------

    def follow_up(self) -> None:
        """What a command's effects set going: clients waiting for the keys it made ready are served, in order; what no
        longer fits is evicted."""
        self.has_followups = False
        self.waiting.serve(self)
        if self.memory.is_over and self.may_evict:
            self.latency.timed(EVICTION, self.memory.make_room)
            if self.memory.is_over:  # the next commands have to ask
                self.refresh_road()

    def start_batch(self) -> None:
        ctx = self.ctx
        before = ctx.now_ms
        ctx.now_ms = now = self.clock_ms()
        self.doubt.look(now, before)

    def end_batch(self) -> list[Session]:
        """Journal what the batch wrote, let woken clients go on; the sessions with output to send."""
        sessions: list[Session] = []
        if self.has_followups:  # by what no command did, such as a key's expiry
            self.follow_up()
        if self.tracking.has_news:
            self.tracking.broadcast()
        while self.awake:
            for session in list(self.awake):
                del self.awake[session]
                sessions.append(session)
                if session.wait is None and not session.closing and (session.rest is not None or session.held):
                    session.resume()
        if self.journal.entries:
            self.flush_journal()
            sessions.extend(self.awake)
            self.awake.clear()
        interest = self.pubsub.interest
        if interest is not None and (interest.changed or interest.outgoing) and self.bus is not None:
            self.bus.share(interest)
        return sessions

    def flush_journal(self) -> None:
        journal = self.journal
        messages, selected = journal.messages, journal.selected
        entries: list[Entry] = journal.take()
        replication = getattr(self, "replication", None)
        encoded = replication.feed(entries) if replication is not None else None
        persistence = getattr(self, "persistence", None)
        if persistence is not None:
            persistence.dirty += len(entries) - messages
            if persistence.aof.is_open:
                persistence.aof.feed(entries, messages, encoded if selected == persistence.aof.selected else None)

    # -- observing commands ----------------------------------------------------------------------------------

    def feed_monitors(self, client: Session, command: Command, arguments: list[bytes]) -> None:
        """One line to each MONITOR client."""
        if "admin" not in command.flags:
            line = monitor_line(self.shell.clock_us(), client.db.index, client.address, arguments)
            for monitor in self.monitors.values():
                monitor.send(line)

    def reset_stats(self) -> None:
        """CONFIG RESETSTAT."""
        self.stats.reset()
        self.times.reset()
        self.ctx.hits = self.ctx.misses = 0
        self.lazy_free.freed_objects = 0
        for one in self.table.every():
            one.calls = one.rejected = one.failed = 0
            one.spent_ns = 0
