"""Carrying out a fault on a running cluster, and waiting until it is whole again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from cluster.bringup.client import ReplyError, RespClient
from cluster.bringup.errors import BringUpError
from cluster.bringup.look import look_at, why_not_agreed
from cluster.bringup.processes import STOP_DEADLINE_S, NodeProcess, stop_all
from cluster.bringup.topology import Member
from scripts.chaos_run.schedule import Fault, Strike
from scripts.chaos_run.timeline import Event

WHOLE_DEADLINE_S = 60.0
_POLL_S = 0.1
_KEYS_AT_ONCE = 20
_MIGRATE_MS = 5000


class Faults:
    def __init__(self, nodes: Sequence[NodeProcess]) -> None:
        self._nodes = nodes

    def strike(self, strike: Strike) -> Event:
        """Do it, undo it, wait; an event with `trouble` when the cluster does not become whole."""
        primaries = self._primaries()
        primary = primaries[strike.shard % len(primaries)]
        victim = self._replica_of(primary) if strike.replica else self._node(primary)
        role = "replica" if strike.replica else "primary"
        what = f"{strike.fault} of {role} {victim.plan.port}"
        at = time.monotonic_ns()
        exposed = ""
        trouble = ""
        try:
            match strike.fault:
                case Fault.KILL:
                    at = _kill(victim)
                    exposed = "" if strike.replica else str(victim.plan.port)
                    time.sleep(strike.hold_s)
                    victim.start()
                case Fault.STOP:
                    at = _stop(victim, strike.hold_s)
                    exposed = "" if strike.replica else str(victim.plan.port)
                    what += f" for {strike.hold_s:.1f} s"
                case Fault.RESTART:
                    stop_all([victim], STOP_DEADLINE_S)
                    victim.start()
                case Fault.FAILOVER:
                    heir = self._replica_of(primary)
                    what = f"failover from {primary.port} to {heir.plan.port}"
                    _call(heir, "CLUSTER", "FAILOVER")
                    trouble = self._wait_primary(heir)
                case Fault.RESHARD:
                    target = primaries[(strike.shard + 1) % len(primaries)]
                    what = f"reshard of {strike.slots} slots from {primary.port} to {target.port}"
                    self._reshard(primary, target, strike.slots)
        except (ReplyError, OSError) as error:
            trouble = str(error)
        trouble = trouble or self.wait_whole()
        return Event(at, what, time.monotonic_ns(), exposed, trouble)

    def wait_whole(self) -> str:
        """'' when every node agrees, else why not."""
        end = time.monotonic() + WHOLE_DEADLINE_S
        while why := why_not_agreed(look_at(self._nodes)):
            if time.monotonic() > end:
                return why
            time.sleep(_POLL_S)
        return ""

    def _wait_primary(self, heir: NodeProcess) -> str:
        """'' when it serves slots, else what is wrong."""
        end = time.monotonic() + WHOLE_DEADLINE_S
        while heir.plan.port not in (one.port for one in self._primaries()):
            if time.monotonic() > end:
                return f"{heir.name} did not take over"
            time.sleep(_POLL_S)
        return ""

    def _members(self) -> list[Member]:
        sight = next((sight for sight in look_at(self._nodes) if not sight.trouble), None)
        if sight is None:
            raise BringUpError("no node answers")
        return list(sight.members.values())

    def _primaries(self) -> list[Member]:
        return sorted((one for one in self._members() if one.is_primary and one.slots), key=lambda one: one.slots)

    def _node(self, member: Member) -> NodeProcess:
        return next(node for node in self._nodes if node.plan.port == member.port)

    def _replica_of(self, primary: Member) -> NodeProcess:
        followers = sorted((one.port, one) for one in self._members() if one.primary_id == primary.node_id)
        return self._node(followers[0][1]) if followers else self._node(primary)

    def _reshard(self, source: Member, target: Member, count: int) -> None:
        slots = [slot for first, last in source.slots for slot in range(first, last + 1)][:count]
        with self._node(source).connect() as here, self._node(target).connect() as there:
            for slot in slots:
                there.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
                here.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
                _move_keys(here, slot, self._node(target))
                there.call("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)
                here.call("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)


def _move_keys(here: RespClient, slot: int, target: NodeProcess) -> None:
    while keys := here.call("CLUSTER", "GETKEYSINSLOT", slot, _KEYS_AT_ONCE):
        assert isinstance(keys, list)
        here.call("MIGRATE", target.host, target.plan.port, "", 0, _MIGRATE_MS, "KEYS", *keys)


def _call(node: NodeProcess, *words: str) -> None:
    with node.connect() as client:
        client.call(*words)


def _kill(node: NodeProcess) -> int:
    """kill -9; when it had certainly ended."""
    assert node.popen is not None
    node.popen.kill()
    node.popen.wait()
    return time.monotonic_ns()


def _stop(node: NodeProcess, hold_s: float) -> int:
    """SIGSTOP, and SIGCONT later whatever happens; when it had stopped."""
    assert node.popen is not None
    os.kill(node.popen.pid, signal.SIGSTOP)
    at = time.monotonic_ns()
    try:
        time.sleep(hold_s)
    finally:
        os.kill(node.popen.pid, signal.SIGCONT)
    return at
