"""Between the node and its bus: events in, effects out, and nothing shared but immutable views.

The bridge builds the core and its transport from the configuration, turns what happens in the node into events
(an operator's command, the replication offset, a pause that took hold), and carries out the effects that concern
the node: a new view for the router, 'become primary', 'follow that node', 'pause the writes', 'drop the keys of
these slots'.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from bus import events
from bus.core import BusConfig, BusCore
from bus.messages import Data, Item
from bus.nodes_conf import NodesConfError, parse_state, render_state, with_epochs_of
from bus.storage import StateFile, StorageError
from bus.transport import BusTransport, LinkFacts, StateNotSaved
from bus.view import ClusterView, PersistentState
from cluster.errors import CommandError
from cluster.keyspace.hashing import key_slot
from cluster.network.tls_stream import Stream, secured
from cluster.replication.role import NO_ID

if TYPE_CHECKING:
    from cluster.interest import Interest
    from cluster.server import Server

HIGHEST_PORT = 65_535
OFFSET_PERIOD_SECONDS = 0.1
"""How often the bus is told the replication offset."""
REPEAT_PERIODS = 10
"""So many periods a primary to which nothing is written leaves out."""
URGENT_PERIOD_SECONDS = 0.005
"""The same while a manual failover waits for this replica's last bytes."""
FILE_PERIOD_SECONDS = 0.1
"""How far nodes.conf may be behind its lock's file, which has every state at once."""
HOLD_MARGIN_MS = 1_000
"""The bus ends a hold itself; the pause's own end is for the case that it does not."""
SETTLE_SECONDS = 0.005
"""How far the way of a subscription from node to node may be longer than by its client to the one who publishes."""
SETTLE_PASSES = 2
"""In so many passes of trio every link that had something to read has been read."""
CONNECT_TIMEOUTS = 0.5
"""An attempt to connect may take that many node timeouts."""
_ABOUT_DATA = (
    events.FollowNode, events.BecomePrimary, events.PauseWrites, events.ResumeWrites, events.DropSlotKeys,
    events.FlushData,
)  # fmt: skip
"""What waits for a script that is half-way, and for the data to be loaded."""


def bus_config(server: Server) -> BusConfig:
    """What the bus needs of the configuration."""
    config = server.config
    return BusConfig(
        node_timeout_ms=config.cluster_node_timeout,
        replica_validity_factor=config.cluster_replica_validity_factor,
        migration_barrier=config.cluster_migration_barrier,
        allow_replica_migration=config.cluster_allow_replica_migration,
        require_full_coverage=config.cluster_require_full_coverage,
        replica_no_failover=config.cluster_replica_no_failover,
        fast_failover=config.cluster_fast_failover,
        strict_rank=config.cluster_write_acks > 0,
        announce_ip=config.cluster_announce_ip,
        announce_port=config.cluster_announce_port,
        announce_bus_port=config.cluster_announce_bus_port,
        announce_tls_port=config.cluster_announce_tls_port,
        announce_hostname=config.cluster_announce_hostname,
        announce_human_name=config.cluster_announce_human_name,
        port=config.port,
        tls_port=config.tls_port,
        bus_port=config.bus_port,
    )


def cluster_secret(server: Server) -> bytes:
    """cluster-secret, or the first line of cluster-secret-file. Raises StorageError."""
    config = server.config
    if not config.cluster_secret_file:
        return config.cluster_secret.encode("utf-8", "surrogateescape")
    try:
        lines = Path(config.cluster_secret_file).read_bytes().splitlines()
    except OSError as error:
        raise StorageError(f"cluster-secret-file {config.cluster_secret_file}: {error.strerror}") from None
    if not lines or not lines[0].strip():
        raise StorageError(f"cluster-secret-file {config.cluster_secret_file}: the first line is empty")
    return lines[0].strip()


def data_of_replica(server: Server) -> Data:
    """What this node holds of its primary's, even if nobody knows that it still is."""
    replication = server.replication
    age = replication.data_age_ms(server.clock_ms())
    return Data(_known(replication.replid), replication.offset, age, _has_keys(server))


def data_at_start(server: Server) -> Data:
    """What was loaded: of which history, and of when."""
    replication = server.replication
    replid, offset = replication.second_replid, replication.second_offset - 1
    if server.is_replica:
        return data_of_replica(server)
    return Data(_known(replid), max(0, offset), server.persistence.loaded_age_ms, _has_keys(server))


def _known(replid: str) -> str:
    """An id as the bus has it; '' for none, and for what somebody wrote in place of one."""
    return replid if replid != NO_ID and re.fullmatch("[0-9a-f]{40}", replid) else ""


def _has_keys(server: Server) -> bool:
    return any(any(db.spaces) for db in server.databases)


class BusBridge:
    """`load` first, then `run`; `ask` is what the CLUSTER commands use."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._file = StateFile(Path(server.config.dir) / server.config.cluster_config_file)
        self._core: BusCore
        self._transport: BusTransport
        self._reported: tuple[int, bool, int | None] | None = None
        self._unreported = 0
        self._following: str | None = None
        self._primary: events.FollowNode | None = None
        self._bus_port = 0
        self._leaving = False
        self._loading = False
        self._held: list[events.Effect] = []  # until the data are there
        self._serial = 0  # of the last messages that were given to the bus
        self._published = trio.Event()
        self._saved = trio.Event()
        self._file_fault = ""  # as last logged
        server.bus = self

    def load(self) -> None:
        """Lock and read nodes.conf, or begin a new one. Raises StorageError."""
        server = self._server
        config = bus_config(server)
        if config.bus_port > HIGHEST_PORT:
            raise StorageError(
                f"Redis port number too high for cluster mode: the cluster bus port is {config.bus_port}, which must "
                f"not be above {HIGHEST_PORT}. Set cluster-port, or choose a lower port."
            )
        state = self._load_state()
        if state is None:
            server.log("notice", "No cluster configuration found.")
        self._core = BusCore(config, self._rng, state, BusTransport.now_ms(), server.clock_ms(), loading=True)
        server.log("notice", f"{'I am' if state is None else 'Node configuration loaded, I am'} {self._core.my_id}")
        self._transport = BusTransport(
            self._core,
            persist=self._persist,
            on_effect=self._carry_out,
            log=server.log,
            secret=cluster_secret(server),
            connect_seconds=lambda: max(0.2, server.config.cluster_node_timeout * CONNECT_TIMEOUTS / 1000),
            queue_limit=lambda: server.config.cluster_link_sendbuf_limit,
            cluster_id=lambda: self._core.view.cluster_id,
            secure=self._secure,
        )
        self._bus_port = config.bus_port
        self._transport.begin()
        self._loading = True

    def _load_state(self) -> PersistentState | None:
        self._file.lock()
        text = self._file.load()
        path = self._file.path
        try:
            state = parse_state(text) if text is not None else None
        except NodesConfError as error:
            raise StorageError(f"Unrecoverable error: corrupted cluster config file {path}: {error}") from None
        if state is None or self._file.passed_over is None:
            return state
        self._server.log("notice", f"{path} is not the one that this node wrote last.")
        with suppress(NodesConfError):
            last = parse_state(self._file.passed_over)
            if last is not None and last.my_id == state.my_id:
                state = with_epochs_of(state, last)
        return state

    async def listen(self) -> None:
        """Take the bus port. Raises BusListenError."""
        config = self._server.config
        await self._transport.listen(config.bind, config.bus_port)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._transport.run)
            nursery.start_soon(self._report_offsets)
            nursery.start_soon(self._let_settle)
            nursery.start_soon(self._keep_file)
            task_status.started()

    def loaded(self) -> None:
        """The data are there: what was to be done with them is done now, and the bus may let clients to them."""
        self._loading = False
        held, self._held = self._held, []
        for effect in held:
            self._carry_out(effect)
        self._transport.submit(events.Loaded(data_at_start(self._server)))

    async def _report_offsets(self) -> None:
        while True:
            self.report_offset()
            urgent = self._core.waits_for_offset
            await trio.sleep(URGENT_PERIOD_SECONDS if urgent else OFFSET_PERIOD_SECONDS)

    async def _keep_file(self) -> None:
        """Replace nodes.conf where it is behind. In a thread: a disk may be busy for longer than clients can wait."""
        while True:
            await self._saved.wait()
            self._saved = trio.Event()
            await trio.sleep(FILE_PERIOD_SECONDS)
            try:
                await trio.to_thread.run_sync(self._file.settle)
            except OSError as error:
                self._saved.set()
                self._complain(error)
            else:
                self._file_fault = ""

    def _complain(self, error: OSError) -> None:
        fault = f"Can't update cluster config file {self._file.path}: {error.strerror or error}"
        if fault != self._file_fault:
            self._file_fault = fault
            self._server.log("warning", f"{fault}. Only {self._file.beside} has the latest state.")

    def report_offset(self) -> None:
        replication = self._server.replication
        up = replication.link_up
        offset = replication.offset
        age = 0 if up else replication.data_age_ms(self._server.clock_ms())
        if age is None:
            offset = 0  # of another history, perhaps: not to be compared with this shard's
        if self._reported == (offset, up, age) and self._unreported < REPEAT_PERIODS:
            self._unreported += 1
            return
        self._reported, self._unreported = (offset, up, age), 0
        self._transport.post(events.ReplicationOffset(offset, up, age, data_of_replica(self._server)))

    def share(self, interest: Interest) -> None:
        """Tell the other nodes what has changed of the subscriptions here, and what was published. Called before any
        client is answered, so that a peer can have heard of a subscription before its client has."""
        if interest.changed:
            interest.changed = False
            self._post(events.Listen(interest.slots, interest.everything))
        if interest.outgoing:
            self._serial += 1
            self._post(events.Publish(self._serial, tuple(
                (key_slot(channel), Item(channel, message, sharded)) for channel, message, sharded in interest.outgoing
            )))  # fmt: skip
            interest.outgoing.clear()
            self._published.set()

    async def _let_settle(self) -> None:
        """Say when all that lay unread in the links at the time of a message has been read."""
        while True:
            await self._published.wait()
            self._published = trio.Event()
            serial = self._serial
            await trio.sleep(SETTLE_SECONDS)
            for _ in range(SETTLE_PASSES):
                await trio.lowlevel.checkpoint()
            self._post(events.Settled(serial))

    def _post(self, event: events.Event) -> None:
        self._transport.post(event)

    def close(self) -> None:
        """Write the state a last time and let go of it."""
        self._transport.submit(events.Shutdown())
        try:
            self._file.settle()
        except OSError as error:
            self._complain(error)
        self._file.close()

    def configure(self) -> None:
        """A cluster- directive changed, or a port. The bus stays where it listens."""
        config = replace(bus_config(self._server), bus_port=self._bus_port)
        if self._leaving:
            config = replace(config, replica_no_failover=True)
        self._transport.post(events.ConfigChanged(config))
        if self._primary is not None:
            self._follow(self._primary)

    def leave(self, leaving: bool) -> None:
        """This node is about to end (or not, after all): it takes nobody's place any more. When a whole cluster is
        stopped, the replicas would see their primaries go and change roles on the way down."""
        if leaving:
            self._server.lost_slots.finish()
            self._server.flush_journal()
        self._leaving = leaving
        self.configure()

    def check_stall(self, now_ms: int) -> None:
        """The process may have stood still (SIGSTOP, a suspended machine): let the core look at its clock before any
        client is served, or answered."""
        self._transport.post(events.Tick(now_ms))

    def take_loaded_keys(self) -> None:
        """Keys were loaded from a file: their slots are taken when nobody has them, and opened for import from whoever
        has, so that `redis-cli --cluster check` shows them and `fix` knows where they belong."""
        server = self._server
        view = server.router.view
        if view is None or server.is_replica:
            return
        held = [slot for slot, space in enumerate(server.databases[0].spaces) if space]
        free = [slot for slot in held if view.owners[slot] is None]
        strange = [slot for slot in held if view.owners[slot] not in (None, view.my_id) and slot not in view.importing]
        if free:
            server.log("notice", f"I have keys for {len(free)} unassigned slots, the first of them {free[0]}. Taking "
                                 "responsibility for them.")
            self._ask_or_log(events.AddSlots(tuple(free)))
        if strange:
            server.log("notice", f"I have keys for {len(strange)} slots that are assigned to other nodes, the first of "
                                 f"them {strange[0]}. Setting them to importing state.")
        for slot in strange:
            self._ask_or_log(events.SetSlot(slot, "importing", view.owners[slot] or ""))

    def _ask_or_log(self, event: events.OperatorEvent) -> None:
        try:
            self.ask(event)
        except CommandError as refusal:
            self._server.log("warning", f"It could not be done: {refusal.message}")

    # -- for the commands ------------------------------------------------------------------------------------

    @property
    def view(self) -> ClusterView:
        """The cluster as of now, times and offsets included."""
        return self._core.view

    def ask(self, event: events.OperatorEvent) -> str:
        """Let the bus decide on an operator's wish: its answer. Raises CommandError with its refusal."""
        try:
            effects = self._transport.submit(event)
            if isinstance(event, events.SaveConfig):
                self._file.settle()
        except StateNotSaved as unsaved:
            raise CommandError(f"ERR {unsaved}") from unsaved  # the transport ends the node
        except OSError as error:
            raise CommandError(f"ERR error saving the cluster node config: {error.strerror}") from error
        for effect in effects:
            if isinstance(effect, events.Reply):
                if effect.error is not None:
                    raise CommandError(effect.error)
                return effect.text
        raise AssertionError("the core did not answer")

    def failure_reports(self, node_id: str) -> int:
        return self._core.failure_reports(node_id)

    def links(self) -> list[LinkFacts]:
        return self._transport.links()

    @property
    def links_over_limit(self) -> int:
        return self._transport.links_over_limit

    def drop_kind(self, packet_type: int) -> None:
        self._transport.drop_type(packet_type)

    def kill_links(self, direction: str, node_id: str) -> None:
        self._transport.kill_links(direction, node_id)

    # -- effects ---------------------------------------------------------------------------------------------

    def _persist(self, effect: events.Persist) -> None:
        self._file.save(render_state(effect.state), durable=effect.durable)
        self._saved.set()

    def _carry_out(self, effect: events.Effect) -> None:
        server = self._server
        if self._loading and isinstance(effect, _ABOUT_DATA):
            self._held.append(effect)
            return
        if isinstance(effect, _ABOUT_DATA) and server.pace.defer(lambda: self._do_late(effect)):
            return
        self._do(effect)

    def _follow(self, primary: events.FollowNode) -> None:
        """Replicate from the port that goes with tls-replication."""
        port = primary.tls_port if self._server.config.tls_replication else primary.port
        self._server.replication.follow(primary.ip, port or primary.port, same_data=primary.same_data)

    async def _secure(self, stream: trio.SocketStream, inbound: bool) -> Stream:
        """What the bus's frames go over: TLS where tls-cluster says so, with certificates on both sides."""
        if not self._server.config.tls_cluster:
            return stream
        contexts = self._server.tls.contexts
        return await secured(stream, contexts.nodes if inbound else contexts.outgoing, server_side=inbound)

    def _do_late(self, effect: events.Effect) -> None:
        if isinstance(effect, events.DropSlotKeys):
            self._drop_still_lost(effect.slots)
        else:
            self._do(effect)

    def _do(self, effect: events.Effect) -> None:
        server = self._server
        match effect:
            case events.ViewChanged():
                self._show(effect.view)
            case events.FollowNode():
                if effect.node_id != self._following:
                    self._following = effect.node_id
                    server.is_replica = True
                    server.lost_slots.forget()
                self._primary = effect
                self._follow(effect)
                server.refresh_road()
            case events.BecomePrimary():
                self._following = self._primary = None
                server.is_replica = False
                server.replication.become_primary()
                server.refresh_road()
            case events.PauseWrites():
                server.lost_slots.finish()
                server.pause.start("failover", server.clock_ms() + effect.duration_ms, writes_only=True)
                server.flush_journal()
                self._transport.post(events.Paused(server.replication.offset))
            case events.ResumeWrites():
                server.pause.stop("failover")
            case events.HoldClients():
                server.doubt.start(server.clock_ms() + effect.duration_ms + HOLD_MARGIN_MS)
            case events.ReleaseClients():
                server.doubt.end(trusted=effect.trusted)
            case events.DropSlotKeys():
                self._drop_keys(effect.slots)
            case events.FlushData():
                server.flush(server.databases)
                server.functions.flush()
            case events.Deliver():
                for item in effect.items:
                    if item.sharded:
                        server.pubsub.deliver_sharded(item.channel, item.message)
                    else:
                        server.pubsub.deliver(item.channel, item.message)
            case events.Log():
                server.log(effect.level, effect.text)
            case _:
                pass

    def _drop_keys(self, slots: Sequence[int]) -> None:
        """Drop the keys of slots that are another's now; while writes are paused, when that is over."""
        server = self._server
        if server.pause.active:
            server.pause.afterwards.append(lambda: self._drop_still_lost(slots))
        else:
            server.lost_slots.drop(list(slots))

    def _drop_still_lost(self, slots: Sequence[int]) -> None:
        """Some time has passed since they were lost."""
        view = self._server.router.view
        if view is not None and not self._server.is_replica:  # a replica's keys are its primary's business
            self._drop_keys([slot for slot in slots if view.owners[slot] not in (view.my_id, None)])

    def _show(self, view: ClusterView) -> None:
        server = self._server
        server.router.update(view)
        server.under_way.follow_view(view)
        server.lost_slots.follow_view(view)
        server.pubsub.follow_view(view)
        server.redirect_waiting()


