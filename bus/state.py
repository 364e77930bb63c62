"""The mutable state of the core, and the few operations every part of it needs.

The parts (gossip, failure, election, ownership, operators, migration, health) are functions over one `State`. They
append effects to `out`, set `changed`, and ask for saving or announcing; the core turns these into effects once a step.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from bus.due import Announcing, Save, Saving
from bus.events import BusConfig, Effect, LinkId, Log, Send
from bus.messages import (
    DIGEST_BYTES,
    Announcement,
    Data,
    DataQuestion,
    Fail,
    Heartbeat,
    Interest,
    ManualFailoverStart,
    Members,
    Message,
    Messages,
    TakeOver,
    Update,
    Vote,
    VoteRequest,
)
from bus.slots import bits_of_slots, ranges_of_bits, slots_of_bits
from bus.suspects import Suspects
from bus.view import SLOT_COUNT, ClusterView, NodeInfo, PersistentState, Ranges

if TYPE_CHECKING:
    from bus.interest import Recent

KIND_NAMES = {
    Announcement: "announce", Members: "members", Fail: "fail", Update: "update", VoteRequest: "auth-req",
    Vote: "auth-ack", ManualFailoverStart: "mfstart", Interest: "interest", Messages: "publish",
    DataQuestion: "data-req", Data: "data", TakeOver: "takeover",
}


def kind_name(message: Message) -> str:
    """The name CLUSTER INFO counts a message under."""
    return message.kind if isinstance(message, Heartbeat) else KIND_NAMES[type(message)]


@dataclass(slots=True, eq=False)
class Peer:
    """A node, this one included. Times are in ms of the core's clock unless they say 'wall'; 0 is never."""

    node_id: str
    ip: str
    port: int
    bus_port: int
    shard_id: str
    tls_port: int = 0
    hostname: str = ""
    human_name: str = ""
    primary_id: str | None = None
    nofailover: bool = False
    config_epoch: int = 0
    offset: int = 0
    slots: int = 0  # the slots it owns, as bits
    ranges: Ranges | None = ()  # the same as ranges; None: to be worked out
    claimed: int = 0  # the slots it last said it owns, as bits; by the rules some may be another's
    claimed_epoch: int = 0
    disowned: int = 0  # the slots, as bits, that were its own by our view when it was last asked, and it did not claim
    link: LinkId | None = None  # the outbound one
    connecting: bool = False
    retry_at: int = 0
    heard_at: int = 0
    ping_sent_at: int = 0
    ping_wall: int = 0
    pong_wall: int = 0  # of the last heartbeat: its ping says as much
    serial: int = 0  # of the last ping that asked for it back
    probed_at: int = 0  # when that one was sent, while its pong is awaited
    heard_us_at: int = 0  # it had heard this node at that time, by its pong
    was_there: bool = False  # there was a link with it since this node started
    refused: bool = False
    pfail: bool = False
    fail: bool = False
    failed_at: int = 0
    wrong_address: bool = False
    failed: int = 0  # the digest of those it holds for failed
    failed_said_at: int = 0  # when it last said so
    reports: dict[str, int] = field(default_factory=dict)  # reporter → when
    reported: set[str] = field(default_factory=set)  # whom it reports itself
    voted_at: int | None = None  # when this node last voted for a replica of that primary
    voted_for: str = ""  # and for which
    digest: bytes = b""
    fresh: bool = False  # met, but it has not yet said anything of itself
    invited: bool = False  # it is to be asked into the cluster until it has said something
    asked_members_at: int = 0
    asked_interest_at: int = 0
    interest_version: int = -1  # the one known; -1: none
    interest_heard_of: int = 0  # the latest one heard of
    listens_to: bytes = b""  # the slots of its clients' channels, as bits
    listens_to_all: bool = False
    had_replicas: bool = False
    orphaned_at: int = 0

    @property
    def slot_count(self) -> int:
        return self.slots.bit_count()

    @property
    def is_primary(self) -> bool:
        return self.primary_id is None

    @property
    def reachable(self) -> bool:
        return not (self.pfail or self.fail)


@dataclass(slots=True)
class Link:
    node_id: str
    outbound: bool
    address: str
    local_address: str
    up_at: int


@dataclass(slots=True)
class Handshake:
    """An address we were asked to meet and do not know the node of yet."""

    ip: str
    port: int
    bus_port: int
    started_at: int
    invite: bool = True  # say 'meet'; False when gossip told us of a member
    expected_id: str = ""
    connecting: bool = False
    retry_at: int = 0


@dataclass(slots=True)
class Election:
    """`scheduled_at`: what other replicas say of their offsets counts if it was asked for after that."""

    scheduled_at: int
    start_at: int
    rank: int = 0
    epoch: int = 0
    votes: set[str] = field(default_factory=set)
    asked: bool = False
    attempts: int = 0
    again_at: int = 0  # when the votes are asked for in another epoch
    asked_by: dict[str, LinkId] = field(default_factory=dict)  # whom, and over which link
    over: bool = False


@dataclass(slots=True)
class ManualFailover:
    """`replica_id` is set on the primary's side. `offset` is the primary's final one, once known."""

    end_at: int
    replica_id: str = ""
    offset: int | None = None
    can_start: bool = False
    paused: bool = False


@dataclass(slots=True)
class Doubt:
    """This node may have lost its slots; `proven` are the voters that have spoken for it (see bus/doubt.py)."""

    since: int
    epoch: int
    held_until: int
    proven: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Holdings:
    """What data this node has, and while it comes back as a primary, what its replicas have (see bus/returning.py)."""

    ready_at: int  # since then it has them
    loading: bool = False
    mine: Data | None = None  # None: nobody said
    mine_at: int = 0
    of_replicas: dict[str, Data] = field(default_factory=dict)
    newer: set[str] = field(default_factory=set)  # the replicas that have more
    asked_at: int = 0
    offered_at: int = 0


@dataclass(slots=True)
class Listening:
    """What our own clients listen to, and what the peers have been told of it (see bus/interest.py)."""

    slots: int = 0
    everything: bool = False
    told_slots: int = 0
    told_everything: bool = False
    version: int = 0
    whole_at: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """An operator moved a slot here from a primary of that shard, which may not have heard of it `until` then.
    `is_leaving`: and has since told us to let go of it again."""

    shard_id: str
    until: int
    is_leaving: bool = False


BLACKLIST_MS = 60_000
"""How long a forgotten node stays unknown although others still speak of it."""


class State:
    def __init__(self, config: BusConfig, rng: random.Random, me: Peer, now_ms: int) -> None:
        self.config = config
        self.rng = rng
        self.now = self.started_at = self.ticked_at = self.stepped_at = now_ms
        self.wall = 0
        self.placed = False  # it has seen since then where its links come from
        self.me = me
        self.peers: dict[str, Peer] = {me.node_id: me}
        self.suspects = Suspects(now_ms)  # those with PFAIL or FAIL
        self.owners: list[str | None] = [None] * SLOT_COUNT
        self.served_slots = 0  # the slots, as bits, that somebody owns
        self.unclaimed = 0  # slots, as bits, whose owner no longer says it owns them: free to take
        self.migrating: dict[int, str] = {}
        self.importing: dict[int, str] = {}
        self.taken: dict[int, Taken] = {}
        self.assigned_at: int | None = None  # when an operator last said whose a slot is
        self.current_epoch = self.last_vote_epoch = 0
        self.cluster_id = self.voted_for = ""
        self.blacklist: dict[str, int] = {}
        self.joining_until = 0  # it was alone, and an operator has it join a cluster
        self.handshakes: dict[str, Handshake] = {}
        self.links: dict[LinkId, Link] = {}
        self.election: Election | None = None
        self.manual: ManualFailover | None = None
        self.state_ok = self.primary_link_up = False
        self.data_age_ms: int | None = None  # of a replica; None: its data may be another shard's, or none
        self.excuse = ""  # why this replica does not stand for election, as last logged
        self.down_reason = "starting"
        self.minority_at: int | None = None
        self.doubt: Doubt | None = None
        self.returning = False  # it had slots when it went down, and does not yet know whether it still has them
        self.holdings = Holdings(now_ms)
        self.stats_sent: dict[str, int] = {}
        self.stats_received: dict[str, int] = {}
        self.out: list[Effect] = []
        self.changed = True  # a view is due at once
        self.links_changed = False  # one is due with the next tick: as many links may come up as there are nodes
        self.recheck = False  # it is to be asked again whether this node may serve
        self._voters: list[Peer] | None = None
        self.saving = Saving()
        self.announcing = Announcing()
        self.announcing.ask(at_once=True)
        self.digest = self.members_digest = b""
        self.version = 0
        self.owners_shown: tuple[str | None, ...] | None = None
        self.sampled_at = self.reminded_at = self.orphans_sought_at = 0
        self.listening = Listening()
        self.recent: deque[Recent] = deque()  # published a moment ago
        self.recent_bytes = 0

    # -- who -------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """An operator has brought this node and another together."""
        if len(self.peers) == 1:
            self.joining_until = self.now + BLACKLIST_MS

    def others(self) -> Iterator[Peer]:
        return (peer for peer in self.peers.values() if peer is not self.me)

    def primary_of(self, peer: Peer) -> Peer | None:
        return None if peer.primary_id is None else self.peers.get(peer.primary_id)

    def replicas_of(self, peer: Peer) -> list[Peer]:
        return [one for one in self.peers.values() if one.primary_id == peer.node_id]

    def voters(self) -> list[Peer]:
        """Primaries that serve slots: those whose majority decides. Not to be changed."""
        if self._voters is None:
            self._voters = [one for one in self.peers.values() if one.slots and one.is_primary]
        return self._voters

    @property
    def size(self) -> int:
        return len(self.voters())

    @property
    def quorum(self) -> int:
        return self.size // 2 + 1

    def touch(self, save: Save = Save.LATER, *, announce: bool = False) -> None:
        """Something others may see has changed."""
        self.changed = True
        self._voters = None
        self.saving.ask(save)
        if announce:
            self.announcing.ask(at_once=True)

    def add(self, peer: Peer, *, hearsay: bool = False) -> Peer:
        """`hearsay`: other members know it, so that it may be forgotten by who dies now; there may be very many."""
        peer.heard_at = self.now
        self.peers[peer.node_id] = peer
        self.members_digest = b""
        if peer.fail:
            self.suspects[peer.node_id] = None
            self.suspects.toggle(peer.node_id, self.now)
        # A node that came back without knowing it would take it for a stranger.
        self.touch(Save.LATER if hearsay else Save.BEFORE_THE_ANSWER)
        return peer

    def remove(self, peer: Peer) -> None:
        """Forget a node: its slots, its reports, the slots that were moving to or from it."""
        self.release(peer)
        self.migrating = {slot: other for slot, other in self.migrating.items() if other != peer.node_id}
        self.importing = {slot: other for slot, other in self.importing.items() if other != peer.node_id}
        for other in self.peers.values():
            other.reports.pop(peer.node_id, None)
        del self.peers[peer.node_id]
        self.suspects.pop(peer.node_id, None)
        if peer.fail:
            self.suspects.toggle(peer.node_id, self.now)
        self.members_digest = b""
        self.touch()

    # -- slots -----------------------------------------------------------------------------------------------

    def own(self, slots: int, owner: Peer | None) -> None:
        """These slots (bits) are `owner`'s from now on, or nobody's."""
        if not slots:
            return
        mine = bool(slots & self.me.slots) or owner is self.me
        ranges = ranges_of_bits(slots)
        for holder in {one for start, end in ranges for one in self.owners[start : end + 1]}:
            if holder is not None:
                peer = self.peers[holder]
                peer.slots &= ~slots
                peer.ranges = None
        if owner is not None:
            owner.slots |= slots
            owner.ranges = None
            self.served_slots |= slots
        else:
            self.served_slots &= ~slots
        owner_id = None if owner is None else owner.node_id
        for start, end in ranges:
            self.owners[start : end + 1] = [owner_id] * (end - start + 1)
        self.owners_shown = None
        self.unclaimed &= ~slots
        if owner is not self.me and self.migrating:
            for slot in slots_of_bits(slots & bits_of_slots(self.migrating)):
                del self.migrating[slot]
        if owner is not self.me and self.taken:
            self.taken = {slot: taken for slot, taken in self.taken.items() if not slots >> slot & 1}
        self.touch()
        if mine:
            self.announcing.ask(at_once=False)

    def release(self, peer: Peer) -> None:
        """`peer` owns nothing any more."""
        self.own(peer.slots, None)

    def ranges(self, peer: Peer) -> Ranges:
        if peer.ranges is None:
            peer.ranges = ranges_of_bits(peer.slots)
        return peer.ranges

    # -- saying ----------------------------------------------------------------------------------------------

    def send(self, peer: Peer, message: Message) -> bool:
        """Over our own link to `peer`; whether there is one."""
        if peer.link is None:
            return False
        self.reply(peer.link, message)
        return True

    def reply(self, link_id: LinkId, message: Message) -> None:
        name = kind_name(message)
        self.stats_sent[name] = self.stats_sent.get(name, 0) + 1
        self.out.append(Send(link_id, message))

    def broadcast(self, message: Message) -> None:
        for peer in self.others():
            self.send(peer, message)

    def log(self, level: str, text: str) -> None:
        self.out.append(Log(level, text))

    # -- digests ---------------------------------------------------------------------------------------------

    def announcement(self, *, meet: bool = False) -> Announcement:
        me, config = self.me, self.config
        return Announcement(
            epoch=self.current_epoch,
            config_epoch=me.config_epoch,
            ip=config.announce_ip,
            port=me.port,
            bus_port=me.bus_port,
            tls_port=me.tls_port,
            hostname=me.hostname,
            human_name=me.human_name,
            shard_id=me.shard_id,
            primary_id=me.primary_id or "",
            nofailover=me.nofailover,
            slots=self.ranges(me),
            cluster_id=self.cluster_id,
            offset=me.offset,
            meet=meet,
        )

    def my_digest(self) -> bytes:
        if not self.digest:
            self.digest = announcement_digest(self.announcement())
        return self.digest

    def my_members_digest(self) -> bytes:
        if not self.members_digest:
            members = (node_id for node_id, peer in self.peers.items() if not peer.fresh)
            self.members_digest = _hash("".join(sorted(members)))
        return self.members_digest

    # -- showing ---------------------------------------------------------------------------------------------

    def info(self, peer: Peer, ranges: Ranges) -> NodeInfo:
        flags = {"myself"} if peer is self.me else set()
        if peer.fail:
            flags.add("fail")
        elif peer.pfail:
            flags.add("pfail")
        if peer.nofailover:
            flags.add("nofailover")
        if peer.wrong_address:
            flags.add("noaddr")
        return NodeInfo(
            node_id=peer.node_id, ip=peer.ip, port=peer.port, bus_port=peer.bus_port, shard_id=peer.shard_id,
            role="primary" if peer.is_primary else "replica", primary_id=peer.primary_id, tls_port=peer.tls_port,
            hostname=peer.hostname, human_name=peer.human_name, flags=frozenset(flags),
            ping_sent_ms=peer.ping_wall if peer.ping_sent_at else 0, pong_received_ms=peer.pong_wall,
            config_epoch=peer.config_epoch, link_connected=peer is self.me or peer.link is not None,
            repl_offset=peer.offset, slots=ranges,
        )

    def infos(self) -> dict[str, NodeInfo]:
        return {peer.node_id: self.info(peer, self.ranges(peer)) for peer in self.peers.values()}

    def view(self, infos: dict[str, NodeInfo] | None = None) -> ClusterView:
        """`infos`: those of now, for a caller who has them."""
        nodes = self.infos() if infos is None else dict(infos)
        for target, one in self.handshakes.items():
            if target not in nodes:
                nodes[target] = NodeInfo(
                    node_id=target, ip=one.ip, port=one.port, bus_port=one.bus_port, shard_id=target,
                    flags=frozenset({"handshake"}),
                )
        if self.owners_shown is None:
            self.owners_shown = tuple(self.owners)
        return ClusterView(
            version=self.version, my_id=self.me.node_id, nodes=nodes, owners=self.owners_shown,
            migrating=dict(self.migrating), importing=dict(self.importing), state_ok=self.state_ok,
            down_reason=self.down_reason, current_epoch=self.current_epoch, size=self.size,
            cluster_id=self.cluster_id, settled=not self.returning,
            stats_sent=dict(self.stats_sent), stats_received=dict(self.stats_received),
        )

    def persistent(self, infos: dict[str, NodeInfo]) -> PersistentState:
        return PersistentState(
            my_id=self.me.node_id, nodes=infos, migrating=dict(self.migrating),
            importing=dict(self.importing), current_epoch=self.current_epoch,
            last_vote_epoch=self.last_vote_epoch, cluster_id=self.cluster_id,
        )


def announcement_digest(message: Announcement) -> bytes:
    """What a heartbeat carries for it. Epochs of the cluster, offsets and invitations are not part of the picture."""
    return _hash(repr((
        message.config_epoch, message.ip, message.port, message.bus_port, message.tls_port, message.hostname,
        message.human_name, message.shard_id, message.primary_id, message.nofailover, message.slots,
    )))


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=DIGEST_BYTES).digest()


def random_id(rng: random.Random) -> str:
    """A node, shard or cluster id: 40 hex digits."""
    return f"{rng.getrandbits(160):040x}"
