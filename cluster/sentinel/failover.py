"""A failover, stage by stage: choose a replica, promote it, let the others follow it."""

from __future__ import annotations

from cluster.sentinel.election import is_split, leader
from cluster.sentinel.events import Crash, NoteDelay
from cluster.sentinel.members import switch
from cluster.sentinel.state import (
    ELECTED,
    MAX_DESYNC_MS,
    NONE,
    RECONFIGURE,
    SELECT_REPLICA,
    SEND_PROMOTION,
    UPDATE_CONFIG,
    WAIT_PROMOTION,
    WAIT_START,
    Address,
    DataServer,
    Primary,
    Replica,
    State,
)
from cluster.sentinel.upkeep import ask_info, renamed

NEXT_TRY_TIMEOUTS = 2
"""Between two failovers of one primary so many failover-timeouts pass."""
FRESH_PINGS = 5
"""A replica that has not answered for so many ping-periods is not promoted, nor, with the primary down, one whose
INFO is older."""
FRESH_INFOS = 3
DISCONNECTED_TIMES = 10
"""A replica may have lost its primary for so many down-after-milliseconds before we did."""


def start_if_needed(s: State, primary: Primary) -> None:
    if not primary.o_down or primary.failing_over or s.unsaved:
        return
    begun = primary.failover_started_ms
    if begun is not None:
        until = begun + NEXT_TRY_TIMEOUTS * primary.failover_timeout_ms
        if s.now < until:
            if primary.delay_noted_ms != begun:
                primary.delay_noted_ms = begun
                s.out.append(NoteDelay(until))
            return
    start(s, primary)


def start(s: State, primary: Primary) -> None:
    primary.failing_over = True
    _enter(s, primary, WAIT_START)
    s.current_epoch += 1
    primary.failover_epoch = s.current_epoch
    s.persist()
    s.announce("warning", "+new-epoch", str(s.current_epoch), primary)
    s.tell("warning", "+try-failover", primary)
    primary.failover_started_ms = s.now + s.rng.randrange(MAX_DESYNC_MS)


def abort(s: State, primary: Primary) -> None:
    primary.failing_over = primary.forced = False
    _enter(s, primary, NONE)
    if primary.promoted is not None:
        primary.promoted.promoted = False
        primary.promoted = None


def advance(s: State, primary: Primary) -> None:
    """Go on with the failover of `primary`, if there is one."""
    if not primary.failing_over or s.unsaved:
        return
    if primary.stage == WAIT_START:
        _wait_start(s, primary)
    elif primary.stage == SELECT_REPLICA:
        _select(s, primary)
    elif primary.stage == SEND_PROMOTION:
        _promote(s, primary)
    elif primary.stage == WAIT_PROMOTION:
        if s.now - primary.stage_since_ms > primary.failover_timeout_ms:
            _give_up(s, primary, "-failover-abort-slave-timeout")
    elif primary.stage == RECONFIGURE:
        _reconfigure(s, primary)


def finish(s: State, primary: Primary) -> None:
    """The failover is over: the promoted replica is the primary, in name, too."""
    if primary.stage == UPDATE_CONFIG:
        switch(s, primary, primary.current_address)


def _enter(s: State, primary: Primary, stage: int) -> None:
    primary.stage, primary.stage_since_ms = stage, s.now


def _give_up(s: State, primary: Primary, event: str) -> None:
    s.tell("warning", event, primary)
    abort(s, primary)


def _wait_start(s: State, primary: Primary) -> None:
    if not primary.forced:  # the others are asked for their votes in the current epoch, and only those of one count
        primary.failover_epoch = s.current_epoch
    elected = leader(s, primary, primary.failover_epoch)
    if elected != s.my_id and not primary.forced:
        patience = min(s.periods.election_timeout, primary.failover_timeout_ms)
        over = s.now - (primary.failover_started_ms or 0) > patience
        split = is_split(s, primary, primary.failover_epoch, over=over)
        if over or split:
            _give_up(s, primary, "-failover-abort-not-elected")
            if split:  # the next may well be won, and should not wait long
                primary.failover_started_ms = s.now - NEXT_TRY_TIMEOUTS * primary.failover_timeout_ms
                primary.failover_started_ms += s.rng.randrange(MAX_DESYNC_MS)
        return
    s.tell("warning", "+elected-leader", primary)
    if ELECTED in s.failures:
        s.out.append(Crash())
    _enter(s, primary, SELECT_REPLICA)
    s.tell("warning", "+failover-state-select-slave", primary)


def _select(s: State, primary: Primary) -> None:
    replica = choose_replica(s, primary)
    if replica is None:
        _give_up(s, primary, "-failover-abort-no-good-slave")
        return
    s.tell("warning", "+selected-slave", replica)
    replica.promoted = True
    primary.promoted = replica
    _enter(s, primary, SEND_PROMOTION)
    s.tell("notice", "+failover-state-send-slaveof-noone", replica)


def choose_replica(s: State, primary: Primary) -> Replica | None:
    """The best of those that can be promoted: by priority (0: never), then by offset, then by run id."""
    periods = s.periods
    behind_ms = DISCONNECTED_TIMES * primary.down_after_ms
    info_ms = FRESH_INFOS * periods.info_period
    if primary.s_down:
        behind_ms += s.now - (primary.lost_since_ms or primary.s_down_since_ms)
        info_ms = FRESH_PINGS * periods.ping_period
    good = [
        replica for replica in primary.replicas.values()
        if not replica.s_down and not replica.link.broken and replica.priority
        and s.now - replica.link.last_available_ms <= FRESH_PINGS * periods.ping_period
        and s.now - replica.info_at_ms <= info_ms and replica.link_down_ms <= behind_ms
    ]  # fmt: skip
    return min(good, key=_rank, default=None)


def _rank(replica: Replica) -> tuple[int, int, bool, str]:
    return replica.priority, -replica.offset, not replica.run_id, replica.run_id.lower()


def _promote(s: State, primary: Primary) -> None:
    replica = primary.promoted
    assert replica is not None
    if replica.link.broken:
        if s.now - primary.stage_since_ms > primary.failover_timeout_ms:
            _give_up(s, primary, "-failover-abort-slave-timeout")
        return
    send_replicaof(s, replica, None)
    s.tell("notice", "+failover-state-wait-promotion", replica)
    _enter(s, primary, WAIT_PROMOTION)
    ask_info(s, replica)  # behind the transaction, so it tells of what that has done


def send_replicaof(s: State, server: DataServer, address: Address | None) -> None:
    """Make it a replica of `address`, or (None) a primary: in one transaction with what has to go along. The file must
    say the same, and clients must ask a sentinel again, even those that wait or only listen."""
    target = ("NO", "ONE") if address is None else (s.shown(address), address.port)
    s.send(server, "", renamed(server, "MULTI"))
    s.send(server, "", renamed(server, "SLAVEOF"), *target)
    s.send(server, "", renamed(server, "CONFIG"), "REWRITE")
    for kind in ("normal", "pubsub"):
        s.send(server, "", renamed(server, "CLIENT"), "KILL", "TYPE", kind)
    s.send(server, "", renamed(server, "EXEC"))


def _reconfigure(s: State, primary: Primary) -> None:
    """Let the other replicas follow the promoted one, parallel-syncs at a time."""
    promoted = primary.promoted
    assert promoted is not None
    for replica in primary.replicas.values():  # first: who was told and never comes must not keep the others waiting
        waited = s.now - replica.reconfigured_ms
        if replica.reconfiguration == "sent" and waited > s.periods.slave_reconf_timeout:
            s.tell("notice", "-slave-reconf-sent-timeout", replica)
            replica.reconfiguration = "done"
    at_it = sum(1 for replica in primary.replicas.values() if replica.reconfiguration in ("sent", "inprog"))
    for replica in primary.replicas.values():
        if at_it >= primary.parallel_syncs:
            break
        if replica.promoted or replica.reconfiguration or replica.link.broken:
            continue
        _tell_to_follow(s, replica, promoted, "+slave-reconf-sent")
        at_it += 1
    _detect_end(s, primary, promoted)


def _tell_to_follow(s: State, replica: Replica, promoted: Replica, event: str) -> None:
    send_replicaof(s, replica, promoted.address)
    replica.reconfiguration, replica.reconfigured_ms = "sent", s.now
    s.tell("notice", event, replica)


def _detect_end(s: State, primary: Primary, promoted: Replica) -> None:
    """It is over when all others follow, when it has taken too long, or when the promoted one is down itself."""
    left = [one for one in primary.replicas.values() if not one.promoted and one.reconfiguration != "done"]
    late = s.now - primary.stage_since_ms > primary.failover_timeout_ms
    if promoted.s_down:
        over = late or s.now - promoted.s_down_since_ms > promoted.down_after_ms
    else:
        over = late or all(replica.s_down for replica in left)
    if not over:
        return
    if late:
        s.tell("warning", "+failover-end-for-timeout", primary)
    s.tell("warning", "+failover-end", primary)
    _enter(s, primary, UPDATE_CONFIG)
    if late:
        for replica in left:
            if not replica.reconfiguration and not replica.link.broken:
                _tell_to_follow(s, replica, promoted, "+slave-reconf-sent-be")
