"""Who may fail a primary over: one sentinel an epoch, elected by a majority of them and by the quorum.

A vote is on disk before anybody hears of it: otherwise a sentinel that starts again could give another in its epoch.
"""

from __future__ import annotations

from collections import Counter

from cluster.sentinel.events import Persist
from cluster.sentinel.state import MAX_DESYNC_MS, NONE, WAIT_START, Peer, Primary, State
from cluster.sentinel.upkeep import renamed

ANYBODY = "*"
"""Instead of a candidate: the question is only whether the primary is down."""


def vote(s: State, primary: Primary, epoch: int, candidate: str) -> tuple[str, int]:
    """Ask for our vote in `epoch`. For whom it is, '' for nobody yet, and in which epoch it was given."""
    if epoch > s.current_epoch:
        s.current_epoch = epoch
        s.persist()
        s.announce("warning", "+new-epoch", str(s.current_epoch), primary)
    if primary.leader_epoch < epoch and s.current_epoch <= epoch and not s.unsaved:
        primary.leader, primary.leader_epoch = candidate, s.current_epoch
        s.persist()
        s.announce("warning", "+vote-for-leader", f"{primary.leader} {primary.leader_epoch}", primary)
        if candidate != s.my_id:  # ours may wait: the one who has our vote is at it
            primary.failover_started_ms = s.now + s.rng.randrange(MAX_DESYNC_MS)
    return primary.leader, primary.leader_epoch


def majority(voters: int) -> int:
    return voters // 2 + 1


def leader(s: State, primary: Primary, epoch: int) -> str:
    """Who has been elected for `epoch`, '' for nobody (yet). Gives our own vote if it is still to be had."""
    votes = Counter(peer.leader for peer in primary.peers.values() if peer.leader and peer.leader_epoch == epoch)
    favourite = max(votes, key=lambda candidate: votes[candidate]) if votes else s.my_id
    mine, mine_epoch = vote(s, primary, epoch, favourite)
    if mine and mine_epoch == epoch and Persist() not in s.out:  # else it is on disk when the next tick comes
        votes[mine] += 1
    if not votes:
        return ""
    winner = max(votes, key=lambda candidate: votes[candidate])
    return winner if votes[winner] >= _needed(primary) else ""


def is_split(s: State, primary: Primary, epoch: int, *, over: bool) -> bool:
    """Whether enough have voted in `epoch` for somebody to win, and nobody has; nor, unless it is `over`, can anybody
    with the votes of those in reach that are not known yet."""
    given = [(one.leader, one.leader_epoch) for one in primary.peers.values()]
    given.append((primary.leader, primary.leader_epoch))
    votes = Counter(candidate for candidate, at in given if candidate and at == epoch)
    unknown = sum(1 for one in primary.peers.values() if one.leader_epoch != epoch and not one.s_down)
    most = max(votes.values(), default=0) + (0 if over else unknown)
    return most < _needed(primary) <= votes.total()


def _needed(primary: Primary) -> int:
    return max(majority(1 + len(primary.peers)), primary.quorum)


def ask_peers(s: State, primary: Primary) -> None:
    """Ask the others whether they, too, see `primary` down; with a failover of ours under way, for their vote: at once
    in an epoch in which they have not been asked."""
    stands = primary.stage != NONE and s.current_epoch <= s.epoch_on_disk
    at_once = stands and primary.stage == WAIT_START and primary.asked_epoch != s.current_epoch
    if at_once:
        primary.asked_epoch = s.current_epoch
    for peer in primary.peers.values():
        if not primary.s_down or peer.link.broken:
            continue
        recent = s.now - peer.last_answer_ms < s.periods.ask_period
        if not at_once and (recent or peer.asked):
            continue
        peer.asked = True
        s.send(
            peer, "ask", renamed(peer, "SENTINEL"), "is-master-down-by-addr", s.shown(primary.address),
            primary.address.port, s.current_epoch, s.my_id if stands else ANYBODY,
        )  # fmt: skip


def take_answer(s: State, peer: Peer, down: bool, leader_id: str, epoch: int) -> None:
    """What another sentinel says of our common primary."""
    peer.last_answer_ms = s.now
    peer.says_down = down
    if leader_id != ANYBODY:
        if peer.leader_epoch != epoch:
            s.note("warning", f"{peer.name} voted for {leader_id} {epoch}")
        peer.leader, peer.leader_epoch = leader_id, epoch
