"""Replica migration: a spare replica goes to a primary that has lost its own (cluster-migration-barrier)."""

from __future__ import annotations

from bus import ownership
from bus.state import Peer, State

ORPHAN_DELAY_MS = 5_000
"""How long a primary has been without replicas before one migrates to it."""


def tick(s: State) -> None:
    me = s.me
    orphans: list[Peer] = []
    most = 0
    for primary in s.voters():
        if not primary.reachable:
            continue
        healthy = _healthy_replicas(s, primary)
        most = max(most, len(healthy))
        if not healthy and primary.had_replicas:
            primary.orphaned_at = primary.orphaned_at or s.now
            if s.now - primary.orphaned_at > ORPHAN_DELAY_MS:
                orphans.append(primary)
        else:
            primary.orphaned_at = 0
    mine = s.primary_of(me)
    if mine is None or not orphans or not s.config.allow_replica_migration or not s.state_ok or mine.fail:
        return
    if s.holdings.loading:
        return
    healthy = _healthy_replicas(s, mine)
    if len(healthy) < max(2, most) or len(healthy) <= s.config.migration_barrier:
        return
    candidates = [
        one.node_id
        for primary in s.voters()
        if len(_healthy_replicas(s, primary)) == most
        for one in _healthy_replicas(s, primary)
    ]
    if me.node_id == min(candidates, default=""):
        target = min(orphans, key=lambda one: one.node_id)
        s.log("notice", f"Migrating to orphaned master {target.node_id}")
        ownership.follow(s, target)


def _healthy_replicas(s: State, primary: Peer) -> list[Peer]:
    return [one for one in s.replicas_of(primary) if one.reachable]
