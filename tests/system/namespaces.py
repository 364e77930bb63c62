"""Servers in network namespaces of their own, so that a partition is one of the network and not of a simulator.

Each namespace has two interfaces. Over one, the cluster's, servers know each other; a partition moves it to another
bridge, where only those of the same side are. The other is the test's own, never cut, so that either side can be
asked what it thinks.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping

from tests.system.harness import USUAL, Harness, Server

FIRST_PORT = 7000
_NOBODY = "02:00:00:00:00:fe"


def namespaces_are_possible() -> str:
    """'' where namespaces and bridges can be made, else why not."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"cnprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespaces here: {made.stderr.strip()}"
    bridge = subprocess.run(
        ["ip", "-n", name, "link", "add", "br0", "type", "bridge"], capture_output=True, text=True, check=False
    )
    _ip("netns", "del", name)
    return "" if bridge.returncode == 0 else f"no network bridges here: {bridge.stderr.strip()}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class NamespacedServer(Server):
    """A server whose `host` is where the test reaches it, and no address of its cluster."""


class Network:
    """Two bridges for the cluster's two sides, and one for the test. `close` removes all of it."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._id = os.getpid() % 100_000
        # A network of our own for each run, so that two runs at once have nothing in common.
        self._base = f"10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
        self._bridges = {side: f"cn{self._id}{side}" for side in ("main", "cut", "test")}
        self._namespaces: list[str] = []
        self._misdirected: list[tuple[NamespacedServer, NamespacedServer]] = []
        for bridge in self._bridges.values():
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("address", "add", f"{self._base}.126/25", "dev", self._bridges["test"])
        _ip("address", "add", f"{self._base}.254/25", "dev", self._bridges["main"])

    def server(self, directives: Mapping[str, str]) -> NamespacedServer:
        """A server in a namespace of its own, not yet started, on the main side."""
        number = len(self._namespaces) + 1
        name = f"cn{self._id}n{number}"
        _ip("netns", "add", name)
        self._namespaces.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        for kind, bridge, address in (
            ("t", self._bridges["test"], f"{self._base}.{number}/25"),
            ("c", self._bridges["main"], f"{self._base}.{128 + number}/25"),
        ):
            outside = self._outside(number, kind)
            _ip("link", "add", outside, "type", "veth", "peer", "name", f"{kind}0", "netns", name)
            _ip("link", "set", outside, "master", bridge, "up")
            _ip("-n", name, "address", "add", address, "dev", f"{kind}0")
            _ip("-n", name, "link", "set", f"{kind}0", "up")
        given = {**USUAL, "bind": "0.0.0.0", "protected-mode": "no", **directives}
        server = NamespacedServer(
            self._harness.kind,
            self._harness.directory / name,
            FIRST_PORT + number,
            given,
            host=f"{self._base}.{number}",
            prefix=("ip", "netns", "exec", name),
        )
        server.cluster_host = f"{self._base}.{128 + number}"
        self._harness.adopt(server)
        return server

    def _outside(self, number: int, kind: str) -> str:
        return f"v{self._id}{kind}{number}"

    def cut_off(self, servers: Iterable[Server]) -> None:
        """Separate these from all others; among themselves they still talk."""
        for server in servers:
            _ip("link", "set", self._outside(server.port - FIRST_PORT, "c"), "master", self._bridges["cut"])

    def mute(self, server: NamespacedServer) -> None:
        """A cut of one way: what it sends to the other servers is lost, and what they send arrives."""
        for other in self._others(server):
            self._misdirect(server, other)

    def deafen(self, server: NamespacedServer) -> None:
        """A cut of the other way: what the other servers send to it is lost."""
        for other in self._others(server):
            self._misdirect(other, server)

    def _others(self, server: NamespacedServer) -> list[NamespacedServer]:
        return [one for one in self._harness.servers if isinstance(one, NamespacedServer) and one is not server]

    def _misdirect(self, sender: NamespacedServer, receiver: NamespacedServer) -> None:
        """Frames go out, to an address that no interface has."""
        words = ("neighbour", "replace", receiver.cluster_host, "lladdr", _NOBODY, "dev", "c0", "nud", "permanent")
        _ip("-n", self._namespaces[sender.port - FIRST_PORT - 1], *words)
        self._misdirected.append((sender, receiver))

    def heal(self) -> None:
        for sender, receiver in self._misdirected:
            name = self._namespaces[sender.port - FIRST_PORT - 1]
            _ip("-n", name, "neighbour", "del", receiver.cluster_host, "dev", "c0")
        self._misdirected.clear()
        for number in range(1, len(self._namespaces) + 1):
            _ip("link", "set", self._outside(number, "c"), "master", self._bridges["main"])

    def close(self) -> None:
        # The kernel takes a namespace apart in its own time, so what the next network names alike goes first.
        for number in range(1, len(self._namespaces) + 1):
            for kind in ("t", "c"):
                subprocess.run(["ip", "link", "del", self._outside(number, kind)], check=False, capture_output=True)
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        for bridge in self._bridges.values():
            subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)
