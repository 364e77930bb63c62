"""What nodes say to each other.

A heartbeat is small and of constant size: the sender's epochs, its replication offset, and two digests. The full
picture of a node (`Announcement`) and the list of members (`Members`) travel only when a digest shows that the
receiver has another one. Everything else is a fact (`Fail`, `Update`) or a step of an election.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bus.view import Ranges

DIGEST_BYTES = 8
SUSPECTS_LIMIT = 64
"""Suspected nodes named in one heartbeat; more of them take turns."""
MEMBERS_LIMIT = 128
"""Nodes in one `Members` message."""
ITEMS_LIMIT = 1024
"""Published messages in one `Messages`."""

WANT_ANNOUNCEMENT = 1
WANT_MEMBERS = 2
WANT_INTEREST = 4
PAUSED = 1
"""The sender holds its writes for a manual failover, so `offset` is final."""
CONTESTED = 2
"""By what the sender knows, slots that the receiver last said it owns are another's."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`kind`: ping asks for a pong. `epoch` is the cluster's current one as the sender knows it, `config_epoch`
    that of the sender's slots. `suspects` are the nodes the sender cannot reach; `complete` says that all of them are
    named whom it does not hold for failed. Those are left out where they are many and the receiver holds the same for
    failed: `failed` is a digest of them (0: nobody). `want` asks for what a digest showed to be missing. A pong gives
    back the ping's `serial` (0: none), so that a node knows when it was heard at the earliest. `interest` is the
    version of what the sender's clients listen to."""

    kind: Literal["ping", "pong"]
    epoch: int
    config_epoch: int
    offset: int
    digest: bytes
    members: bytes
    suspects: tuple[str, ...] = ()
    complete: bool = True
    failed: int = 0
    want: int = 0
    flags: int = 0
    serial: int = 0
    interest: int = 0


@dataclass(frozen=True, slots=True)
class Announcement:
    """All a node says of itself. `meet`: the receiver is asked to take the sender into its cluster.

    `ip` is '' unless announced by configuration: the receiver sees it on the link.
    """

    epoch: int
    config_epoch: int
    ip: str
    port: int
    bus_port: int
    tls_port: int
    hostname: str
    human_name: str
    shard_id: str
    primary_id: str
    nofailover: bool
    slots: Ranges
    cluster_id: str
    offset: int = 0
    meet: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    node_id: str
    ip: str
    port: int
    bus_port: int


@dataclass(frozen=True, slots=True)
class Members:
    """Nodes the sender knows, so that the receiver can get to know them too."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """A majority of primaries cannot reach that node."""

    node_id: str


@dataclass(frozen=True, slots=True)
class Update:
    """That node's slots have moved on: the receiver claims some of them with an older epoch. Where that node is the
    receiver itself: it is held to own these slots, and does not claim them."""

    node_id: str
    config_epoch: int
    slots: Ranges


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A replica asks to be its failed primary's successor in `epoch`. `forced`: a manual failover."""

    epoch: int
    config_epoch: int
    slots: Ranges
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Vote:
    epoch: int


@dataclass(frozen=True, slots=True)
class ManualFailoverStart:
    """A replica asks its primary to hold its writes."""


@dataclass(frozen=True, slots=True)
class DataQuestion:
    """A primary that comes back asks a replica of its what data that one holds."""


@dataclass(frozen=True, slots=True)
class Data:
    """What data the sender holds: `offset` of the history `replid` ('': of none that is known). `age_ms`: a replica
    was in step with its primary that long ago, a primary's data were saved then (0: they are all that it ever had).
    None: nobody knows."""

    replid: str
    offset: int
    age_ms: int | None
    has_keys: bool
    is_loading: bool = False


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A primary that came back asks its replica, whose data are newer, to be the primary."""


@dataclass(frozen=True, slots=True)
class Interest:
    """The slots (bits) of the channels that the sender's clients listen to, or `everything`. `base` 0: that is all of
    it; otherwise it is to be added to what version `base` said."""

    version: int
    base: int
    everything: bool
    slots: int


@dataclass(frozen=True, slots=True)
class Item:
    """A published message. `sharded`: its channel is a shard channel."""

    channel: bytes
    message: bytes
    sharded: bool = False


@dataclass(frozen=True, slots=True)
class Messages:
    """What the sender's clients have published."""

    items: tuple[Item, ...]


Message = (
    Heartbeat | Announcement | Members | Fail | Update | VoteRequest | Vote | ManualFailoverStart | Interest | Messages
    | DataQuestion | Data | TakeOver
)
