"""Elections: a replica asks the primaries to be its failed primary's successor; and manual failover.

One vote an epoch, on disk before it is sent; a majority of the primaries that serve slots wins. Where many primaries
fail at once their replicas get into each other's epochs: who has not won asks again half a second to a second later,
and has the votes of those who gave it theirs before, where Redis has it wait for four node timeouts. Source: the Redis
Cluster specification, 'Replica election and promotion'. What differs from Redis: the replica with the most data asks
first and hardly waits, since a FAIL is broadcast on the same links before the request is. Which one that is must not be
taken from old heartbeats: a replica waits until the others of its primary have told it their offsets anew, for as long
as Redis would wait in any case.
"""

from __future__ import annotations

from bus import gossip, ownership
from bus.due import Save
from bus.events import BecomePrimary, LinkId, Paused, PauseWrites
from bus.messages import PAUSED, Fail, Heartbeat, ManualFailoverStart, Vote, VoteRequest
from bus.slots import bits_of, slots_of_bits
from bus.state import Election, ManualFailover, Peer, State

DELAY_MS = 20
JITTER_MS = 60
AGAIN_MS = 500
"""Votes that have not come after that and a chance part of it are asked for anew, in another epoch; then after twice
that time, and so on."""
RANK_DELAY_MS = 200
"""A replica waits that much longer for each other replica of its primary that has more data."""
OFFSETS_WAIT_MS = 500
"""How long a replica that is in reach may take to tell its offset before the election goes on without it."""
MIN_TIMEOUT_MS = 2_000
REPLICATION_PING_MS = 10_000
MANUAL_TIMEOUT_MS = 5_000
MANUAL_PAUSE_MS = 2 * MANUAL_TIMEOUT_MS


def _timeout(s: State) -> int:
    return max(2 * s.config.node_timeout_ms, MIN_TIMEOUT_MS)


# -- the replica's side ------------------------------------------------------------------------------------------


def tick(s: State) -> None:
    _tick_manual(s)
    primary = s.primary_of(s.me)
    if primary is None or s.holdings.loading:
        return
    manual = s.manual is not None and s.manual.can_start and not s.manual.replica_id
    if not manual and (not primary.fail or s.config.replica_no_failover):
        if not primary.fail:
            s.election, s.excuse = None, ""
        return
    if not primary.slot_count or not (manual or _is_fit(s)):
        return
    election = s.election
    if election is None or s.now > election.start_at + 2 * _timeout(s):
        _schedule(s, primary, manual)
        return
    if election.over:
        return
    if not election.asked:
        if not manual:
            _update_rank(s, primary, election)
        if s.now >= election.start_at and (manual or _may_go_first(s, primary, election)):
            _ask(s, primary, election, manual)
    elif s.now > election.start_at + _timeout(s):
        s.log("warning", "Failover attempt expired.")
        election.over = True
    elif s.now >= election.again_at and s.down_reason != "minority" and (manual or _may_go_first(s, primary, election)):
        _ask(s, primary, election, manual)
    else:
        _send_requests(s, primary, election, manual)


def _is_fit(s: State) -> bool:
    """Whether this replica's data are its primary's and young enough (cluster-replica-validity-factor)."""
    factor = s.config.replica_validity_factor
    if not factor:
        return True
    timeout, age = s.config.node_timeout_ms, s.data_age_ms
    if age is None:
        excuse = "the link to the primary was never up, so the data here may not be its"
    elif age - timeout > REPLICATION_PING_MS + timeout * factor:
        excuse = f"the link to the primary has been down for too long (cluster-replica-validity-factor is {factor})"
    else:
        excuse = ""
    if excuse and excuse != s.excuse:
        s.log("warning", f"Not standing for election: {excuse}.")
    s.excuse = excuse
    return not excuse


def _rank(s: State, primary: Peer) -> int:
    """How many replicas of our primary should go first: those with more data, ids breaking the tie."""
    mine = (-s.me.offset, s.me.node_id)
    return sum(
        (-one.offset, one.node_id) < mine
        for one in s.replicas_of(primary)
        if one is not s.me and one.reachable and not one.nofailover
    )


def _may_go_first(s: State, primary: Peer, election: Election) -> bool:
    """Whether nobody who has more data is still to be waited for: the others in reach have told how much they have
    since the primary failed, or had the time to. Where no write may be lost they are waited for however long it takes,
    and whoever has more goes first, and not only earlier."""
    strict = s.config.strict_rank
    if strict and _rank(s, primary):
        return False
    return (not strict and s.now >= election.scheduled_at + OFFSETS_WAIT_MS) or all(
        one.heard_us_at >= election.scheduled_at
        for one in s.replicas_of(primary)
        if one is not s.me and one.reachable and not one.nofailover
    )


def _schedule(s: State, primary: Peer, manual: bool) -> None:
    rank = 0 if manual else _rank(s, primary)
    delay = 0 if manual else DELAY_MS + s.rng.randrange(JITTER_MS) + rank * RANK_DELAY_MS
    s.election = Election(scheduled_at=s.now, start_at=s.now + delay, rank=rank)
    s.log(
        "notice", f"Start of election delayed for {delay} milliseconds (rank #{rank}, offset {s.me.offset})."
    )
    for other in s.replicas_of(primary):
        if other is not s.me:
            other.probed_at = 0
            gossip.ping(s, other)  # they rank themselves by our offset, and we by theirs
    if manual:
        tick(s)


def _update_rank(s: State, primary: Peer, election: Election) -> None:
    rank = _rank(s, primary)
    if rank > election.rank:
        election.start_at = max(election.start_at, s.now) + (rank - election.rank) * RANK_DELAY_MS
        election.rank = rank
        s.log("notice", f"Replica rank updated to #{rank}, election delayed further.")


def _ask(s: State, primary: Peer, election: Election, manual: bool) -> None:
    s.current_epoch += 1
    election.epoch = s.current_epoch
    election.asked = True
    election.votes.clear()
    election.asked_by.clear()
    election.again_at = s.now + (AGAIN_MS << election.attempts) + s.rng.randrange(AGAIN_MS)
    election.attempts += 1
    # Its own vote is given: once it has won it is a voter, and the same epoch must not be won by another with its help.
    s.last_vote_epoch, s.voted_for = election.epoch, s.me.node_id
    s.touch(Save.SYNCED)
    s.log("notice", f"Starting a failover election for epoch {election.epoch}.")
    _send_requests(s, primary, election, manual)


def _send_requests(s: State, primary: Peer, election: Election, manual: bool) -> None:
    """Ask whoever was not asked over the link there is to it: it may be new, and what the last one carried, lost."""
    request = VoteRequest(election.epoch, primary.config_epoch, s.ranges(primary), forced=manual)
    for peer in s.others():
        if peer.link is not None and election.asked_by.get(peer.node_id) != peer.link:
            election.asked_by[peer.node_id] = peer.link
            if primary.fail:
                s.send(peer, Fail(primary.node_id))
            s.send(peer, request)


def on_vote(s: State, sender: Peer, message: Vote) -> None:
    election = s.election
    if election is None or election.over or not election.asked or message.epoch != election.epoch:
        return
    if not (sender.is_primary and sender.slot_count):
        return
    election.votes.add(sender.node_id)
    # Who has lost its seat since is no voter any more, and its successor in that seat may vote for another.
    if sum(one.node_id in election.votes for one in s.voters()) < s.quorum:
        return
    primary = s.primary_of(s.me)
    if primary is not None:
        s.log("notice", f"Failover election won: I'm the new master. configEpoch set to {election.epoch}.")
        take_over(s, primary, election.epoch)


def take_over(s: State, primary: Peer, epoch: int) -> None:
    """Be the primary of what was `primary`'s."""
    me = s.me
    me.primary_id = None
    me.config_epoch = epoch
    me.had_replicas = True
    s.own(primary.slots, me)
    s.election = None
    s.manual = None
    s.touch(Save.SYNCED, announce=True)
    s.out.append(BecomePrimary())


# -- the voters' side --------------------------------------------------------------------------------------------


def on_vote_request(s: State, sender: Peer, link_id: LinkId, message: VoteRequest) -> None:
    if message.epoch == s.last_vote_epoch and sender.node_id == s.voted_for:
        s.reply(link_id, Vote(message.epoch))  # it asks again, as the vote was lost with its link
        return
    refusal = _refusal(s, sender, message)
    if refusal:
        s.log("notice", f"Failover auth denied to {sender.node_id}: {refusal}")
        ownership.tell_owners(s, sender, bits_of(message.slots), message.config_epoch)
        return
    primary = s.primary_of(sender)
    assert primary is not None
    primary.voted_at, primary.voted_for = s.now, sender.node_id
    s.last_vote_epoch, s.voted_for = message.epoch, sender.node_id
    s.touch(Save.SYNCED)
    s.log("notice", f"Failover auth granted to {sender.node_id} for epoch {message.epoch}")
    s.reply(link_id, Vote(message.epoch))


def _refusal(s: State, sender: Peer, message: VoteRequest) -> str:
    """Why `sender` does not get this node's vote; '' when it does."""
    if not (s.me.is_primary and s.me.slot_count):
        return "I serve no slots"
    if message.epoch < s.current_epoch:
        return f"reqEpoch ({message.epoch}) < curEpoch({s.current_epoch})"
    if s.last_vote_epoch >= message.epoch:
        return f"already voted for epoch {s.last_vote_epoch}"
    primary = s.primary_of(sender)
    if primary is None:
        return "it is no replica of a primary I know"
    if not primary.fail and not message.forced:
        return "its master is up"
    # Who stands again has not won: others had the same epoch, and some of the votes.
    if primary.voted_at is not None and primary.voted_for != sender.node_id and not message.forced:
        if s.now - primary.voted_at < 2 * s.config.node_timeout_ms:
            return "can't vote about this master before long"
    claimed = bits_of(message.slots)
    for owner in s.peers.values():
        newer = owner.slots & claimed
        if newer and owner.config_epoch > message.config_epoch:
            slot = next(slots_of_bits(newer))
            return f"slot {slot} epoch ({owner.config_epoch}) > reqConfigEpoch ({message.config_epoch})"
    return ""


# -- manual failover ---------------------------------------------------------------------------------------------


def start_manual(s: State, primary: Peer, mode: str) -> None:
    """CLUSTER FAILOVER on a replica."""
    s.manual = ManualFailover(end_at=s.now + MANUAL_TIMEOUT_MS)
    s.election = None
    if mode == "takeover":
        s.log("notice", "Taking over the master (user request).")
        s.current_epoch = ownership.max_epoch(s) + 1
        take_over(s, primary, s.current_epoch)
    elif mode == "force":
        s.log("notice", "Forced failover user request accepted.")
        begin_at_once(s)
    else:
        s.log("notice", "Manual failover user request accepted.")
        s.send(primary, ManualFailoverStart())


def begin_at_once(s: State) -> None:
    """Ask for the votes although the primary has not failed."""
    s.manual = ManualFailover(end_at=s.now + MANUAL_TIMEOUT_MS, can_start=True)
    s.election = None
    tick(s)


def on_manual_start(s: State, sender: Peer) -> None:
    """A replica of ours wants to take over: hold the writes, so that it can have everything."""
    if sender.primary_id != s.me.node_id or not s.me.is_primary or s.holdings.loading:
        return
    s.log("notice", f"Manual failover requested by replica {sender.node_id}.")
    s.manual = ManualFailover(end_at=s.now + MANUAL_TIMEOUT_MS, replica_id=sender.node_id)
    s.out.append(PauseWrites(MANUAL_PAUSE_MS))


def on_paused(s: State, event: Paused) -> None:
    s.me.offset = event.offset
    if s.manual is not None and s.manual.replica_id:
        s.manual.paused = True
        replica = s.peers.get(s.manual.replica_id)
        if replica is not None:
            gossip.ping(s, replica)


def on_primary_heartbeat(s: State, message: Heartbeat) -> None:
    """Our primary says where its data ends. (It may still ask for acknowledgements: its last word counts.)"""
    manual = s.manual
    if manual is None or manual.replica_id or manual.offset == message.offset or not message.flags & PAUSED:
        return
    manual.offset = message.offset
    s.log("notice", f"Received replication offset for paused master manual failover: {message.offset}")
    on_offset(s)


def on_offset(s: State) -> None:
    """Our own offset moved: everything of the paused primary may have arrived.

    Only over a link that is up do the two offsets count the bytes of one history.
    """
    manual = s.manual
    if manual is None or manual.replica_id or manual.can_start or manual.offset is None:
        return
    if s.primary_link_up and s.me.offset == manual.offset:
        manual.can_start = True
        s.log("notice", "All master replication stream processed, manual failover can start.")
        tick(s)


def _tick_manual(s: State) -> None:
    manual = s.manual
    if manual is None:
        return
    if s.now > manual.end_at:
        s.log("warning", "Manual failover timed out.")
        ownership.end_manual(s)
    elif manual.paused:
        replica = s.peers.get(manual.replica_id)
        if replica is not None:
            gossip.ping(s, replica)
