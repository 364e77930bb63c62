"""The node's part in replication: its history (ids and offset), its replicas, and whom it follows.

A primary's effects become one stream of bytes, numbered from the history's start; `offset` is the number of its last
byte. A replica passes its primary's bytes on unchanged, so all nodes of a shard share one numbering, and whoever
becomes primary can continue it: it takes a new id and remembers the old one up to the byte where it took over
(Redis's PSYNC version 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cluster.errors import CommandError
from cluster.journal import Divided, ForReplicas
from cluster.keyspace.numbers import count_of
from cluster.protocol import replies
from cluster.replication.backlog import Backlog
from cluster.replication.failover import Failover
from cluster.replication.full_syncs import FullSyncs
from cluster.replication.own_keys import OwnKeys
from cluster.replication.replica_link import ReplicaLink
from cluster.replication.replicas import Replica
from cluster.replication.sending import catch_up
from cluster.replication.waits import ReplicaWaits
from cluster.replication.write_acks import WriteAcks

if TYPE_CHECKING:
    from cluster.journal import Entry
    from cluster.network.session import Session
    from cluster.server import Server

NO_ID = "0" * 40
_PING = replies.request([b"PING"])
_GET_ACK = replies.request([b"REPLCONF", b"GETACK", b"*"])
_CATCH_UP_SECONDS = 0.01
_UNBLOCKED = (
    b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n"
)


class Replication:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.replid = self._new_id()
        self.second_replid = NO_ID
        self.second_offset = -1
        self.offset = 0
        self.stream_db = 0
        """The database in which the stream stands that we follow: a partial resynchronisation goes on there."""
        self.backlog: Backlog | None = None
        self.replicas: dict[Session, Replica] = {}
        self.link: ReplicaLink | None = None
        self._full_syncs = FullSyncs(server, self)
        self._changed = trio.Event()
        self._lagging: list[Replica] = []
        self._waits = ReplicaWaits(server, self)
        self.write_acks = WriteAcks(server)
        self.failover = Failover(server, self)
        self.own_keys = OwnKeys(server)
        self.applies_stream = False  # what is journaled now came from our primary
        self._written = 0  # the offset of the last write: what WAIT asks for
        self._last_ping_ms = 0
        self._no_replicas_since = 0

    def _new_id(self) -> str:
        return f"{self._server.rng.getrandbits(160):040x}"

    # -- the stream ------------------------------------------------------------------------------------------

    def feed(self, entries: list[Entry]) -> bytes | None:
        """A batch's effects. A replica has passed on its primary's own bytes already. The bytes of the stream, if there
        is one."""
        if isinstance(entries, Divided):
            entries = entries.of(ForReplicas)
        if self.link is not None and entries and not (self.applies_stream or self._server.is_read_only):
            self.own_keys.note(entries)
        if not entries or self.backlog is None or self.link is not None:
            return None
        encoded = self._server.journal.encode(entries)
        self.stream(encoded)
        self._written = self.offset
        if self._server.confirms_writes:
            self.write_acks.written(self.offset)
        return encoded

    def stream(self, data: bytes) -> None:
        """Append to the stream: to the backlog, and to every replica."""
        if not data:
            return
        self.offset += len(data)
        if self.backlog is not None:
            self.backlog.append(data)
        for replica in self.replicas.values():
            if replica.take(data):
                self._lagging.append(replica)
                self._changed.set()
        self._server.stats.replication_output_bytes += len(data) * len(self.replicas)

    def need_backlog(self) -> Backlog:
        if self.backlog is None:
            self.backlog = Backlog(self._server.config.repl_backlog_size, self.offset)
        return self.backlog

    def resize_backlog(self, size: int) -> None:
        if self.backlog is not None:
            kept = self.backlog.since(self.backlog.first) or b""
            self.backlog = Backlog(size, self.offset - len(kept))
            self.backlog.append(kept)

    @property
    def backlog_bytes(self) -> int:
        return 0 if self.backlog is None else len(self.backlog)

    def begin_history(self, replid: str, offset: int, stream_db: str) -> None:
        """The data are a primary's now, as of that place in its stream."""
        self.replid, self.offset = replid, offset
        self.second_replid, self.second_offset = NO_ID, -1
        self.backlog = Backlog(self._server.config.repl_backlog_size, offset)
        self.stand_in(stream_db)
        self.disconnect_replicas()

    def continue_as(self, replid: str) -> None:
        """Our primary goes on from where we are; its stream may have got another id."""
        if replid != self.replid:
            self.second_replid, self.second_offset = self.replid, self.offset + 1
            self.replid = replid
            self.disconnect_replicas()

    def change_id(self) -> None:
        """Nobody can continue our stream from here on (DEBUG CHANGE-REPL-ID)."""
        self.replid = self._new_id()
        self.second_replid, self.second_offset = NO_ID, -1

    # -- replicas --------------------------------------------------------------------------------------------

    def replica_of(self, session: Session) -> Replica:
        """What is known of the replica at the other end, from its first REPLCONF on."""
        if not isinstance(session.replica, Replica):
            session.replica = Replica(session)
        return session.replica

    def take_over_from(self, replid: str) -> None:
        """PSYNC FAILOVER: our primary, whose history `replid` is, wants us to be the primary. Raises CommandError."""
        server = self._server
        if self.link is None or server.cluster_enabled:
            raise CommandError("ERR PSYNC FAILOVER can't be sent to a master.")
        if replid != self.replid:
            raise CommandError("ERR PSYNC FAILOVER replid must match my replid.")
        server.log("warning", f"Failover request received for replid {replid}.")
        self.become_independent()
        server.log("notice", "MASTER MODE enabled (failover request)")

    def begin_sync(self, session: Session, replid: str, offset: int, *, old: bool = False) -> None:
        """PSYNC (or, `old`, SYNC): continue from `offset` if that can be, else send everything."""
        server = self._server
        if self.failover.active:
            raise CommandError("NOMASTERLINK Can't SYNC while failing over")
        if self.link is not None and not self.link.up:
            raise CommandError("NOMASTERLINK Can't SYNC while not connected with my master")
        view = server.router.view
        if view is not None and not view.settled:
            raise CommandError("NOMASTERLINK Can't SYNC before it is known whether my data are the newest")
        server.flush_journal()
        replica = self.replica_of(session)
        session.is_replica_link = True
        session.refresh()
        if server.config.repl_disable_tcp_nodelay:
            server.shell.gather_output(session)
        self.replicas[session] = replica
        replica.acknowledged_ms = server.ctx.now_ms
        known = replid == self.replid or (replid == self.second_replid and offset <= self.second_offset)
        missing = self.backlog.since(offset) if known and self.backlog is not None else None
        if missing is not None:
            server.stats.partial_syncs_ok += 1
            answer = f"+CONTINUE {self.replid}\r\n" if "psync2" in replica.capabilities else "+CONTINUE\r\n"
            session.send(answer.encode() + missing)
            replica.online = replica.has_snapshot = True
            server.log("notice", f"Partial resynchronization request from {replica.name} accepted. Sending "
                                 f"{len(missing)} bytes of backlog starting from offset {offset}.")
        else:
            if replid != "?" and not old:
                server.stats.partial_syncs_err += 1
            self._begin_full_sync(replica)
        server.refresh_road()

    def _begin_full_sync(self, replica: Replica) -> None:
        server = self._server
        if self.backlog is None:
            # What was written so far was never numbered: no earlier history may be continued here.
            self.change_id()
            self.need_backlog()
        server.stats.full_syncs += 1
        server.log("notice", f"Starting full synchronization with replica {replica.name}")
        self._full_syncs.join(replica)

    def hurry(self) -> None:
        """There is a full sync to run."""
        self._changed.set()

    def replica_gone(self, session: Session) -> None:
        replica = self.replicas.pop(session, None)
        if replica is not None:
            if not (replica.has_snapshot or replica.is_old or replica.rdb_only or replica.is_waiting):
                self._full_syncs.vain.count(replica.name, self._server.ctx.now_ms)
            replica.gone()
            self._server.log("notice", f"Connection with replica {session.address} lost.")
        if not self.replicas:
            self._no_replicas_since = self._server.ctx.now_ms

    def acknowledged(self, session: Session, offset: int, synced_offset: int = 0) -> None:
        """REPLCONF ACK, and FACK."""
        replica = self.replicas.get(session)
        if replica is None:
            return
        if offset >= replica.snapshot_offset or replica.is_old:
            if not replica.has_snapshot:
                self._full_syncs.vain.forget(replica.name)
            replica.has_snapshot = True
        replica.acknowledged = max(replica.acknowledged, offset)
        replica.acknowledged_ms = self._server.ctx.now_ms
        if self._waits:
            self._waits.serve()
        if self._server.confirms_writes:
            self.write_acks.acknowledged()
        if self.failover.active:
            self.failover.look(self._server.ctx.now_ms)
        if synced_offset > replica.synced_offset:
            replica.synced_offset = synced_offset
            if self._server.persistence.aof.waits:
                self._server.persistence.aof.waits.serve()

    def good_replicas(self, now_ms: int) -> int:
        """Replicas that follow closely enough for min-replicas-to-write."""
        lag_ms = self._server.config.min_replicas_max_lag * 1000
        return sum(one.online and now_ms - one.acknowledged_ms <= lag_ms for one in self.replicas.values())

    @property
    def replica_count(self) -> int:
        return len(self.replicas)

    def disconnect_replicas(self) -> None:
        """Let them come again, to hear of our new history (or that it is another's)."""
        for session in list(self.replicas):
            self._server.kill(session)

    async def wait_caught_up(self) -> None:
        """Until every replica that follows has every write so far."""
        self._server.flush_journal()
        target = self._written
        while any(one.online and one.acknowledged < target for one in self.replicas.values()):
            self.ask_for_acknowledgements()
            self._server.shell.end_batch()
            await trio.sleep(_CATCH_UP_SECONDS)

    def ask_for_acknowledgements(self) -> None:
        self.stream(_GET_ACK)

    @property
    def written(self) -> int:
        """The offset of the last write."""
        return self._written

    def count_synced(self, offset: int) -> int:
        """Replicas that have so much of the stream on disk."""
        return sum(one.online and one.synced_offset >= offset > 0 for one in self.replicas.values())

    def count_acknowledged(self, offset: int) -> int:
        """Replicas that have everything up to `offset`."""
        return sum(one.online and one.acknowledged >= offset for one in self.replicas.values())

    def wait(self, session: Session, count: int, timeout_ms: int) -> bytes | None:
        """WAIT: the reply, or None while the client is parked."""
        if not self._server.ctx.allows_blocking:  # what the transaction itself writes goes out with the whole of it
            return replies.integer(self.count_acknowledged(self._written))
        self._server.flush_journal()
        return self._waits.wait(session, self._written, count, timeout_ms)

    # -- roles -----------------------------------------------------------------------------------------------

    def become_replica_of(self, host: str, port: int, *, keep_id: bool = False) -> None:
        """Outside a cluster: follow that node from now on, also after CONFIG REWRITE and a restart."""
        self._server.is_replica = True
        self._server.config.replace("replicaof", (host, port))
        self.follow(host, port, keep_id=keep_id)
        self._server.refresh_road()

    def become_independent(self) -> None:
        """Outside a cluster: follow nobody from now on."""
        self._server.is_replica = False
        self._server.config.replace("replicaof", None)
        self.become_primary()
        self._server.refresh_road()

    def follow(self, host: str, port: int, *, same_data: bool = False, keep_id: bool = False) -> None:
        """Be a replica of that node from now on. `same_data`: what was taken from the primary before is its too.
        `keep_id`: it knows the id that our history has now.

        Our own replicas stay: they hear of it when it turns out that the new primary's history is another.
        """
        if self.link is not None and (self.link.host, self.link.port) == (host, port):
            return
        self._server.log("notice", f"Connecting to MASTER {host}:{port}")
        in_step_ms = down_since_ms = None
        if self.link is not None:
            down_since_ms = self._server.clock_ms() if self.link.up else self.link.down_since_ms
            in_step_ms = self.link.in_step_ms if same_data else None
            self.link.stop()
        else:
            self._server.flush_journal()
            self._release_waiting()
            if self.second_offset == self.offset + 1 and not keep_id:
                # Nothing was written under our own id: whoever continues the earlier history continues ours.
                self.replid, self.second_replid = self.second_replid, self.replid
                self.disconnect_replicas()
        self.link = ReplicaLink(self._server, self, host, port, in_step_ms, down_since_ms)
        self._role_changed()

    def _release_waiting(self) -> None:
        """Nobody can give a replica's clients what they wait for here."""
        self._server.shell.drop_unconfirmed(self._server.ctx.now_ms)
        waiting = self._server.waiting
        blocked = [wait for waits in waiting.by_key.values() for wait in waits]
        for wait in [*blocked, *self._waits, *self._server.persistence.aof.waits]:
            wait.client.close_after_replies()
            waiting.end(wait, _UNBLOCKED)

    def become_primary(self) -> None:
        """Follow nobody, and continue the history under a new id."""
        if self.link is None:
            return
        self.link.stop()
        self.link = None
        self.own_keys.clear()
        self.second_replid, self.second_offset = self.replid, self.offset + 1
        self.replid = self._new_id()
        self._written = self.offset
        self._server.journal.selected = -1
        self.need_backlog()
        self._server.log("notice", f"Setting secondary replication ID to {self.second_replid}, valid up to offset: "
                                   f"{self.second_offset}. New replication ID is {self.replid}")
        self.disconnect_replicas()
        self._role_changed()

    def drop_link(self) -> None:
        """CLIENT KILL of the primary's connection: it is made again."""
        if self.link is not None:
            self.link.hang_up()

    def _role_changed(self) -> None:
        self._changed.set()
        self.write_acks.configure()
        self.link_changed()

    def link_changed(self) -> None:
        """The link to the primary went up or down."""
        server = self._server
        stale = self.link is not None and not self.link.up and not server.config.replica_serve_stale_data
        if stale != server.serves_stale_only:
            server.serves_stale_only = stale
            server.refresh_road()
        if server.bus is not None:
            server.bus.report_offset()  # in an election it counts to the last byte

    @property
    def link_up(self) -> bool:
        return self.link is not None and self.link.up

    def data_age_ms(self, now_ms: int) -> int | None:
        """How long ago this node was last in step with its primary; None if it never was: the data may be anybody's."""
        if self.link is None:
            return 0
        return None if self.link.in_step_ms is None else max(0, now_ms - self.link.in_step_ms)

    def acknowledgement(self) -> list[bytes]:
        """What a replica tells its primary: what it has applied, and, if it has an append-only file, synced."""
        words = [b"REPLCONF", b"ACK", b"%d" % self.offset]
        synced = self._server.persistence.aof.synced_offset
        return words if synced is None else [*words, b"FACK", b"%d" % synced]

    # -- history across restarts ----------------------------------------------------------------------------

    def aux(self) -> dict[str, str]:
        """What a snapshot says of the history it belongs to."""
        if self.backlog is None and self.link is None:
            return {}
        db = self.stream_db if self.link is not None else 0  # as a primary we select anew after a snapshot
        return {"repl-stream-db": str(db), "repl-id": self.replid, "repl-offset": str(self.offset)}

    def restore(self, aux: dict[str, str]) -> None:
        """Continue the history of a snapshot that was loaded at the start.

        A primary may have written more after the snapshot, before it died: it goes on under a new id, and the old one
        is good up to the snapshot only.
        """
        replid, offset = aux.get("repl-id", ""), aux.get("repl-offset", "")
        reached = count_of(offset)
        if len(replid) != len(NO_ID) or reached is None or self.backlog is not None:
            return
        self.offset = reached
        if self._server.is_replica:
            self.replid = replid
            self.stand_in(aux.get("repl-stream-db", ""))
        else:
            self.second_replid, self.second_offset = replid, self.offset + 1
        self.need_backlog()
        self._no_replicas_since = self._server.clock_ms()

    def stand_in(self, db: str) -> None:
        """The followed stream stands in that database; in the first where that says nothing useful."""
        number = count_of(db)
        self.stream_db = number if number is not None and number < len(self._server.databases) else 0

    # -- running ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link to the primary and the full syncs going, whatever the role becomes."""
        async with trio.open_nursery() as nursery:
            running: ReplicaLink | None = None
            while True:
                self._changed = trio.Event()
                for sync in self._full_syncs.take_begun():
                    nursery.start_soon(sync.run)
                for replica in self._lagging:
                    nursery.start_soon(catch_up, self._server, replica)
                self._lagging.clear()
                if self.link is not None and self.link is not running:
                    nursery.start_soon(self.link.run)
                running = self.link
                await self._changed.wait()

    def tick(self, now_ms: int) -> None:
        """The stream's heartbeat, and the limits of patience."""
        config = self._server.config
        self.failover.look(now_ms)
        self._full_syncs.tick(now_ms)
        if self.own_keys:
            self.own_keys.expire(now_ms)
        if self.replicas:
            self._tick_replicas(now_ms)
        elif (
            self.backlog is not None and self.link is None and config.repl_backlog_ttl
            and self._no_replicas_since and now_ms - self._no_replicas_since > config.repl_backlog_ttl * 1000
        ):
            self.backlog = None
            self.replid = self._new_id()
            self.second_replid, self.second_offset = NO_ID, -1
            self._no_replicas_since = 0

    def _tick_replicas(self, now_ms: int) -> None:
        server = self._server
        timeout_ms = server.config.repl_timeout * 1000
        for session, replica in list(self.replicas.items()):
            if replica.held is not None and replica.held.is_hopeless:
                replica.trouble = (
                    f"it is {len(replica.held)} bytes behind, which it will hardly make up for: the network is too "
                    "slow for so many writes, or client-output-buffer-limit replica too low"
                )
            if replica.trouble:
                phase = "while it lags" if replica.online else "during its full sync"
                server.log("warning", f"Disconnecting replica {replica.name} {phase}: {replica.trouble}")
                server.stats.output_limit_disconnections += 1
                server.kill(session)
                continue
            if replica.online and now_ms - replica.heard_ms > timeout_ms and not replica.is_old:
                server.log("warning", f"Disconnecting timedout replica (streaming sync): {replica.name}")
                server.kill(session)
        period_ms = server.config.repl_ping_replica_period * 1000
        if self.link is None and now_ms - self._last_ping_ms >= period_ms:
            self._last_ping_ms = now_ms
            if "failover" not in server.pause.causes:
                server.flush_journal()
                self.stream(_PING)
