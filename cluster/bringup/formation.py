"""Forming the cluster over the nodes' own commands, and waiting until every node says the same.

The order is that of any careful operator: slots and a config epoch for each primary while it is alone, so that no
epochs collide; then the introductions; then, when every node knows every other, the replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.bringup.client import ReplyError, RespClient, info_fields
from cluster.bringup.errors import BringUpError
from cluster.bringup.look import look_at, why_not_agreed
from cluster.bringup.processes import NodeProcess, wait_until
from cluster.bringup.topology import parse_nodes, spread_slots
from cluster.config.yaml_config import ClusterPlan

START_DEADLINE_S = 60.0
"""Until every node answers PING: a node with much data loads it first."""
AGREEMENT_DEADLINE_S = 60.0

Report = Callable[[str], None]
"""Told what is being done or waited for, whenever that changes."""


def wait_answering(nodes: Sequence[NodeProcess], report: Report) -> None:
    """Until every node answers PING. Raises BringUpError when one dies or the deadline passes."""
    waiting = list(nodes)

    def all_answer() -> bool:
        waiting[:] = [node for node in waiting if not _answers(node)]
        report(f"{len(nodes) - len(waiting)} of {len(nodes)} nodes answer")
        return not waiting

    wait_until(
        all_answer,
        START_DEADLINE_S,
        nodes=nodes,
        otherwise=lambda: ", ".join(f"{node.name} does not answer" for node in waiting),
    )


def _answers(node: NodeProcess) -> bool:
    try:
        with node.connect(timeout_s=1.0) as client:
            return client.call("PING") == "PONG"
    except ReplyError as error:
        if str(error).startswith(("LOADING", "MASTERDOWN")):
            return False
        raise BringUpError(f"{node.name} answers PING with an error: {error}") from None
    except OSError:
        return False


def form(plan: ClusterPlan, nodes: Sequence[NodeProcess], report: Report) -> None:
    """Make one cluster of empty nodes: the plan's first nodes are its primaries. Raises BringUpError."""
    clients = [node.connect() for node in nodes]
    try:
        for node, client in zip(nodes, clients, strict=True):
            _require_empty(node, client)
        report("assigning slots")
        for number, (client, (first, last)) in enumerate(
            zip(clients, spread_slots(plan.primaries), strict=False), start=1
        ):
            client.call("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.call("CLUSTER", "SET-CONFIG-EPOCH", number)
        for number, client in enumerate(clients[plan.primaries :], start=plan.primaries + 1):
            client.call("CLUSTER", "SET-CONFIG-EPOCH", number)
        report("introducing the nodes to each other")
        for node in nodes[1:]:
            clients[0].call("CLUSTER", "MEET", node.host, node.plan.port, node.plan.bus_port)
        wait_until(
            lambda: all(_knows_all(client, len(nodes)) for client in clients),
            AGREEMENT_DEADLINE_S,
            nodes=nodes,
            otherwise=lambda: "the nodes have not all met each other",
        )
        _make_replicas(plan, clients, report)
    except (ReplyError, OSError) as error:
        raise BringUpError(f"the cluster could not be formed: {error}") from error
    finally:
        for client in clients:
            client.close()


def _require_empty(node: NodeProcess, client: RespClient) -> None:
    fields = info_fields(client.text("CLUSTER", "INFO"))
    if fields.get("cluster_known_nodes") != "1" or fields.get("cluster_slots_assigned") != "0":
        raise BringUpError(f"{node.name} already belongs to a cluster; --fresh starts over")
    if client.call("DBSIZE") != 0:
        raise BringUpError(f"{node.name} holds keys; --fresh removes them and starts over")


def _knows_all(client: RespClient, expected: int) -> bool:
    members = parse_nodes(client.text("CLUSTER", "NODES")).values()
    return len(members) == expected and not any("handshake" in member.flags for member in members)


def _make_replicas(plan: ClusterPlan, clients: Sequence[RespClient], report: Report) -> None:
    """Hand the remaining nodes out in turn, so that no primary has two more than another."""
    if len(clients) > plan.primaries:
        report("attaching the replicas")
    ids = [client.text("CLUSTER", "MYID") for client in clients[: plan.primaries]]
    for at, client in enumerate(clients[plan.primaries :]):
        client.call("CLUSTER", "REPLICATE", ids[at % len(ids)])


def wait_agreed(nodes: Sequence[NodeProcess], report: Report) -> None:
    """Until every node sees the same cluster, says it is ok, and every replica follows its primary."""
    why = "nothing is known yet"

    def agreed() -> bool:
        nonlocal why
        why = why_not_agreed(look_at(nodes))
        if why:
            report(f"waiting: {why}")
        return not why

    wait_until(
        agreed, AGREEMENT_DEADLINE_S, nodes=nodes,
        otherwise=lambda: f"{why}; the log of each node, as {nodes[0].log_path}, may tell more",
    )
