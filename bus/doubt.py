"""Doubt of oneself: a primary that stood still, or was down, may have been replaced, and must know before it serves.

The others replace a primary they have not heard for the node timeout. A process that was stopped (SIGSTOP, a suspended
machine, a long command) cannot tell from its own sockets: what lies in them is from before. So a ping carries a serial
that its pong gives back, and a node knows of each peer when that one heard it at the earliest. Where no majority is
known to have heard this node within the node timeout, it asks all voters anew, and serves nothing until a majority has
answered with nothing in the answer that speaks against it. One that starts again asks everybody; when all have
answered so, there is nothing to wait for, and else it waits for two seconds.

A false alarm is cheap: for the round trip that this takes, clients wait. Only when the answers stay away, or one of
them says that this node has failed or lost its slots, are they told that the cluster is down.
"""

from __future__ import annotations

from bus import gossip
from bus.events import HoldClients, ReleaseClients
from bus.messages import CONTESTED, Heartbeat
from bus.state import Doubt, Peer, State

WRITABLE_DELAY_MS = 2_000
"""A primary that comes back waits so long for a word against it, or until everybody it knows has spoken for it."""
STALL_MS = 250
"""A longer gap between two events means that this process stood still: there is a tick every 100 ms."""
MIN_WAIT_MS = 500
MAX_WAIT_MS = 5_000
"""Whatever the node timeout is, a wait that follows from it lies between these."""


def bounded(wait_ms: int) -> int:
    return min(max(wait_ms, MIN_WAIT_MS), MAX_WAIT_MS)


def stood_still(s: State, gap_ms: int) -> None:
    """This process did nothing for that long. The others were not silent meanwhile; this node was."""
    heard_us_at = _heard_by_majority_at(s)
    for peer in s.others():
        peer.heard_at += gap_ms
    if not _serves(s) or s.now - heard_us_at < s.config.node_timeout_ms:
        return
    s.log("verbose", f"This process stood still for {gap_ms} ms: asking the others whether it still has its slots.")
    begin(s)


def come_back(s: State) -> None:
    """This node starts again: whoever it knew may have gone on without it, so all of them count as never heard."""
    s.returning = _serves(s) and len(s.peers) > 1
    if s.returning and s.size > 1:
        begin(s)


def accused(s: State) -> None:
    """A majority says that this node has failed: an election may follow."""
    if _serves(s) and s.size > 1:
        s.log("verbose", "Others say that this node has failed: asking them whether it still has its slots.")
        begin(s)


def _serves(s: State) -> bool:
    return s.me.is_primary and s.me.slots != 0


def _heard_by_majority_at(s: State) -> int:
    """When a majority of the voters, this node included, had heard this node at the earliest."""
    others = sorted((one.heard_us_at for one in s.voters() if one is not s.me), reverse=True)
    needed = s.quorum - 1
    return others[needed - 1] if needed else s.now


def begin(s: State) -> None:
    """Count only what is answered from now on. Clients that were served until now wait for it a while."""
    if s.doubt is not None:
        held_until = s.doubt.held_until
    elif s.state_ok:
        hold_ms = bounded(s.config.node_timeout_ms // 2)
        held_until = s.now + hold_ms
        s.out.append(HoldClients(hold_ms))
    else:
        held_until = 0
    s.doubt = Doubt(since=s.now, epoch=s.current_epoch, held_until=held_until)
    for peer in s.others():
        peer.probed_at = 0
    _ask(s)


def _ask(s: State) -> None:
    assert s.doubt is not None
    for peer in s.others() if s.returning else s.voters():
        if peer is not s.me and peer.node_id not in s.doubt.proven and gossip.may_probe(s, peer):
            gossip.ping(s, peer)


def on_heartbeat(s: State, peer: Peer, message: Heartbeat) -> None:
    """A pong that answers what was asked since the doubt began, and says nothing against this node, is a proof."""
    doubt = s.doubt
    if doubt is None or not message.serial or message.kind != "pong" or peer.heard_us_at < doubt.since:
        return
    if message.epoch > doubt.epoch:
        # There was an election this node knows nothing of. If it was about its own slots, that is about to come.
        doubt.epoch = message.epoch
        doubt.proven.clear()
    elif s.me.node_id in message.suspects or message.flags & CONTESTED:
        doubt.proven.discard(peer.node_id)
        _stop_holding(s, doubt, trusted=False)
        s.recheck = True
    else:
        doubt.proven.add(peer.node_id)
        s.recheck = True


def tick(s: State) -> None:
    if s.doubt is not None:
        _ask(s)


def settle(s: State) -> None:
    """End the doubt where a majority has spoken for this node, and the clients' patience where it is over."""
    doubt = s.doubt
    if doubt is None:
        return
    proven = 1 + sum(one.node_id in doubt.proven for one in s.voters())
    if not _serves(s) or (proven >= s.quorum and not _waits_for_everybody(s, doubt)):
        s.doubt = None
        _stop_holding(s, doubt, trusted=_serves(s))
    elif s.now >= doubt.held_until:
        _stop_holding(s, doubt, trusted=False)


def _waits_for_everybody(s: State, doubt: Doubt) -> bool:
    """Whether a node that comes back may still hear of an election: of one that a replica is about to ask votes for,
    too, which a majority may know nothing of yet."""
    if not s.returning or s.now - s.started_at >= WRITABLE_DELAY_MS:
        return False
    return any(one.node_id not in doubt.proven for one in s.others())


def _stop_holding(s: State, doubt: Doubt, *, trusted: bool) -> None:
    if doubt.held_until:
        doubt.held_until = 0
        s.out.append(ReleaseClients(trusted))
