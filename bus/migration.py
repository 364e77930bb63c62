"""Replica migration: a spare replica goes to a primary that has lost its own (cluster-migration-barrier)."""

from __future__ import annotations

from bus import ownership
from bus.state import Peer, State

PERIOD_MS = 500
"""The look at all nodes is not for every tick."""
ORPHAN_DELAY_MS = 5_000
"""How long a primary has been without replicas before one migrates to it."""


def tick(s: State) -> None:
    if s.now - s.orphans_sought_at < PERIOD_MS:
        return
    s.orphans_sought_at = s.now
    me = s.me
    healthy_of: dict[str, list[Peer]] = {}
    for one in s.peers.values():
        if one.primary_id is not None and one.reachable:
            healthy_of.setdefault(one.primary_id, []).append(one)
    orphans: list[Peer] = []
    most = 0
    for primary in s.voters():
        if not primary.reachable:
            continue
        healthy = healthy_of.get(primary.node_id, [])
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
    healthy = healthy_of.get(mine.node_id, [])
    if len(healthy) < max(2, most) or len(healthy) <= s.config.migration_barrier:
        return
    candidates = [
        one.node_id
        for primary in s.voters()
        if len(healthy_of.get(primary.node_id, [])) == most
        for one in healthy_of.get(primary.node_id, [])
    ]
    if me.node_id == min(candidates, default=""):
        target = min(orphans, key=lambda one: one.node_id)
        s.log("notice", f"Migrating to orphaned master {target.node_id}")
        ownership.follow(s, target)
