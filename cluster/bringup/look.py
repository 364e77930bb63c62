"""Looking at the cluster: every node is asked at once, and one that is dead, stopped or mute holds up nobody.

A look is a `Sight` a node; the table and the answer to 'is it whole?' are made from the same look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cluster.bringup.client import ReplyError, info_fields
from cluster.bringup.processes import NodeProcess
from cluster.bringup.topology import Member, disagreement, lonely_primaries, open_slots, parse_nodes, slots_text

PROBE_TIMEOUT_S = 2.0
"""More than a node takes that works, and what a look takes at most when some do not."""
SETTLE_S = 2.0
"""What nodes that all answer have to come to one view: a link that broke is there again by then."""
_LOOK_AGAIN_S = 0.1
_MAX_PROBES = 64
_SLOTS_NAMED = 5
"""The open slots told of by number."""
DOWN = "down"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a node said; `trouble` is '' or, in words, why it said nothing, and `state` what the table shows of that."""

    node: NodeProcess
    state: str = "up"
    trouble: str = ""
    node_id: str = ""
    members: Mapping[str, Member] = field(default_factory=dict)
    cluster_state: str = ""
    in_step: bool = True

    @property
    def own(self) -> Member | None:
        return self.members.get(self.node_id)


@dataclass(frozen=True, slots=True)
class Row:
    """What the table shows of a node."""

    port: int
    address: str
    role: str
    slots: str
    replicates: str
    node_id: str
    state: str


def look_at(nodes: Sequence[NodeProcess]) -> list[Sight]:
    """A sight for each node, in their order."""
    with ThreadPoolExecutor(max_workers=max(1, min(len(nodes), _MAX_PROBES))) as pool:
        return list(pool.map(_look_at_one, nodes))


def look_until_settled(nodes: Sequence[NodeProcess]) -> list[Sight]:
    """As `look_at`; but what may pass in a moment, while every node answers, is looked at again before it counts."""
    end = time.monotonic() + SETTLE_S
    while True:
        sights = look_at(nodes)
        passing = why_not_agreed(sights) and not any(sight.trouble for sight in sights)
        if not passing or time.monotonic() > end:
            return sights
        time.sleep(_LOOK_AGAIN_S)


def _look_at_one(node: NodeProcess) -> Sight:
    try:
        with node.connect(timeout_s=PROBE_TIMEOUT_S) as client:
            members = parse_nodes(client.text("CLUSTER", "NODES"))
            cluster = info_fields(client.text("CLUSTER", "INFO"))
            replication = info_fields(client.text("INFO", "replication"))
    except ReplyError as error:
        return Sight(node, "error", f"{node.name} answers: {error}")
    except TimeoutError:
        return Sight(node, "no answer", f"{node.name} runs, but does not answer: it is stopped or very busy")
    except (OSError, ValueError) as error:
        if node.pid() is None:
            return Sight(node, DOWN, f"{node.name} is down")
        if isinstance(error, ConnectionRefusedError):
            return Sight(node, "no answer", f"{node.name} runs, but does not listen on its port")
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        return Sight(node, "no answer", f"{node.name} cannot be asked: {why}")
    node_id = next((member.node_id for member in members.values() if "myself" in member.flags), "")
    if not node.is_own_id(node_id):
        return Sight(node, "stranger", f"port {node.plan.port} is answered by a node of something else")
    return Sight(
        node,
        node_id=node_id,
        members=members,
        cluster_state=cluster.get("cluster_state", ""),
        in_step=replication.get("role") != "slave" or replication.get("master_link_status") == "up",
    )


def why_not_agreed(sights: Sequence[Sight]) -> str:
    """What keeps the cluster from being whole, or ''."""
    troubles = [sight.trouble for sight in sights if sight.trouble]
    if all(sight.state == DOWN for sight in sights):
        return "none of its nodes runs"
    if troubles:
        return "; ".join(troubles)
    for sight in sights:
        if sight.cluster_state != "ok":
            return f"{sight.node.name} says that the cluster is {sight.cluster_state}"
        if not sight.in_step:
            return f"{sight.node.name} is not in step with its primary yet"
    return disagreement({sight.node_id: sight.members for sight in sights})


def why_not_whole(sights: Sequence[Sight], replicas: int) -> str:
    """As `why_not_agreed`, or what the nodes agree on and an operator has to do something about, with what that is.

    `replicas`: how many each primary is to have.
    """
    if why := why_not_agreed(sights):
        return why
    first = sights[0].node
    login = " --askpass" if first.config.requirepass else ""
    parts = []
    if opened := open_slots({sight.node_id: sight.members for sight in sights}):
        more = f" and {len(opened) - _SLOTS_NAMED} more" if len(opened) > _SLOTS_NAMED else ""
        parts.append(
            f"{', '.join(opened[:_SLOTS_NAMED])}{more}: unless they are being moved at this moment, close them with  "
            f"redis-cli --cluster fix {first.host}:{first.plan.port}{login}"
        )
    if replicas:
        parts += [
            f"{member.host}:{member.port} has no replica, and {replicas} is asked for: make another node one with  "
            f"CLUSTER REPLICATE {member.node_id}"
            for member in lonely_primaries(sights[0].members)
        ]
    return "; ".join(parts)


def rows(sights: Sequence[Sight]) -> list[Row]:
    """The table: each node as it sees itself."""
    names = {member.node_id: str(member.port) for sight in sights for member in sight.members.values()}
    return [_row(sight, names) for sight in sights]


def _row(sight: Sight, names: Mapping[str, str]) -> Row:
    port = sight.node.plan.port
    address = f"{sight.node.host}:{port}"
    own = sight.own
    if own is None:
        return Row(port, address, "-", "", "", "", sight.state)
    return Row(
        port=port,
        address=address,
        role="primary" if own.is_primary else "replica",
        slots=slots_text(own.slots),
        replicates=names.get(own.primary_id, own.primary_id),
        node_id=own.node_id,
        state=sight.state,
    )
