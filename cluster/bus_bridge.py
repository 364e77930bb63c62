"""Between the node and its bus: events in, effects out, and nothing shared but immutable views.

The bridge builds the core and its transport from the configuration, turns what happens in the node into events
(an operator's command, the replication offset), and hands on the effects that concern the node (bus_effects.py).

The core and its transport live in a thread of their own (bus_thread.py). Events are posted to it, or, where a
client waits for the outcome, asked. The effects come back through one queue, in the core's order, whoever made them
arise, and are carried out between two batches of commands, and before the answer of an operator's.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import trio

from bus import events
from bus.core import BusConfig, BusCore
from bus.messages import Data, Item
from bus.nodes_conf import NodesConfError, parse_state, render_state, with_epochs_of
from bus.storage import StateFile, StorageError
from bus.transport import BusTransport, LinkFacts, StateNotSaved
from bus.view import ClusterView, PersistentState
from cluster.bus_effects import BusEffects
from cluster.bus_thread import BusGone, BusThread
from cluster.errors import CommandError
from cluster.keyspace.hashing import key_slot
from cluster.network.tls_stream import Stream, secured
from cluster.replication.role import NO_ID

if TYPE_CHECKING:
    from cluster.interest import Interest, Outgoing
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
SETTLE_SECONDS = 0.005
"""How far the way of a subscription from node to node may be longer than by its client to the one who publishes."""
SETTLE_PASSES = 2
"""In so many passes of trio every link that had something to read has been read."""
PROBE_SECONDS = 0.5
"""How often the bus asks whether the node is getting on."""
CONNECT_TIMEOUTS = 0.5
"""An attempt to connect may take that many node timeouts."""
BUS_GONE = "ERR The cluster bus of this node has ended"
T = TypeVar("T")


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
        self._thread = BusThread()
        self._effects = BusEffects(server, self._post)
        self._reported: tuple[int, bool, int | None] | None = None
        self._unreported = 0
        self._bus_port = 0
        self._leaving = False
        self._published: list[Outgoing] = []
        self._has_published = trio.Event()
        self._serial = 0  # of the last messages that were given to the bus
        # The bus's thread alone:
        self._taken = 0  # the serial of the last messages that it has taken
        self._settling = trio.Event()
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
            on_effect=self._hand_over,
            log=server.log,
            secret=cluster_secret(server),
            connect_seconds=lambda: max(0.2, server.config.cluster_node_timeout * CONNECT_TIMEOUTS / 1000),
            queue_limit=lambda: server.config.cluster_link_sendbuf_limit,
            cluster_id=lambda: self._core.view.cluster_id,
            secure=self._secure,
        )
        self._bus_port = config.bus_port
        self._transport.begin()
        self._thread.follow_up()
        self._effects.hold()

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
        """Have the bus's thread at work until it is closed, or this is cancelled. Raises StateNotSaved, and whatever
        goes wrong there: a node never goes on without its bus."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_offsets)
            nursery.start_soon(self._pass_on)
            await nursery.start(self._thread.run, self._live)
            task_status.started()

    async def _live(self) -> None:
        """What the bus's thread does."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._transport.run)
            nursery.start_soon(self._let_settle)
            nursery.start_soon(self._keep_file)
            nursery.start_soon(self._watch_node)

    def loaded(self) -> None:
        """The data are there: what was to be done with them is done now, and the bus may let clients to them."""
        self._effects.release()
        self._submit(events.Loaded(data_at_start(self._server)))

    async def _report_offsets(self) -> None:
        while True:
            self.report_offset()
            urgent = self._core.waits_for_offset  # as of a moment ago: it may be changing
            await trio.sleep(URGENT_PERIOD_SECONDS if urgent else OFFSET_PERIOD_SECONDS)

    async def _keep_file(self) -> None:
        """Replace nodes.conf where it is behind. In a thread: a disk may be busy for longer than peers can wait."""
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
        self._post(events.ReplicationOffset(offset, up, age, data_of_replica(self._server)))

    def share(self, interest: Interest) -> None:
        """Tell the other nodes what has changed of the subscriptions here, and what was published. Called before any
        client is answered, and returns when the word of a new subscription is in the links, so that a peer can have
        heard of it before its client has."""
        if interest.changed:
            interest.changed = False
            self._say(events.Listen(interest.slots, interest.everything))
        if interest.outgoing:
            self._published.extend(interest.outgoing)
            interest.outgoing.clear()
            self._has_published.set()

    async def _pass_on(self) -> None:
        """Give what was published to the bus when the reactor has gone back to trio: in one piece what several batches
        published, since to wake a thread takes as long as several commands."""
        while True:
            await self._has_published.wait()
            self._has_published = trio.Event()
            self.pass_on()

    def pass_on(self) -> None:
        if self._published:
            self._serial += 1
            self._post(events.Publish(self._serial, tuple(
                (key_slot(channel), Item(channel, message, sharded)) for channel, message, sharded in self._published
            )))  # fmt: skip
            self._published.clear()

    async def _let_settle(self) -> None:
        """Say when all that lay unread in the links at the time of a message has been read."""
        while True:
            await self._settling.wait()
            self._settling = trio.Event()
            serial = self._taken
            await trio.sleep(SETTLE_SECONDS)
            for _ in range(SETTLE_PASSES):
                await trio.lowlevel.checkpoint()
            self._transport.submit(events.Settled(serial))

    async def _watch_node(self) -> None:
        """Stand still, as a node without a thread for its bus would, where the node's own thread is stuck."""
        while True:
            answered = trio.Event()
            self._thread.tell(partial(self._thread.post, answered.set))
            limit_ms = self._server.config.cluster_busy_limit
            with trio.move_on_after(limit_ms / 1000 or math.inf) as patience:
                await answered.wait()
            if patience.cancelled_caught:
                self._server.log("warning", f"A command has kept this node busy for {limit_ms} ms (cluster-busy-limit)."
                                            " It counts as stuck: its bus stands still until it is over.")
                self._thread.stand_still()
            await trio.sleep(PROBE_SECONDS)

    def _take(self, event: events.Event) -> list[events.Effect]:
        """In the bus's thread: an event of the node's."""
        effects = self._transport.submit(event)
        if isinstance(event, events.Publish):
            self._taken = event.serial
            self._settling.set()
        return effects

    def _post(self, event: events.Event) -> None:
        """Tell the core. What follows from it comes in its time."""
        self._thread.post(partial(self._take, event))

    def _say(self, event: events.Event) -> None:
        """Tell the core, and return when what it has to say to the peers is in the links."""
        with suppress(BusGone):
            self._thread.call(partial(self._take, event))

    def _submit(self, event: events.Event) -> list[events.Effect]:
        """Tell the core, and carry out what follows, and all that was to be done before. Raises BusGone."""
        effects = self._thread.call(partial(self._take, event))
        self._thread.follow_up()
        return effects

    def close(self) -> None:
        """Write the state a last time and let go of it."""
        self._submit(events.Shutdown())
        self._thread.stop()
        try:
            self._file.settle()
        except OSError as error:
            self._complain(error)
        self._file.close()

    def held(self) -> AbstractContextManager[None]:
        """The bus stands still meanwhile, and the others see a node that is gone."""
        return self._thread.held()

    def stall(self, seconds: float) -> None:
        """Do nothing at all for so long (DEBUG SLEEP)."""
        with self.held():
            time.sleep(seconds)

    def configure(self) -> None:
        """A cluster- directive changed, or a port. The bus stays where it listens."""
        config = replace(bus_config(self._server), bus_port=self._bus_port)
        if self._leaving:
            config = replace(config, replica_no_failover=True)
        self._post(events.ConfigChanged(config))
        self._effects.follow_again()

    def leave(self, leaving: bool) -> None:
        """This node is about to end (or not, after all): it takes nobody's place any more. When a whole cluster is
        stopped, the replicas would see their primaries go and change roles on the way down."""
        if leaving:
            self._server.lost_slots.finish()
            self._server.flush_journal()
        self._leaving = leaving
        self.configure()

    def check_stall(self, now_ms: int) -> None:
        """The process may have stood still (SIGSTOP, a suspended machine), or a command has taken long: let the core
        look at its clock, and what it knows by then be in force, before any client is served, or answered."""
        with suppress(BusGone):
            self._submit(events.Tick(now_ms))

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
        return self._look_up(lambda: self._core.view)

    def _look_up(self, what: Callable[[], T]) -> T:
        """What only the bus's thread may look at. Raises CommandError."""
        try:
            return self._thread.call(what)
        except BusGone:
            raise CommandError(BUS_GONE) from None

    def ask(self, event: events.OperatorEvent) -> str:
        """Let the bus decide on an operator's wish: its answer. Raises CommandError with its refusal."""
        try:
            effects = self._submit(event)
            if isinstance(event, events.SaveConfig):
                self._file.settle()
        except BusGone:
            raise CommandError(BUS_GONE) from None
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
        return self._look_up(lambda: self._core.failure_reports(node_id))

    def links(self) -> list[LinkFacts]:
        return self._look_up(self._transport.links)

    @property
    def links_over_limit(self) -> int:
        return self._transport.links_over_limit

    def drop_kind(self, packet_type: int) -> None:
        self._look_up(lambda: self._transport.drop_type(packet_type))

    def kill_links(self, direction: str, node_id: str) -> None:
        self._look_up(lambda: self._transport.kill_links(direction, node_id))

    # -- effects ---------------------------------------------------------------------------------------------

    def _persist(self, effect: events.Persist) -> None:
        self._file.save(render_state(effect.state), durable=effect.durable)
        self._saved.set()

    async def _secure(self, stream: trio.SocketStream, inbound: bool) -> Stream:
        """What the bus's frames go over: TLS where tls-cluster says so, with certificates on both sides."""
        if not self._server.config.tls_cluster:
            return stream
        contexts = self._server.tls.contexts
        return await secured(stream, contexts.nodes if inbound else contexts.outgoing, server_side=inbound)

    def _hand_over(self, effect: events.Effect) -> None:
        """An effect for the node, from the bus's thread."""
        if isinstance(effect, events.Log):
            self._server.log(effect.level, effect.text)
        elif not isinstance(effect, events.Reply):
            self._thread.tell(partial(self._effects.carry_out, effect))
