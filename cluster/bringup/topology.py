"""What CLUSTER NODES says, as values; how slots are spread over primaries; when nodes agree. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SLOT_COUNT = 16384

SlotRange = tuple[int, int]
"""First and last slot, both included."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node, as one line of CLUSTER NODES shows it. `primary_id` is '' for a primary."""

    node_id: str
    host: str
    port: int
    flags: frozenset[str]
    primary_id: str
    config_epoch: int
    connected: bool
    slots: tuple[SlotRange, ...]
    open_slots: tuple[str, ...] = ()

    @property
    def is_primary(self) -> bool:
        return "master" in self.flags

    @property
    def is_down(self) -> bool:
        return bool(self.flags & {"fail", "fail?"})

    @property
    def slot_count(self) -> int:
        return sum(last - first + 1 for first, last in self.slots)


def parse_nodes(text: str) -> dict[str, Member]:
    """CLUSTER NODES by node id. Raises ValueError for what is no such text."""
    members = [_parse_line(line) for line in text.splitlines() if line]
    return {member.node_id: member for member in members}


def _parse_line(line: str) -> Member:
    node_id, address, flags, primary_id, _, _, epoch, link, *words = line.split(" ")
    host, _, port = address.partition("@")[0].rpartition(":")
    slots: list[SlotRange] = []
    open_slots: list[str] = []
    for word in words:
        if word.startswith("["):
            open_slots.append(word)
        else:
            first, _, last = word.partition("-")
            slots.append((int(first), int(last or first)))
    return Member(
        node_id=node_id,
        host=host,
        port=int(port),
        flags=frozenset(flags.split(",")),
        primary_id="" if primary_id == "-" else primary_id,
        config_epoch=int(epoch),
        connected=link == "connected",
        slots=tuple(slots),
        open_slots=tuple(open_slots),
    )


def slots_text(slots: Sequence[SlotRange]) -> str:
    """``0-5460, 5462``."""
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in slots)


def spread_slots(primaries: int) -> list[SlotRange]:
    """All slots in `primaries` runs whose lengths differ by one at most."""
    bounds = [at * SLOT_COUNT // primaries for at in range(primaries + 1)]
    return [(first, end - 1) for first, end in pairwise(bounds)]


def disagreement(views: Mapping[str, Mapping[str, Member]]) -> str:
    """Why the nodes do not yet see the same cluster, or '' when they do.

    `views` is what each node says, by its id. A member that is none of them may be down: it was added by hand, and
    is not ours to wait for.
    """
    names = {}
    for node_id, members in views.items():
        if node_id not in members:
            return "a node does not know itself"
        names[node_id] = f"{members[node_id].host}:{members[node_id].port}"
    for node_id, members in views.items():
        for other_id, other in names.items():
            if other_id not in members:
                return f"{names[node_id]} does not know {other}"
            if members[other_id].is_down:
                return f"{names[node_id]} holds {other} for down"
            if not members[other_id].connected:
                return f"{names[node_id]} has no link to {other}"
    shapes = {node_id: _shape(members, names) for node_id, members in views.items()}
    first_id, first = next(iter(shapes.items()), ("", {}))
    for node_id, shape in shapes.items():
        if shape != first:
            return f"{names[node_id]} and {names[first_id]} do not agree on roles and slots"
    covered = sum(member.slot_count for member in next(iter(views.values()), {}).values())
    return "" if covered == SLOT_COUNT else f"{SLOT_COUNT - covered} slots are served by nobody"


def open_slots(views: Mapping[str, Mapping[str, Member]]) -> list[str]:
    """What is still on its way, a text for each slot. Each node says it in its own line, so `views` has to hold them.

    ``[93->-id]`` is migrating there, ``[93-<-id]`` importing from there.
    """
    said: dict[int, list[str]] = {}
    for node_id, members in views.items():
        own = members[node_id]
        for word in own.open_slots:
            number, _, rest = word.strip("[]").partition("-")
            what = "migrating" if rest.startswith(">") else "importing"
            said.setdefault(int(number), []).append(f"{what} on {own.host}:{own.port}")
    return [f"slot {slot} is open ({', '.join(sorted(where, reverse=True))})" for slot, where in sorted(said.items())]


def lonely_primaries(members: Mapping[str, Member]) -> list[Member]:
    """Those with slots whose data are nowhere else: no replica that works."""
    followed = {member.primary_id for member in members.values() if not member.is_down}
    return [member for member in members.values() if member.slots and member.node_id not in followed]


def _shape(members: Mapping[str, Member], ours: Mapping[str, str]) -> dict[str, tuple[str, tuple[SlotRange, ...]]]:
    return {node_id: (members[node_id].primary_id, members[node_id].slots) for node_id in ours}
