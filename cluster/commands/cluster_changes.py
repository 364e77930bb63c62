"""CLUSTER, the half that changes the cluster: each subcommand becomes one event for the bus, and the bus answers."""

from __future__ import annotations

import ipaddress

from bus import events
from bus.names import address_fault
from cluster.commands.cluster_views import bus_of
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, NO_ASYNC_LOADING, NOSCRIPT, STALE, command
from cluster.errors import CommandError, NotAnInteger, SyntaxFault, wrong_arity, wrong_subcommand
from cluster.keyspace.hashing import SLOT_COUNT
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies

_FLAGS = {ADMIN, STALE, NO_ASYNC_LOADING}
_BAD_SLOT = "ERR Invalid or out of range slot"
_BAD_SETSLOT = "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"
_BUS_PORT_INCREMENT = 10_000


def _ask(ctx: Context, event: events.OperatorEvent) -> bytes:
    """Let the bus decide; its answer, or its refusal raised."""
    return replies.simple(bus_of(ctx).ask(event))


def _text(argument: bytes) -> str:
    return argument.decode("utf-8", "surrogateescape")


def _slot(argument: bytes) -> int:
    try:
        slot = parse_integer(argument)
    except NotAnInteger:
        raise CommandError(_BAD_SLOT) from None
    if not 0 <= slot < SLOT_COUNT:
        raise CommandError(_BAD_SLOT)
    return slot


def _slots(arguments: tuple[bytes, ...]) -> list[int]:
    return [_slot(argument) for argument in arguments]


def _ranges(name: str, arguments: tuple[bytes, ...]) -> list[int]:
    if len(arguments) % 2:
        raise wrong_arity(f"cluster|{name}")
    slots: list[int] = []
    for first, last in zip(arguments[::2], arguments[1::2], strict=True):
        start, end = _slot(first), _slot(last)
        if start > end:
            raise CommandError(f"ERR start slot number {start} is greater than end slot number {end}")
        slots.extend(range(start, end + 1))
    return slots


@command("CLUSTER ADDSLOTS", arity=-3, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Makes this node the owner of free slots.", complexity="O(N) in the number of slots",
         syntax="slot:integer...")
def addslots(ctx: Context, *slots: bytes) -> bytes:
    bus_of(ctx)
    return _ask(ctx, events.AddSlots(tuple(_slots(slots))))


@command("CLUSTER ADDSLOTSRANGE", arity=-4, flags=_FLAGS, group="cluster", since="7.0.0",
         summary="Makes this node the owner of ranges of free slots.", complexity="O(N) in the number of slots",
         syntax="(start-slot:integer end-slot:integer)...")
def addslotsrange(ctx: Context, *bounds: bytes) -> bytes:
    bus_of(ctx)
    return _ask(ctx, events.AddSlots(tuple(_ranges("addslotsrange", bounds))))


@command("CLUSTER DELSLOTS", arity=-3, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Forgets who owns the slots.", complexity="O(N) in the number of slots", syntax="slot:integer...")
def delslots(ctx: Context, *slots: bytes) -> bytes:
    bus_of(ctx)
    return _ask(ctx, events.DelSlots(tuple(_slots(slots))))


@command("CLUSTER DELSLOTSRANGE", arity=-4, flags=_FLAGS, group="cluster", since="7.0.0",
         summary="Forgets who owns ranges of slots.", complexity="O(N) in the number of slots",
         syntax="(start-slot:integer end-slot:integer)...")
def delslotsrange(ctx: Context, *bounds: bytes) -> bytes:
    bus_of(ctx)
    return _ask(ctx, events.DelSlots(tuple(_ranges("delslotsrange", bounds))))


@command("CLUSTER FLUSHSLOTS", arity=2, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Gives up every slot of this node.")
def flushslots(ctx: Context) -> bytes:
    bus_of(ctx)
    if any(ctx.server.databases[0].spaces):
        raise CommandError("ERR DB must be empty to perform CLUSTER FLUSHSLOTS.")
    return _ask(ctx, events.FlushSlots())


@command("CLUSTER SETSLOT", arity=-4, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Moves a slot between nodes, step by step.",
         syntax="slot:integer (IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE)")
def setslot(ctx: Context, slot: bytes, action: bytes, *node: bytes) -> bytes:
    bus_of(ctx)
    kind = action.lower().decode("ascii", "replace")
    if ctx.server.is_replica:
        raise CommandError("ERR Please use SETSLOT only with masters.")
    number = _slot(slot)
    if kind not in ("migrating", "importing", "stable", "node") or len(node) != (kind != "stable"):
        raise CommandError(_BAD_SETSLOT)
    keys = len(ctx.server.databases[0].spaces[number]) + ctx.server.under_way.in_slot(number)
    return _ask(ctx, events.SetSlot(number, kind, _text(node[0]) if node else "", keys_in_slot=keys))


@command("CLUSTER MEET", arity=-4, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Joins this node to the cluster of another.",
         syntax="ip port:integer [cluster_bus_port:integer]@4.0.0")
def meet(ctx: Context, host: bytes, port: bytes, *bus_port: bytes) -> bytes:
    bus_of(ctx)
    if len(bus_port) > 1:
        raise wrong_subcommand("cluster")
    number = _port(port, "base")
    bus = _port(bus_port[0], "bus") if bus_port else number + _BUS_PORT_INCREMENT
    try:
        address = str(ipaddress.ip_address(_text(host)))
        valid = 0 < number <= 65535 and 0 < bus <= 65535 and not address_fault(address)
    except ValueError:
        valid = False
    if not valid:
        raise CommandError(f"ERR Invalid node address specified: {_text(host)}:{_text(port)}")
    return _ask(ctx, events.Meet(address, number, bus))


def _port(argument: bytes, which: str) -> int:
    try:
        return parse_integer(argument)
    except NotAnInteger:
        raise CommandError(f"ERR Invalid TCP {which} port specified: {_text(argument)}") from None


@command("CLUSTER FORGET", arity=3, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Removes a node from this node's view, for a minute at least.", syntax="node-id")
def forget(ctx: Context, node_id: bytes) -> bytes:
    return _ask(ctx, events.Forget(_text(node_id)))


@command("CLUSTER REPLICATE", arity=3, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Makes this node a replica of a primary.", syntax="node-id")
def replicate(ctx: Context, node_id: bytes) -> bytes:
    empty = not any(ctx.server.databases[0].spaces)
    return _ask(ctx, events.Replicate(_text(node_id), dataset_empty=empty))


@command("CLUSTER FAILOVER", arity=-2, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Makes this replica the primary of its shard.", syntax="[FORCE | TAKEOVER]")
def failover(ctx: Context, *mode: bytes) -> bytes:
    bus_of(ctx)
    chosen = mode[0].lower().decode("ascii", "replace") if mode else ""
    if len(mode) > 1:
        raise wrong_subcommand("cluster")
    if chosen not in ("", "force", "takeover"):
        raise SyntaxFault
    return _ask(ctx, events.Failover(chosen))


@command("CLUSTER RESET", arity=-2, flags={ADMIN, STALE, NOSCRIPT}, group="cluster", since="3.0.0",
         summary="Takes this node out of its cluster.",
         complexity="O(N) in the number of known nodes; FLUSHALL comes on top", syntax="[HARD | SOFT]")
def reset(ctx: Context, *mode: bytes) -> bytes:
    bus_of(ctx)
    chosen = mode[0].lower() if mode else b"soft"
    if len(mode) > 1:
        raise wrong_subcommand("cluster")
    if chosen not in (b"soft", b"hard"):
        raise SyntaxFault
    empty = not any(ctx.server.databases[0].spaces)
    return _ask(ctx, events.Reset(chosen == b"hard", dataset_empty=empty))


@command("CLUSTER SET-CONFIG-EPOCH", arity=3, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Sets the config epoch of a node that knows no other.", syntax="config-epoch:integer")
def set_config_epoch(ctx: Context, epoch: bytes) -> bytes:
    bus_of(ctx)
    number = parse_integer(epoch)
    if number < 0:
        raise CommandError(f"ERR Invalid config epoch specified: {number}")
    return _ask(ctx, events.SetConfigEpoch(number))


@command("CLUSTER BUMPEPOCH", arity=2, flags=_FLAGS, group="cluster", since="3.0.0",
         tips=("nondeterministic_output",), summary="Gives this node the highest config epoch.")
def bumpepoch(ctx: Context) -> bytes:
    return _ask(ctx, events.BumpEpoch())


@command("CLUSTER SAVECONFIG", arity=2, flags=_FLAGS, group="cluster", since="3.0.0",
         summary="Writes nodes.conf now.")
def saveconfig(ctx: Context) -> bytes:
    return _ask(ctx, events.SaveConfig())
