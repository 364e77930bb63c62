"""What goes into the core (events) and what comes out of it (effects): values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bus.messages import Data, Item, Message
from bus.view import ClusterView, PersistentState

LinkId = int
DownReason = Literal["closed", "refused", "timeout"]


@dataclass(slots=True)
class BusConfig:
    """The directives the core obeys; times in ms. `announce_*` are '' or 0 when not set."""

    node_timeout_ms: int = 15_000
    replica_validity_factor: int = 10
    migration_barrier: int = 1
    allow_replica_migration: bool = True
    require_full_coverage: bool = True
    replica_no_failover: bool = False
    fast_failover: bool = True
    strict_rank: bool = False
    """A replica does not stand for election while one in reach has more data."""
    announce_ip: str = ""
    announce_port: int = 0
    announce_bus_port: int = 0
    announce_tls_port: int = 0
    announce_hostname: str = ""
    announce_human_name: str = ""
    port: int = 6379
    tls_port: int = 0
    bus_port: int = 16379


# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. `wall_ms` is for show only."""

    wall_ms: int


@dataclass(frozen=True, slots=True)
class FrameReceived:
    link_id: LinkId
    message: Message


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link is through its handshake: `node_id` is who the peer says (and, with a secret, proves) to be.

    `address` is the peer's IP, `local_address` ours on this link. `target` is the id `Connect` was given for an
    outbound link ('' for inbound ones). `cluster_id` is the peer's.
    """

    link_id: LinkId
    node_id: str
    address: str
    outbound: bool
    target: str = ""
    local_address: str = ""
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A link is gone, or an attempt to connect to `target` failed (`link_id` None)."""

    link_id: LinkId | None
    reason: DownReason
    target: str = ""


@dataclass(frozen=True, slots=True)
class Meet:
    ip: str
    port: int
    bus_port: int


@dataclass(frozen=True, slots=True)
class Forget:
    node_id: str


@dataclass(frozen=True, slots=True)
class AddSlots:
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DelSlots:
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FlushSlots:
    pass


@dataclass(frozen=True, slots=True)
class SetSlot:
    """`keys_in_slot`: how many keys of the slot this node holds."""

    slot: int
    kind: str
    node_id: str = ""
    keys_in_slot: int = 0


@dataclass(frozen=True, slots=True)
class Replicate:
    node_id: str
    dataset_empty: bool = True


@dataclass(frozen=True, slots=True)
class Failover:
    """`mode`: '' (coordinated with the primary), 'force' or 'takeover'."""

    mode: str = ""


@dataclass(frozen=True, slots=True)
class Reset:
    hard: bool = False
    dataset_empty: bool = True


@dataclass(frozen=True, slots=True)
class SetConfigEpoch:
    epoch: int


@dataclass(frozen=True, slots=True)
class BumpEpoch:
    pass


@dataclass(frozen=True, slots=True)
class SaveConfig:
    pass


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    config: BusConfig


@dataclass(frozen=True, slots=True)
class ReplicationOffset:
    """How far this node's data is. On a replica also whether its link is up, and how old the data is (ms).

    `data_age_ms` None: the link to this primary was never up, so the data may be anybody's, and `offset` is 0.
    `data` is what a replica holds in any case.
    """

    offset: int
    primary_link_up: bool = True
    data_age_ms: int | None = 0
    data: Data | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What this node holds, now that it has loaded it at its start."""

    data: Data


@dataclass(frozen=True, slots=True)
class Paused:
    """The node's writes are paused for a manual failover, at this offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class Listen:
    """The slots (bits) of the channels that this node's clients listen to now, or `everything`."""

    slots: int
    everything: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """This node's clients have published messages, each with its channel's slot. `serial` counts these events."""

    serial: int
    messages: tuple[tuple[int, Item], ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """All that lay unread in the links when `Publish` number `serial` came has been taken in."""

    serial: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


OperatorEvent = (
    Meet | Forget | AddSlots | DelSlots | FlushSlots | SetSlot | Replicate | Failover | Reset | SetConfigEpoch
    | BumpEpoch | SaveConfig
)
Event = (
    Tick | FrameReceived | LinkUp | LinkDown | OperatorEvent | ConfigChanged | ReplicationOffset | Paused | Listen
    | Publish | Settled | Loaded | Shutdown
)


# -- effects -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Persist:
    """Save the state before any effect that follows. `durable`: so that it survives a crash of the machine too;
    otherwise one of the process (which change is which: bus/due.py)."""

    state: PersistentState
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Send:
    link_id: LinkId
    message: Message


@dataclass(frozen=True, slots=True)
class Connect:
    """Make an outbound link; it comes back as LinkUp or LinkDown with this `target`."""

    target: str
    ip: str
    bus_port: int


@dataclass(frozen=True, slots=True)
class CloseLink:
    link_id: LinkId


@dataclass(frozen=True, slots=True)
class ViewChanged:
    view: ClusterView


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an operator's event: `error` (a whole error line) or `text`."""

    error: str | None = None
    text: str = "OK"


@dataclass(frozen=True, slots=True)
class BecomePrimary:
    """Stop replicating; this node's data is the shard's now."""


@dataclass(frozen=True, slots=True)
class FollowNode:
    """Replicate from that node from now on (also when only its address changed). `same_data`: what this node took from
    the primary before is that node's too."""

    node_id: str
    ip: str
    port: int
    same_data: bool = False
    tls_port: int = 0


@dataclass(frozen=True, slots=True)
class PauseWrites:
    """Hold writing clients for that long, and answer with `Paused`."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class ResumeWrites:
    pass


@dataclass(frozen=True, slots=True)
class HoldClients:
    """This node does not know whether it still has its slots: hold writing clients, and the replies to what was done
    since the clock was last looked at, until `ReleaseClients` (for that long at most)."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class ReleaseClients:
    """`trusted`: it has them; otherwise no reply that was held back may be sent."""

    trusted: bool


@dataclass(frozen=True, slots=True)
class DropSlotKeys:
    """These slots are another's now: forget their keys."""

    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FlushData:
    """Forget all data (RESET of a replica)."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give these messages of other nodes' clients to those of ours who listen."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """`level`: debug, verbose, notice or warning."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class ClusterStateChanged:
    ok: bool


Effect = (
    Persist | Send | Connect | CloseLink | ViewChanged | Reply | BecomePrimary | FollowNode | PauseWrites
    | ResumeWrites | HoldClients | ReleaseClients | DropSlotKeys | FlushData | Deliver | Log
    | ClusterStateChanged
)
