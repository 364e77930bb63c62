"""cluster.yaml: a whole cluster in one file, checked strictly, and from it each node's directives.

Every key is known or an error that names its path, with the nearest known key; a key that stands twice is an error
too, since YAML itself would silently keep the last one. Paths are relative to the directory of the file.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from cluster.config.errors import ConfigError
from cluster.config.store import BUS_PORT_OFFSET, Setting
from cluster.config.yaml_directives import directive_settings
from cluster.config.yaml_reader import Reader, load_yaml

DEFAULT_NODE_TIMEOUT_MS = 2000


@dataclass(frozen=True, slots=True)
class NodePlan:
    """`directives` are the node's own, over those of the cluster."""

    port: int
    bus_port: int
    host: str
    directory: str
    directives: Sequence[Setting]


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """`password` and `secret` are '' for none, `node_timeout_ms` None; `nodes` is in the order of the file.

    `tls`: they speak nothing else, clients and each other.
    """

    name: str
    replicas: int
    node_timeout_ms: int | None
    host: str
    directory: str
    password: str
    secret: str
    directives: Sequence[Setting]
    nodes: Sequence[NodePlan]
    tls: bool = False

    @property
    def primaries(self) -> int:
        """How many of the nodes own slots, when each primary gets its replicas."""
        return len(self.nodes) // (1 + self.replicas)


def parse_cluster_yaml(text: str, path: str) -> ClusterPlan:
    """The plan a file describes; `path` is where it is, for errors and for what is relative. Raises ConfigError."""
    root = Reader(load_yaml(text, path), path, "")
    root.only("cluster", "nodes")
    base = PurePath(path).parent
    cluster = root.section("cluster")
    cluster.only(
        "name", "replicas", "node_timeout_ms", "host", "directory", "password", "secret", "tls", "directives"
    )  # fmt: skip
    host = _host(cluster, "127.0.0.1")
    directory = str(base / cluster.path_text("directory", "./data"))
    plan = ClusterPlan(
        name=cluster.text("name", "cluster"),
        replicas=cluster.integer("replicas", 1, low=0, high=100),
        node_timeout_ms=(
            cluster.integer("node_timeout_ms", None, low=1, high=2**53) if cluster.has("node_timeout_ms") else None
        ),
        host=host,
        directory=directory,
        password=cluster.text("password", ""),
        secret=cluster.text("secret", ""),
        tls=cluster.truth("tls", default=False),
        directives=directive_settings(cluster.section("directives")),
        nodes=[_node(reader, host, directory, base) for reader in root.entries("nodes")],
    )
    _check_ports(plan, root)
    return plan


def _node(reader: Reader, host: str, directory: str, base: PurePath) -> NodePlan:
    reader.only("port", "bus_port", "host", "directory", "directives")
    port = reader.integer("port", None, low=1, high=65535)
    own = reader.path_text("directory", "")
    default_bus_port = port + BUS_PORT_OFFSET
    if default_bus_port > 65535 and not reader.has("bus_port"):
        raise reader.error("port", f"port + {BUS_PORT_OFFSET} is no port for the bus: give a bus_port")
    return NodePlan(
        port=port,
        bus_port=reader.integer("bus_port", default_bus_port, low=1, high=65535),
        host=_host(reader, host),
        directory=str(base / own) if own else str(PurePath(directory) / str(port)),
        directives=directive_settings(reader.section("directives")),
    )


def _host(reader: Reader, default: str) -> str:
    text = reader.text("host", default)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise reader.error("host", f"'{text}' is not an IP address") from None
    return text


def _check_ports(plan: ClusterPlan, root: Reader) -> None:
    if not plan.nodes:
        raise root.error("nodes", "there has to be at least one node")
    taken: dict[tuple[str, int], str] = {}
    directories: dict[str, str] = {}
    for at, node in enumerate(plan.nodes):
        for key, port in (("port", node.port), ("bus_port", node.bus_port)):
            other = taken.setdefault((node.host, port), f"nodes[{at}].{key}")
            if other != f"nodes[{at}].{key}":
                raise root.error(f"nodes[{at}].{key}", f"{port} is already {other}")
        other = directories.setdefault(node.directory, f"nodes[{at}]")
        if other != f"nodes[{at}]":
            raise root.error(f"nodes[{at}].directory", f"{node.directory} is already the directory of {other}")


def node_settings(plan: ClusterPlan, node: NodePlan) -> list[Setting]:
    """All that a node is told, in the order in which it is layered."""
    return [*usual_settings(), *named_settings(plan, node)]


def usual_settings() -> list[Setting]:
    """What holds for a node of cluster.yaml unless somebody says otherwise."""
    return [
        Setting("pidfile", ("node.pid",)),
        Setting("cluster-node-timeout", (str(DEFAULT_NODE_TIMEOUT_MS),)),
    ]


def named_settings(plan: ClusterPlan, node: NodePlan) -> list[Setting]:
    """What cluster.yaml says about a node."""
    settings = [
        Setting("cluster-enabled", ("yes",)),
        *_ports(plan, node),
        Setting("bind", (node.host,)),
        Setting("dir", (node.directory,)),
    ]
    if plan.node_timeout_ms is not None:
        settings.append(Setting("cluster-node-timeout", (str(plan.node_timeout_ms),)))
    if node.bus_port != node.port + BUS_PORT_OFFSET:
        settings.append(Setting("cluster-port", (str(node.bus_port),)))
    if plan.password:
        settings += [Setting("requirepass", (plan.password,)), Setting("masterauth", (plan.password,))]
    if plan.secret:
        settings.append(Setting("cluster-secret", (plan.secret,)))
    own = {setting.name for setting in node.directives}
    settings += [setting for setting in plan.directives if setting.name not in own]
    return [*settings, *node.directives]


def _ports(plan: ClusterPlan, node: NodePlan) -> list[Setting]:
    """The port is that for TLS where the cluster speaks nothing else; its certificates are told by directives."""
    if not plan.tls:
        return [Setting("port", (str(node.port),))]
    return [
        Setting("port", ("0",)), Setting("tls-port", (str(node.port),)), Setting("tls-cluster", ("yes",)),
        Setting("tls-replication", ("yes",)),
    ]  # fmt: skip


def pick_node(plan: ClusterPlan, *, port: int | None = None, number: int | None = None) -> NodePlan:
    """The node with that port, or the one with that number, counted from 1. Raises ConfigError."""
    if number is not None:
        if not 1 <= number <= len(plan.nodes):
            raise ConfigError(f"there is no node {number}: cluster.yaml has {len(plan.nodes)}", "--node")
        return plan.nodes[number - 1]
    by_port: Mapping[int, NodePlan] = {node.port: node for node in plan.nodes}
    ports = ", ".join(map(str, by_port))
    if port is None:
        if len(plan.nodes) == 1:
            return plan.nodes[0]
        raise ConfigError(f"which node is this? Say --port with one of {ports}", "--config")
    if port not in by_port:
        raise ConfigError(f"no node has port {port}: there are {ports}", "--port")
    return by_port[port]
