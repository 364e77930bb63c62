"""Whether this node may serve: every slot has a living owner, and this node is on the side of the majority."""

from __future__ import annotations

from bus import doubt, returning
from bus.events import ClusterStateChanged
from bus.slots import ALL_SLOTS
from bus.state import State


def update(s: State) -> None:
    s.recheck = False
    doubt.settle(s)
    if s.doubt is not None and s.doubt.held_until:
        return  # the clients wait for what comes of it
    if s.returning:
        if s.me.is_primary and (s.holdings.loading or s.doubt is not None or _may_learn_more(s) or returning.waits(s)):
            return
        s.returning = False
        s.changed = True
    reason = _reason(s)
    if reason == "minority":
        s.minority_at = s.now
    if not reason:
        if s.state_ok:
            return
        if s.me.is_primary and s.minority_at is not None:
            if s.now - s.minority_at < doubt.bounded(s.config.node_timeout_ms):
                return
    elif not s.state_ok and s.down_reason == reason:
        return
    ok = not reason
    s.changed = True
    s.down_reason = reason
    if ok != s.state_ok:
        s.state_ok = ok
        s.log("notice" if ok else "warning", f"Cluster state changed: {'ok' if ok else 'fail'}")
        s.out.append(ClusterStateChanged(ok))


def _may_learn_more(s: State) -> bool:
    """Whether somebody may still be about to say what this node has missed."""
    if s.now - s.started_at >= doubt.WRITABLE_DELAY_MS:
        return False
    return not all(peer.digest for peer in s.others())  # what each announced since our start


def _reason(s: State) -> str:
    voters = s.voters()
    suspected = [s.peers[node_id] for node_id in s.suspects]
    reachable = len(voters) - sum(one.is_primary and one.slots != 0 for one in suspected)
    if s.doubt is not None or (voters and reachable < s.quorum):
        return "minority"
    if s.config.require_full_coverage:
        if s.served_slots != ALL_SLOTS or any(one.fail and one.is_primary and one.slots for one in suspected):
            return "slots"
    return ""
