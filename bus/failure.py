"""Failure detection: from 'I cannot reach it' (PFAIL) to 'the majority cannot' (FAIL), and back.

Silence counts after the node timeout. A refused connection counts at once (unless cluster-fast-failover is off): a
process that is gone will not answer later. Either way a majority of the primaries has to say so. Only silence counts
of a node with which there was no link since this one started: it may be starting itself, as all do when a cluster is
brought up again. Source: the Redis Cluster specification, 'Failure detection'.
"""

from __future__ import annotations

from heapq import nsmallest

from bus import doubt, gossip
from bus.events import DownReason
from bus.messages import Fail, Heartbeat
from bus.state import Peer, State

REPORT_LIFETIMES = 2
"""A report holds for that many node timeouts."""
HEARERS = 8
"""So many primaries are told at once of a suspicion. It takes one of them to be there."""
FAST_CLEAR_MS = 3_000
"""With fast failover, how long a failed primary that has replicas stays failed although it talks again."""


def tick(s: State) -> None:
    oldest = s.now - s.config.node_timeout_ms
    silent = [
        peer for peer in s.peers.values() if peer.heard_at < oldest and peer is not s.me and peer.reachable
    ]
    for peer in silent:
        if peer.fresh:
            gossip.not_taken_in(s, peer)
        else:
            _suspect(s, peer, "silence")
    for node_id in list(s.suspects):
        check(s, s.peers[node_id])


def link_down(s: State, peer: Peer, reason: DownReason) -> None:
    """An attempt to connect to `peer` failed."""
    if reason != "refused" or not s.config.fast_failover:
        return
    peer.refused = True
    if peer.reachable and peer.was_there:
        _suspect(s, peer, "connection refused")


def _suspect(s: State, peer: Peer, why: str) -> None:
    peer.pfail = True
    s.suspects[peer.node_id] = None
    s.changed = True
    s.log("verbose", f"*** NODE {peer.node_id} possibly failing ({why})")
    if s.me.is_primary and s.me.slot_count:
        for other in _hearers(s, peer):
            gossip.ping(s, other)
    check(s, peer)


def _hearers(s: State, suspect: Peer) -> list[Peer]:
    """Who is told at once that `suspect` cannot be reached: as many primaries as suffice for one of them to gather a
    majority's word, and to say so to all, and the replicas that may stand for it. All others hear of it in the next
    heartbeat. All primaries choose the same, those whose ids are closest to the suspect's, but for whom they cannot
    reach. (Were everybody told by everybody, a tenth of a thousand nodes that falls silent would be a hundred million
    messages.)"""
    voters = [one for one in s.voters() if one is not s.me and one is not suspect and one.reachable]
    if len(voters) > HEARERS:
        number = int(suspect.node_id, 16)
        voters = nsmallest(HEARERS, voters, key=lambda one: int(one.node_id, 16) ^ number)
    return voters + [one for one in s.replicas_of(suspect) if one is not s.me and one.reachable]


def heard(s: State, peer: Peer) -> None:
    """`peer` said something: it lives."""
    peer.heard_at = s.now
    if peer.pfail:
        peer.pfail = False
        peer.refused = False
        s.suspects.pop(peer.node_id)
        s.changed = True
    if peer.fail:
        _clear_fail(s, peer)


def _clear_fail(s: State, peer: Peer) -> None:
    """A failed node talks. One that serves slots stays failed long enough for a replica to take over."""
    if peer.is_primary and peer.slot_count and s.replicas_of(peer):
        wait = REPORT_LIFETIMES * s.config.node_timeout_ms
        if s.config.fast_failover:
            wait = min(wait, FAST_CLEAR_MS)
        if s.now - peer.failed_at <= wait:
            return
    peer.fail = False
    s.suspects.toggle(peer.node_id, s.now)
    s.suspects.pop(peer.node_id)
    s.log("notice", f"Clear FAIL state for node {peer.node_id}: it is reachable again.")
    s.touch()


def on_heartbeat(s: State, sender: Peer, message: Heartbeat) -> None:
    """Note whom `sender` cannot reach, if its word counts."""
    if not (sender.is_primary and sender.slot_count):
        return
    if not message.suspects and not sender.reported:
        return  # as nearly always, in a cluster of any size
    suspects = set(message.suspects)
    for node_id in sender.reported - suspects if message.complete else ():
        peer = s.peers.get(node_id)
        if peer is not None and peer.fail and message.failed == s.suspects.failed:
            continue  # it says so by its digest
        sender.reported.discard(node_id)
        if peer is not None:
            peer.reports.pop(sender.node_id, None)
    for node_id in message.suspects:
        peer = s.peers.get(node_id)
        if peer is not None and peer is not s.me and peer is not sender:
            sender.reported.add(node_id)
            peer.reports[sender.node_id] = s.now
            check(s, peer)


def reports(s: State, peer: Peer) -> int:
    """How many other nodes report `peer` as failing."""
    oldest = s.now - REPORT_LIFETIMES * s.config.node_timeout_ms
    for reporter, when in list(peer.reports.items()):
        if when < oldest:
            del peer.reports[reporter]
    return len(peer.reports)


def check(s: State, peer: Peer) -> None:
    """Mark `peer` failed if we cannot reach it and a majority of the primaries says the same."""
    if not peer.pfail or peer.fail:
        return
    if reports(s, peer) + 1 < s.quorum:
        return
    voters = {one.node_id for one in s.voters()}
    count = sum(reporter in voters for reporter in peer.reports) + (s.me.node_id in voters)
    if count < s.quorum:
        return
    s.log("notice", f"Marking node {peer.node_id} as failing (quorum reached).")
    mark_failed(s, peer)
    s.broadcast(Fail(peer.node_id))


def mark_failed(s: State, peer: Peer) -> None:
    peer.pfail = False
    peer.fail = True
    s.suspects.toggle(peer.node_id, s.now)
    s.suspects[peer.node_id] = None
    peer.failed_at = s.now
    s.touch()


def on_fail(s: State, sender: Peer, message: Fail) -> None:
    peer = s.peers.get(message.node_id)
    if peer is s.me:
        doubt.accused(s)
    if peer is None or peer is s.me or peer.fail:
        return
    s.log("notice", f"FAIL message received from {sender.node_id} about {peer.node_id}")
    mark_failed(s, peer)
