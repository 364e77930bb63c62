"""What a node knows of its cluster, as immutable values that are swapped whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

SLOT_COUNT = 16384
COUNT_MAX = (1 << 63) - 1
"""The greatest epoch, time or offset that nodes take from each other."""

Role = Literal["primary", "replica"]
Ranges = tuple[tuple[int, int], ...]
"""Slot ranges, both ends included, ascending."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One node as CLUSTER NODES shows it. `flags`: of myself, pfail, fail, handshake, noaddr, nofailover.

    `ping_sent_ms` is 0 while no ping waits for its pong, `pong_received_ms` when a ping or pong of its was heard last;
    both are wall-clock ms since the epoch.
    """

    node_id: str
    ip: str
    port: int
    bus_port: int
    shard_id: str
    role: Role = "primary"
    primary_id: str | None = None
    tls_port: int = 0
    hostname: str = ""
    human_name: str = ""
    flags: frozenset[str] = frozenset()
    ping_sent_ms: int = 0
    pong_received_ms: int = 0
    config_epoch: int = 0
    link_connected: bool = False
    repl_offset: int = 0
    slots: Ranges = ()

    def port_for(self, *, tls: bool) -> int:
        """Where a client connects that speaks TLS, or does not; the other port where it has no such one."""
        return (self.tls_port or self.port) if tls else (self.port or self.tls_port)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """`owners[slot]` is a node id or None. `migrating` and `importing` are this node's open slots → the other node.

    `settled`: it is known whether this node's data are its shard's newest.

    `down_reason` is '' while `state_ok`, else 'slots' (a slot nobody serves), 'minority' or 'starting'.
    """

    version: int
    my_id: str
    nodes: Mapping[str, NodeInfo]
    owners: Sequence[str | None]
    migrating: Mapping[int, str] = field(default_factory=dict)
    importing: Mapping[int, str] = field(default_factory=dict)
    state_ok: bool = False
    down_reason: str = "starting"
    current_epoch: int = 0
    size: int = 0
    cluster_id: str = ""
    settled: bool = True
    stats_sent: Mapping[str, int] = field(default_factory=dict)
    stats_received: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PersistentState:
    """What nodes.conf holds. `nodes` includes myself and every known node, without those in handshake."""

    my_id: str
    nodes: Mapping[str, NodeInfo]
    migrating: Mapping[int, str] = field(default_factory=dict)
    importing: Mapping[int, str] = field(default_factory=dict)
    current_epoch: int = 0
    last_vote_epoch: int = 0
    cluster_id: str = ""
