"""CLUSTER, the half that only looks: nodes, slots, shards, links, keys in slots.

Clients and redis-cli parse these replies, so order and spelling are redis-server's.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from bus.nodes_conf import render_node, render_nodes
from bus.view import ClusterView, NodeInfo
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, STALE, command, container
from cluster.errors import CommandError
from cluster.keyspace.hashing import SLOT_COUNT, key_slot
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies

if TYPE_CHECKING:
    from cluster.bus_bridge import BusBridge

_DISABLED = "ERR This instance has cluster support disabled"
_VARIES = ("nondeterministic_output",)

CLUSTER = container("CLUSTER", group="cluster", since="3.0.0", summary="Holds the commands of Redis Cluster.")

HELP_LINES = (
    ("ADDSLOTS <slot> [<slot> ...]", "Make this node the owner of free slots."),
    ("ADDSLOTSRANGE <start> <end> [<start> <end> ...]", "The same for ranges."),
    ("BUMPEPOCH", "Give this node the highest config epoch."),
    ("COUNT-FAILURE-REPORTS <node-id>", "How many nodes report that node as failing."),
    ("COUNTKEYSINSLOT <slot>", "How many keys of the slot this node holds."),
    ("DELSLOTS <slot> [<slot> ...]", "Forget who owns the slots."),
    ("DELSLOTSRANGE <start> <end> [<start> <end> ...]", "The same for ranges."),
    ("FAILOVER [FORCE|TAKEOVER]", "Make this replica the primary."),
    ("FLUSHSLOTS", "Give up every slot of this node."),
    ("FORGET <node-id>", "Remove a node from this node's view."),
    ("GETKEYSINSLOT <slot> <count>", "Names of keys of the slot."),
    ("INFO", "State and counters of the cluster."),
    ("KEYSLOT <key>", "The slot of a key."),
    ("LINKS", "The links between this node and the others."),
    ("MEET <ip> <port> [<bus-port>]", "Join the cluster of that node."),
    ("MYID", "The id of this node."),
    ("MYSHARDID", "The id of this node's shard."),
    ("NODES", "What this node knows of every node, a line each."),
    ("REPLICAS <node-id>", "The replicas of a primary, as NODES shows them."),
    ("REPLICATE <node-id>", "Become a replica of that primary."),
    ("RESET [HARD|SOFT]", "Leave the cluster."),
    ("SAVECONFIG", "Write nodes.conf now."),
    ("SET-CONFIG-EPOCH <epoch>", "Set the config epoch of a fresh node."),
    ("SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)", "Move a slot, step by step."),
    ("SHARDS", "Slots and nodes, shard by shard."),
    ("SLOTS", "Slot ranges with the nodes that serve them."),
)


def bus_of(ctx: Context) -> BusBridge:
    """The node's way to its bus; raises when this is no cluster node."""
    if ctx.server.bus is None:
        raise CommandError(_DISABLED)
    return ctx.server.bus


def view_of(ctx: Context) -> ClusterView:
    return bus_of(ctx).view


def _by_tls(ctx: Context) -> bool:
    """Whether the client speaks TLS: then it is told the ports at which the nodes do."""
    return "tls" in ctx.client.client_flags


def known_node(view: ClusterView, node_id: bytes) -> NodeInfo:
    """The node of that full id; raises ERR Unknown node."""
    name = node_id.decode("utf-8", "surrogateescape")
    node = view.nodes.get(name)
    if node is None:
        raise CommandError(f"ERR Unknown node {name}")
    return node


@command("CLUSTER HELP", arity=2, flags={LOADING, STALE}, group="cluster", since="5.0.0",
         summary="Lists the subcommands.")
def cluster_help(ctx: Context) -> bytes:
    if not ctx.server.cluster_enabled:
        raise CommandError(_DISABLED)
    return replies.help_text("CLUSTER", HELP_LINES)


@command("CLUSTER MYID", arity=2, flags={STALE}, group="cluster", since="3.0.0", summary="Answers this node's id.")
def myid(ctx: Context) -> bytes:
    return replies.text(view_of(ctx).my_id)


@command("CLUSTER MYSHARDID", arity=2, flags={STALE}, group="cluster", since="7.2.0", tips=_VARIES,
         summary="Answers the id of this node's shard.")
def myshardid(ctx: Context) -> bytes:
    view = view_of(ctx)
    return replies.text(view.nodes[view.my_id].shard_id)


@command("CLUSTER KEYSLOT", arity=3, flags={STALE}, group="cluster", since="3.0.0",
         summary="Answers the slot of a key.", complexity="O(N) in the number of bytes",
         syntax="key:string")
def keyslot(ctx: Context, key: bytes) -> bytes:
    bus_of(ctx)
    return replies.integer(key_slot(key))


@command("CLUSTER COUNTKEYSINSLOT", arity=3, flags={STALE}, group="cluster", since="3.0.0",
         summary="Counts this node's keys of a slot.", syntax="slot:integer")
def countkeysinslot(ctx: Context, slot: bytes) -> bytes:
    bus_of(ctx)
    number = parse_integer(slot)
    if not 0 <= number < SLOT_COUNT:
        raise CommandError("ERR Invalid slot")
    return replies.integer(len(ctx.server.databases[0].spaces[number]))


@command("CLUSTER GETKEYSINSLOT", arity=4, flags={STALE}, group="cluster", since="3.0.0", tips=_VARIES,
         summary="Names keys of a slot that this node holds.", complexity="O(log(N)) in the number of keys asked for",
         syntax="slot:integer count:integer")
def getkeysinslot(ctx: Context, slot: bytes, count: bytes) -> bytes:
    bus_of(ctx)
    number, limit = parse_integer(slot), parse_integer(count)
    if not 0 <= number < SLOT_COUNT or limit < 0:
        raise CommandError("ERR Invalid slot or number of keys")
    return replies.bulk_array(list(islice(ctx.server.databases[0].spaces[number], limit)))


@command("CLUSTER NODES", arity=2, flags={STALE}, group="cluster", since="3.0.0", tips=_VARIES,
         summary="Shows every known node, a line each.", complexity="O(N) in the number of cluster nodes")
def nodes(ctx: Context) -> bytes:
    return replies.verbatim(render_nodes(view_of(ctx), tls=_by_tls(ctx)).encode(), ctx.resp)


@command("CLUSTER REPLICAS", arity=3, flags={ADMIN, STALE}, group="cluster", since="5.0.0", tips=_VARIES,
         summary="Shows the replicas of a primary.", complexity="O(N) in the number of cluster nodes", syntax="node-id")
@command("CLUSTER SLAVES", arity=3, flags={ADMIN, STALE}, group="cluster", since="3.0.0", tips=_VARIES,
         summary="Shows the replicas of a primary (the old name).", complexity="O(N) in the number of cluster nodes",
         syntax="node-id", deprecated=("5.0.0", "`CLUSTER REPLICAS`"))
def replicas(ctx: Context, node_id: bytes) -> bytes:
    view = view_of(ctx)
    primary = known_node(view, node_id)
    if primary.role != "primary":
        raise CommandError("ERR The specified node is not a master")
    following = _replicas_by_primary(view).get(primary.node_id, ())
    lines = [render_node(view, node, tls=_by_tls(ctx)) for node in following]
    return replies.array([replies.text(line.rstrip("\n")) for line in lines])


@command("CLUSTER COUNT-FAILURE-REPORTS", arity=3, flags={ADMIN, STALE}, group="cluster", since="3.0.0", tips=_VARIES,
         summary="Counts the nodes that report a node as failing.", complexity="O(N) in the number of reports",
         syntax="node-id")
def count_failure_reports(ctx: Context, node_id: bytes) -> bytes:
    node = known_node(view_of(ctx), node_id)
    return replies.integer(bus_of(ctx).failure_reports(node.node_id))


@command("CLUSTER LINKS", arity=2, flags={STALE}, group="cluster", since="7.0.0", tips=_VARIES,
         summary="Shows the bus links of this node.", complexity="O(N) in the number of cluster nodes")
def links(ctx: Context) -> bytes:
    shown = []
    for link in bus_of(ctx).links():
        if link.node_id is None:
            continue
        fields = {
            "direction": replies.text("to" if link.outbound else "from"),
            "node": replies.text(link.node_id),
            "create-time": replies.integer(link.created_ms),
            "events": replies.text("rw" if link.queued_bytes else "r"),
            "send-buffer-allocated": replies.integer(link.queued_bytes),
            "send-buffer-used": replies.integer(link.queued_bytes),
        }
        shown.append(replies.string_map(fields, ctx.resp))
    return replies.array(shown)


@command("CLUSTER INFO", arity=2, flags={STALE}, group="cluster", since="3.0.0", tips=_VARIES,
         summary="Shows the state and the counters of the cluster.")
def info(ctx: Context) -> bytes:
    view = view_of(ctx)
    assigned = ok = pfail = failed = 0
    for owner in view.owners:
        if owner is None:
            continue
        assigned += 1
        flags = view.nodes[owner].flags
        if "fail" in flags:
            failed += 1
        elif "pfail" in flags:
            pfail += 1
        else:
            ok += 1
    lines = [
        f"cluster_state:{'ok' if view.state_ok else 'fail'}",
        f"cluster_slots_assigned:{assigned}",
        f"cluster_slots_ok:{ok}",
        f"cluster_slots_pfail:{pfail}",
        f"cluster_slots_fail:{failed}",
        f"cluster_known_nodes:{len(view.nodes)}",
        f"cluster_size:{view.size}",
        f"cluster_current_epoch:{view.current_epoch}",
        f"cluster_my_epoch:{_serving_epoch(view)}",
        *_message_lines("sent", dict(view.stats_sent)),
        *_message_lines("received", dict(view.stats_received)),
        f"total_cluster_links_buffer_limit_exceeded:{bus_of(ctx).links_over_limit}",
    ]
    return replies.verbatim("".join(f"{line}\r\n" for line in lines).encode(), ctx.resp)


def _serving_epoch(view: ClusterView) -> int:
    """A replica's slots are its primary's, and so is the epoch."""
    myself = view.nodes[view.my_id]
    primary = view.nodes.get(myself.primary_id or "")
    return (primary or myself).config_epoch


def _message_lines(direction: str, counts: dict[str, int]) -> list[str]:
    lines = [f"cluster_stats_messages_{kind}_{direction}:{count}" for kind, count in counts.items() if count]
    return [*lines, f"cluster_stats_messages_{direction}:{sum(counts.values())}"]


# -- slots and shards --------------------------------------------------------------------------------------------


def _endpoint(ctx: Context, node: NodeInfo) -> bytes:
    preferred = ctx.config.cluster_preferred_endpoint_type
    if preferred == "hostname":
        return replies.text(node.hostname or "?")
    return ctx.null if preferred == "unknown-endpoint" else replies.text(node.ip)


def _slots_node(ctx: Context, node: NodeInfo) -> bytes:
    preferred = ctx.config.cluster_preferred_endpoint_type
    metadata = {}
    if preferred != "ip":
        metadata["ip"] = replies.text(node.ip)
    if preferred != "hostname" and node.hostname:
        metadata["hostname"] = replies.text(node.hostname)
    return replies.array([
        _endpoint(ctx, node),
        replies.integer(node.port_for(tls=_by_tls(ctx))),
        replies.text(node.node_id),
        replies.string_map(metadata, ctx.resp),
    ])


@command("CLUSTER SLOTS", arity=2, flags={STALE}, group="cluster", since="3.0.0", tips=_VARIES,
         summary="Shows the slot ranges with the nodes that serve them.",
         complexity="O(N) in the number of cluster nodes", deprecated=("7.0.0", "`CLUSTER SHARDS`"))
def slots(ctx: Context) -> bytes:
    view = view_of(ctx)
    following = _replicas_by_primary(view)
    ranges = []
    for primary in view.nodes.values():
        if not primary.slots:
            continue
        readable = [one for one in following.get(primary.node_id, ()) if _is_readable(ctx, view, one)]
        shown = [_slots_node(ctx, node) for node in (primary, *readable)]
        ranges += [(start, [replies.integer(start), replies.integer(end), *shown]) for start, end in primary.slots]
    return replies.array([replies.array(entry) for _, entry in sorted(ranges, key=lambda one: one[0])])


def _offset(ctx: Context, view: ClusterView, node: NodeInfo) -> int:
    return ctx.server.replication.offset if node.node_id == view.my_id else node.repl_offset


def _is_readable(ctx: Context, view: ClusterView, replica: NodeInfo) -> bool:
    """A replica at offset 0 has no data yet."""
    return "fail" not in replica.flags and _offset(ctx, view, replica) != 0


def _replicas_by_primary(view: ClusterView) -> dict[str, list[NodeInfo]]:
    following: dict[str, list[NodeInfo]] = {}
    for node in view.nodes.values():
        if node.primary_id is not None:
            following.setdefault(node.primary_id, []).append(node)
    return following


@command("CLUSTER SHARDS", arity=2, flags={STALE}, group="cluster", since="7.0.0", tips=_VARIES,
         summary="Shows the slots and the nodes of each shard.", complexity="O(N) in the number of cluster nodes")
def shards(ctx: Context) -> bytes:
    view = view_of(ctx)
    members: dict[str, list[NodeInfo]] = {}
    for node in view.nodes.values():
        if "handshake" not in node.flags:
            members.setdefault(node.shard_id, []).append(node)
    shown = []
    for nodes_of_shard in members.values():
        nodes_of_shard.sort(key=lambda node: node.role != "primary")
        bounds = [bound for node in nodes_of_shard for pair in node.slots for bound in pair]
        shown.append(replies.string_map({
            "slots": replies.array([replies.integer(bound) for bound in bounds]),
            "nodes": replies.array([_shard_node(ctx, view, node) for node in nodes_of_shard]),
        }, ctx.resp))
    return replies.array(shown)


def _shard_node(ctx: Context, view: ClusterView, node: NodeInfo) -> bytes:
    offset = _offset(ctx, view, node)
    if "fail" in node.flags:
        health = "fail"
    else:
        health = "loading" if node.role == "replica" and offset == 0 else "online"
    fields = {"id": replies.text(node.node_id)}
    if node.port:
        fields["port"] = replies.integer(node.port)
    if node.tls_port:
        fields["tls-port"] = replies.integer(node.tls_port)
    fields["ip"] = replies.text(node.ip)
    hidden = ctx.config.cluster_preferred_endpoint_type == "unknown-endpoint"
    fields["endpoint"] = replies.text("") if hidden else _endpoint(ctx, node)
    if node.hostname:
        fields["hostname"] = replies.text(node.hostname)
    fields["role"] = replies.text("master" if node.role == "primary" else "replica")
    fields["replication-offset"] = replies.integer(offset)
    fields["health"] = replies.text(health)
    return replies.string_map(fields, ctx.resp)
