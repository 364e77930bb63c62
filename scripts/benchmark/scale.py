"""How the bus grows: the cores of up to a thousand nodes in one process, under virtual time.

Times are those of the simulation: a message takes a millisecond, and a node looks at its clock ten times a second.
Bytes are those of the frames (without a secret's seal, and without TCP's headers). The processor's time is what the
cores take, without sockets, encoding and what the simulation itself costs.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bus import events
from tests.simulation.fleet import Fleet, ip_of
from tests.simulation.process import BUS_PORT, PORT

SIZES = (6, 100, 500, 1_000)
NODE_TIMEOUT_MS = 15_000
SETTLE_MS = NODE_TIMEOUT_MS // 2
WINDOW_MS = NODE_TIMEOUT_MS // 2
"""Everybody has to hear of everybody once in that time: what is sent in it is what is sent for ever."""
LIMIT_MS = 4 * NODE_TIMEOUT_MS
FAILING_SHARE = 10
"""One node in so many falls silent."""


@dataclass(slots=True)
class ScaleRow:
    """Times in ms of the simulation (None: not within a minute), the others for each node and second."""

    nodes: int
    up_ms: int | None = None
    idle_bytes: float = 0
    idle_cpu_ms: float = 0
    heartbeat_bytes: float = 0
    joined_ms: int | None = None
    slot_moved_ms: int | None = None
    killed_known_ms: int | None = None
    replaced_ms: int | None = None
    replacement_known_ms: int | None = None
    silent_known_ms: int | None = None
    silent_replaced_ms: int | None = None
    failing_bytes: float = 0
    failing_heartbeat_bytes: float = 0
    failing_cpu_ms: float = 0


def measure_scale(sizes: Sequence[int], report: Callable[[str], None]) -> list[ScaleRow]:
    return [_measure(size, report) for size in sizes]


def _measure(size: int, report: Callable[[str], None]) -> ScaleRow:
    row = ScaleRow(size)
    with _no_collector():
        report(f"{size} nodes: starting")
        fleet = Fleet(size, spare=1, node_timeout_ms=NODE_TIMEOUT_MS)
        members = range(size)
        row.up_ms = fleet.run_until(lambda: all(fleet.views[one].state_ok for one in members), LIMIT_MS)
        for part in range(10):
            report(f"{size} nodes: settling, {part * 10} %")
            fleet.run(SETTLE_MS // 10)
        _idle(fleet, row, report)
        _join(fleet, row, report)
        _move_slot(fleet, row, report)
        _kill(fleet, row, report)
        _silence(fleet, row, report)
    return row


@contextmanager
def _no_collector() -> Iterator[None]:
    """It would look at millions of objects again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@contextmanager
def _measuring(fleet: Fleet) -> Iterator[None]:
    fleet.measures, fleet.bytes_sent, fleet.cpu_ns = True, 0, 0
    fleet.bytes_by_kind.clear()
    fleet.frames_by_kind.clear()
    yield
    fleet.measures = False


def _heartbeat_bytes(fleet: Fleet) -> float:
    frames = fleet.frames_by_kind["ping"] + fleet.frames_by_kind["pong"]
    return (fleet.bytes_by_kind["ping"] + fleet.bytes_by_kind["pong"]) / frames


def _each(fleet: Fleet, amount: float) -> float:
    return amount / sum(fleet.alive[: fleet.size]) / (WINDOW_MS / 1000)


def _window(fleet: Fleet, row: ScaleRow, what: str, report: Callable[[str], None]) -> None:
    for part in range(10):
        report(f"{row.nodes} nodes: {what}, {part * 10} %")
        fleet.run(WINDOW_MS // 10)


def _idle(fleet: Fleet, row: ScaleRow, report: Callable[[str], None]) -> None:
    with _measuring(fleet):
        _window(fleet, row, "idle", report)
    row.idle_bytes = _each(fleet, fleet.bytes_sent)
    row.idle_cpu_ms = _each(fleet, fleet.cpu_ns / 1e6)
    row.heartbeat_bytes = _heartbeat_bytes(fleet)


def _join(fleet: Fleet, row: ScaleRow, report: Callable[[str], None]) -> None:
    """One more meets the first; until all know each other."""
    report(f"{row.nodes} nodes: one more joins")
    new, size = fleet.size, fleet.size + 1
    joined = fleet.cores[new].my_id
    assert fleet.ask(new, events.Meet(ip_of(0), PORT, BUS_PORT)) == "OK"
    row.joined_ms = fleet.run_until(
        lambda: len(fleet.views[new].nodes) == size and all(joined in view.nodes for view in fleet.views)
        and not any("handshake" in one.flags for one in fleet.views[new].nodes.values()), LIMIT_MS
    )


def _move_slot(fleet: Fleet, row: ScaleRow, report: Callable[[str], None]) -> None:
    """A slot of node 1 goes to node 2, as redis-cli moves it; until all know."""
    report(f"{row.nodes} nodes: a slot moves")
    source, target = fleet.cores[1].my_id, fleet.cores[2].my_id
    slot = fleet.views[1].nodes[source].slots[0][0]
    steps = (
        (2, events.SetSlot(slot, "importing", source)), (1, events.SetSlot(slot, "migrating", target)),
        (2, events.SetSlot(slot, "node", target)), (1, events.SetSlot(slot, "node", target)),
    )
    assert all(fleet.ask(index, step) == "OK" for index, step in steps)
    row.slot_moved_ms = fleet.run_until(lambda: all(view.owners[slot] == target for view in fleet.views), LIMIT_MS)


def _alive(fleet: Fleet) -> list[int]:
    return [index for index, alive in enumerate(fleet.alive) if alive]


def _has_failed(fleet: Fleet, node_id: str) -> bool:
    return all("fail" in fleet.views[index].nodes[node_id].flags for index in _alive(fleet))


def _owned_by(fleet: Fleet, slot: int, node_id: str) -> bool:
    return all(fleet.views[index].owners[slot] == node_id for index in _alive(fleet))


def _kill(fleet: Fleet, row: ScaleRow, report: Callable[[str], None]) -> None:
    """Primary 0 dies, and its connections are refused."""
    report(f"{row.nodes} nodes: a primary is killed")
    dead, successor = fleet.cores[0].my_id, fleet.size // 2
    begin, heir = fleet.now, fleet.cores[successor].my_id
    fleet.die(0, silently=False)
    fleet.run_until(lambda: _has_failed(fleet, dead) or fleet.views[successor].owners[0] == heir, LIMIT_MS)
    row.killed_known_ms = fleet.now - begin
    fleet.run_until(lambda: fleet.views[successor].owners[0] == heir, LIMIT_MS)
    row.replaced_ms = fleet.now - begin
    fleet.run_until(lambda: _owned_by(fleet, 0, heir), LIMIT_MS)
    row.replacement_known_ms = fleet.now - begin


def _silence(fleet: Fleet, row: ScaleRow, report: Callable[[str], None]) -> None:
    """One node in ten falls silent, primaries and replicas; of each shard one at most."""
    primaries = fleet.size // 2
    count = max(fleet.size // FAILING_SHARE, 1)
    fallen = [1 + number if number % 2 else primaries + 1 + number for number in range(count)]
    lost = [index for index in fallen if index < primaries]
    slots = {index: fleet.views[index].nodes[fleet.cores[index].my_id].slots[0][0] for index in lost}
    begin = fleet.now
    for index in fallen:
        fleet.die(index, silently=True)
    report(f"{row.nodes} nodes: {count} fall silent")
    fleet.run(NODE_TIMEOUT_MS // 2)
    with _measuring(fleet):  # in the second half of the node timeout, and a little beyond: the busiest time there is
        _window(fleet, row, f"{count} are silent", report)
    ids = [fleet.cores[index].my_id for index in fallen]
    fleet.run_until(lambda: all(_has_failed(fleet, one) for one in ids), LIMIT_MS)
    row.silent_known_ms = fleet.now - begin
    heirs = {slot: fleet.cores[primaries + index].my_id for index, slot in slots.items()}
    fleet.run_until(lambda: all(_owned_by(fleet, slot, heir) for slot, heir in heirs.items()), LIMIT_MS)
    row.silent_replaced_ms = fleet.now - begin
    with _measuring(fleet):
        _window(fleet, row, f"{count} have failed", report)
    row.failing_bytes = _each(fleet, fleet.bytes_sent)
    row.failing_cpu_ms = _each(fleet, fleet.cpu_ns / 1e6)
    row.failing_heartbeat_bytes = _heartbeat_bytes(fleet)
