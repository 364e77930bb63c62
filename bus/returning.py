"""A primary that comes back with older data than a replica of its has: that one is to take over, not to be wiped.

A primary that is started again within the node timeout keeps its slots, and its replicas follow it: what it did not
find on its disk (an old snapshot, or none) would be deleted on them, too. So before it serves, and before any replica
may synchronise with it, it asks its replicas what they hold. One that holds more is asked to take over, by an election
as of a manual failover, and this node becomes its replica. The rule:

- In one history (replication id) the greater offset has more.
- Otherwise a replica has more if it was in step with its primary later than this node's data are of. A snapshot is of
  when it was begun; an append-only file with keys is of now, since it is what this node promised its clients.
- A node without keys has less than one with keys, and no more than anybody.

While a newer replica can be reached and has not won, this node does not serve. It waits for replicas that are loading
for a node timeout, and for others as long as any primary that comes back (bus/doubt.py). Replicas that may not fail
over (cluster-replica-no-failover) are not asked.
"""

from __future__ import annotations

from dataclasses import replace

from bus import doubt, election
from bus.events import LinkId
from bus.messages import Data, DataQuestion, TakeOver
from bus.state import Peer, State

ASK_AGAIN_MS = 200
COMPLETE = 0
"""The age of data that are all that this node ever promised: those of an append-only file."""
OFFER_AGAIN_MS = 5_000
"""An election that was asked for has come to something by then."""


def is_newer(theirs: Data, mine: Data) -> bool:
    """Whether a replica's data must not be replaced by its primary's. The ages are of one moment."""
    if not (theirs.has_keys or mine.has_keys):
        return False
    if mine.replid and theirs.replid == mine.replid:
        return theirs.offset > mine.offset
    if theirs.age_ms is not None:
        return mine.age_ms is None or theirs.age_ms < mine.age_ms
    return theirs.has_keys and not mine.has_keys


def _mine(s: State) -> Data:
    """What this node holds, as of now."""
    data = s.holdings.mine
    if data is None or s.holdings.loading:
        return Data("", 0, None, has_keys=False, is_loading=s.holdings.loading)
    return data if data.age_ms is None else replace(data, age_ms=data.age_ms + s.now - s.holdings.mine_at)


def holds(s: State, data: Data) -> None:
    """The node says what it holds."""
    s.holdings.mine, s.holdings.mine_at = data, s.now


def loaded(s: State, data: Data) -> None:
    """The data are there."""
    s.holdings.loading = False
    s.holdings.ready_at = s.now
    s.recheck = True
    holds(s, data)
    tick(s)


# -- the primary's side ------------------------------------------------------------------------------------------


def tick(s: State) -> None:
    if not _may_lack_something(s):
        return
    if s.now - s.holdings.asked_at >= ASK_AGAIN_MS:
        s.holdings.asked_at = s.now
        for one in _successors(s):
            answer = s.holdings.of_replicas.get(one.node_id)
            if answer is None or answer.is_loading:
                s.send(one, DataQuestion())
    best = _newest(s)
    if best is not None and (not s.holdings.offered_at or s.now - s.holdings.offered_at >= OFFER_AGAIN_MS):
        s.holdings.offered_at = s.now
        theirs = s.holdings.of_replicas[best.node_id]
        s.log("warning", f"The data of my replica {best.node_id} are newer than mine (its offset is {theirs.offset}, "
                         f"mine {_mine(s).offset}): asking it to take over.")
        s.send(best, TakeOver())


def waits(s: State) -> bool:
    """Whether a replica has newer data, or may turn out to have."""
    return _may_lack_something(s) and (_newest(s) is not None or any(_may_be_newer(s, one) for one in _successors(s)))


def _may_lack_something(s: State) -> bool:
    """Whether this node comes back, and its data are there and not those of the moment it went."""
    mine = s.holdings.mine
    return s.returning and not s.holdings.loading and mine is not None and mine.age_ms != COMPLETE


def _successors(s: State) -> list[Peer]:
    return [one for one in s.replicas_of(s.me) if one.reachable and not one.nofailover]


def _newest(s: State) -> Peer | None:
    """The replica that has most of what this node has not."""
    newer = [one for one in _successors(s) if one.node_id in s.holdings.newer]
    return max(newer, key=lambda one: (s.holdings.of_replicas[one.node_id].offset, one.node_id), default=None)


def _may_be_newer(s: State, replica: Peer) -> bool:
    answer = s.holdings.of_replicas.get(replica.node_id)
    waited = s.now - s.holdings.ready_at
    if answer is None:
        return waited < doubt.WRITABLE_DELAY_MS
    return answer.is_loading and waited < s.config.node_timeout_ms


def on_data(s: State, sender: Peer, message: Data) -> None:
    if not _may_lack_something(s):
        return
    s.holdings.of_replicas[sender.node_id] = message
    s.holdings.newer.discard(sender.node_id)
    if not message.is_loading and is_newer(message, _mine(s)):
        s.holdings.newer.add(sender.node_id)
    s.recheck = True
    tick(s)


# -- the replica's side ------------------------------------------------------------------------------------------


def on_question(s: State, link_id: LinkId) -> None:
    s.reply(link_id, _mine(s))


def on_take_over(s: State, sender: Peer) -> None:
    if sender.node_id != s.me.primary_id or s.holdings.loading or s.config.replica_no_failover or s.manual is not None:
        return
    s.log("warning", f"My primary {sender.node_id} came back with older data than mine, and asks me to take over.")
    election.begin_at_once(s)
