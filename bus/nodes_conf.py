"""nodes.conf and CLUSTER NODES: the one text form of a cluster's state.

A line a node, ``id ip:port@bus-port,hostname,name=value… flags primary ping pong epoch link slots…``, and in the file
a last line of variables. Files of redis-server 7.0 and 7.2 load; ours has one variable more (the cluster's id).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bus.names import address_fault, host_name_fault
from bus.view import COUNT_MAX, SLOT_COUNT, ClusterView, NodeInfo, PersistentState, Ranges

_ID = re.compile(r"[0-9a-f]{40}")
_ADDRESS = re.compile(r"(?P<ip>[^@]*):(?P<port>[0-9]{1,9})(?:@(?P<bus>[0-9]{1,9}))?")
_OPEN = re.compile(r"\[([0-9]{1,9})-([<>])-([0-9a-f]{40})\]")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_FLAG_NAMES = {"fail?": "pfail", "fail": "fail", "handshake": "handshake", "noaddr": "noaddr",
               "nofailover": "nofailover", "myself": "myself"}
_COUNT = re.compile(r"[0-9]{1,20}")
_BUS_PORT_INCREMENT = 10_000
_CAUSE_LIMIT = 200


class NodesConfError(Exception):
    """A nodes.conf that cannot be read; names the line and the cause."""


# -- writing -----------------------------------------------------------------------------------------------------


def render_node(
    view: ClusterView | PersistentState, node: NodeInfo, *, auxiliary: bool = False, tls: bool = False
) -> str:
    """The line of one node, with its line end. `auxiliary`: with the fields only nodes.conf has. `tls`: for a client
    that speaks it."""
    address = f"{node.ip}:{node.port if auxiliary else node.port_for(tls=tls)}@{node.bus_port}"
    if node.hostname or auxiliary:
        address += f",{node.hostname}"
    if auxiliary:
        address += f",shard-id={node.shard_id}"
        if node.human_name:
            address += f",nodename={node.human_name}"
        if node.tls_port:
            address += f",tls-port={node.tls_port}"
    fields = [
        node.node_id,
        address,
        _flags(node),
        node.primary_id or "-",
        str(node.ping_sent_ms),
        str(node.pong_received_ms),
        str(_epoch(view.nodes, node)),
        "connected" if node.link_connected else "disconnected",
        *(str(start) if start == end else f"{start}-{end}" for start, end in node.slots),
    ]
    if node.node_id == view.my_id:
        fields += [f"[{slot}->-{other}]" for slot, other in sorted(view.migrating.items())]
        fields += [f"[{slot}-<-{other}]" for slot, other in sorted(view.importing.items())]
    return " ".join(fields) + "\n"


def _epoch(nodes: Mapping[str, NodeInfo], node: NodeInfo) -> int:
    """A replica shows its primary's."""
    primary = nodes.get(node.primary_id or "")
    return (primary or node).config_epoch


def _flags(node: NodeInfo) -> str:
    shown = [
        name for name, holds in (
            ("myself", "myself" in node.flags),
            ("master", node.role == "primary" and "handshake" not in node.flags),
            ("slave", node.role == "replica"),
            ("fail?", "pfail" in node.flags),
            ("fail", "fail" in node.flags),
            ("handshake", "handshake" in node.flags),
            ("noaddr", "noaddr" in node.flags),
            ("nofailover", "nofailover" in node.flags),
        ) if holds
    ]
    return ",".join(shown) or "noflags"


def render_nodes(view: ClusterView | PersistentState, *, tls: bool = False) -> str:
    """CLUSTER NODES, for a client that speaks TLS, or does not."""
    return "".join(render_node(view, node, tls=tls) for node in view.nodes.values())


def render_state(state: PersistentState) -> str:
    """nodes.conf."""
    lines = [
        render_node(state, node, auxiliary=True) for node in state.nodes.values() if "handshake" not in node.flags
    ]
    variables = f"vars currentEpoch {state.current_epoch} lastVoteEpoch {state.last_vote_epoch}"
    if state.cluster_id:
        variables += f" clusterId {state.cluster_id}"
    return "".join(lines) + variables + "\n"


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass
class _Parsed:
    nodes: dict[str, NodeInfo] = field(default_factory=dict)
    my_id: str = ""
    migrating: dict[int, str] = field(default_factory=dict)
    importing: dict[int, str] = field(default_factory=dict)
    current_epoch: int = 0
    last_vote_epoch: int = 0
    cluster_id: str = ""


def parse_state(text: str) -> PersistentState | None:
    """The state in a nodes.conf; None for an empty file. Raises NodesConfError."""
    if not text.strip():
        return None
    parsed = _Parsed()
    if not text.endswith("\n"):
        raise NodesConfError(f"line {text.count(chr(10)) + 1}: the file ends within a line")
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            if line.startswith("vars "):
                _parse_variables(parsed, line.split()[1:])
            else:
                _parse_node(parsed, line.split())
        except (ValueError, IndexError) as error:
            raise NodesConfError(f"line {number}: {str(error)[:_CAUSE_LIMIT]}") from None
    if not parsed.my_id:
        raise NodesConfError("no line has the flag 'myself'")
    _fill_in_shards(parsed.nodes)
    return PersistentState(
        my_id=parsed.my_id, nodes=parsed.nodes, migrating=parsed.migrating, importing=parsed.importing,
        current_epoch=parsed.current_epoch, last_vote_epoch=parsed.last_vote_epoch, cluster_id=parsed.cluster_id,
    )


def with_epochs_of(state: PersistentState, last: PersistentState) -> PersistentState:
    """A node's `state` from elsewhere (a backup, an editor), without what it must not forget of its `last` one: in
    which epoch it has voted."""
    return replace(
        state, current_epoch=max(state.current_epoch, last.current_epoch),
        last_vote_epoch=max(state.last_vote_epoch, last.last_vote_epoch),
    )


def _fill_in_shards(nodes: dict[str, NodeInfo]) -> None:
    """Files from before 7.2 know no shards: a primary's is named after it, a replica's is its primary's."""
    for primaries_only in (True, False):
        for node in list(nodes.values()):
            if not node.shard_id and (node.role == "primary") is primaries_only:
                primary = nodes.get(node.primary_id or "", node)
                nodes[node.node_id] = replace(node, shard_id=primary.shard_id or node.node_id)


def _parse_variables(parsed: _Parsed, words: list[str]) -> None:
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "currentEpoch":
            parsed.current_epoch = _count(value, name)
        elif name == "lastVoteEpoch":
            parsed.last_vote_epoch = _count(value, name)
        elif name == "clusterId":
            parsed.cluster_id = _id(value)


def _parse_node(parsed: _Parsed, words: list[str]) -> None:
    if len(words) < 8:
        raise ValueError("too few fields for a node")
    node_id, address, flag_text, primary, ping, pong, epoch, _link, *slots = words
    node_id = _id(node_id)
    flags = flag_text.split(",")
    ip, port, bus_port, auxiliary, hostname = _parse_address(address)
    mine = "myself" in flags
    if node_id in parsed.nodes:
        raise ValueError(f"node {node_id} stands here twice")
    if mine:
        if parsed.my_id:
            raise ValueError("a second node with the flag 'myself'")
        parsed.my_id = node_id
    parsed.nodes[node_id] = NodeInfo(
        node_id=node_id, ip=ip, port=port, bus_port=bus_port,
        shard_id=_id(auxiliary["shard-id"]) if auxiliary.get("shard-id") else "",
        role="replica" if "slave" in flags else "primary",
        primary_id=None if primary == "-" else _id(primary),
        tls_port=_port(auxiliary.get("tls-port", "0")),
        hostname=hostname, human_name=auxiliary.get("nodename", ""),
        flags=frozenset(_FLAG_NAMES[flag] for flag in flags if flag in _FLAG_NAMES),
        ping_sent_ms=_count(ping, "ping"), pong_received_ms=_count(pong, "pong"),
        config_epoch=0 if "slave" in flags else _count(epoch, "epoch"),
        slots=_parse_slots(parsed, slots, mine),
    )


def _parse_address(text: str) -> tuple[str, int, int, dict[str, str], str]:
    address, *extras = text.split(",")
    match = _ADDRESS.fullmatch(address)
    if match is None or address_fault(match["ip"]):
        raise ValueError(f"bad address {address!r}")
    port = int(match["port"])
    bus_port = int(match["bus"]) if match["bus"] else port + _BUS_PORT_INCREMENT
    if port > 65535 or bus_port > 65535:
        raise ValueError(f"bad port in {address!r}")
    hostname = extras[0] if extras else ""
    if host_name_fault(hostname):
        raise ValueError(f"bad host name {hostname!r}")
    auxiliary = dict(extra.partition("=")[::2] for extra in extras[1:])
    return match["ip"], port, bus_port, auxiliary, hostname


def _parse_slots(parsed: _Parsed, words: list[str], mine: bool) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for word in words:
        opened = _OPEN.fullmatch(word)
        if opened is not None:
            if mine:
                table = parsed.migrating if opened[2] == ">" else parsed.importing
                table[_slot(opened[1])] = opened[3]
            continue
        match = _RANGE.fullmatch(word)
        if match is None:
            raise ValueError(f"bad slot {word!r}")
        start = _slot(match[1])
        end = _slot(match[2]) if match[2] else start
        if end < start:
            raise ValueError(f"bad slot range {word!r}")
        ranges.append((start, end))
    return tuple(ranges)


def _slot(text: str) -> int:
    slot = int(text)
    if not 0 <= slot < SLOT_COUNT:
        raise ValueError(f"slot {text} is out of range")
    return slot


def _port(text: str) -> int:
    port = _count(text, "tls-port")
    if port > 65535:
        raise ValueError(f"bad tls-port {text}")
    return port


def _count(text: str, what: str) -> int:
    if _COUNT.fullmatch(text) is None:
        raise ValueError(f"{what} is no number: {text!r}")
    if int(text) > COUNT_MAX:
        raise ValueError(f"{what} is too large: {text}")
    return int(text)


def _id(text: str) -> str:
    if _ID.fullmatch(text) is None:
        raise ValueError(f"bad node id {text!r}")
    return text
