"""Staying in front: until Ctrl-C, telling when a node ends or comes back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cluster.bringup.processes import NodeProcess
from cluster.bringup.screen import Screen

_LOOK_S = 0.5


def watch(nodes: Sequence[NodeProcess], screen: Screen) -> int:
    """Returns when told to stop (status 0), or when no node is left (0 too if all ended well, else 1)."""
    ended: dict[str, int] = {}
    try:
        while len(ended) < len(nodes):
            for node in nodes:
                status = node.popen.poll() if node.popen is not None else None
                if status is not None and node.name not in ended:
                    ended[node.name] = status
                    screen.line(node.died() or f"{node.name} ended")
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        return 0
    screen.line("No node is left.")
    return 1 if any(ended.values()) else 0
