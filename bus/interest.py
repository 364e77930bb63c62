"""Who listens to what: published messages go to those nodes only whose clients may want them.

A node tells its peers the slots of the channels its clients listen to (one bit a slot, however many channels; a
pattern wants everything). What is new it says at once and as a difference, before its own client is told that it
listens; what is no longer wanted it says later, whole, once a second at most, so subscriptions that come and go cost
nothing. Heartbeats carry the version of the picture. A peer whose picture is not known, or not the latest, is sent
everything: nothing known is never taken for nothing wanted.

What was published a moment ago is kept until whatever lay unread in our links has been handled (`Settled`): a peer
whose word of a new subscription had arrived but was not read yet still gets it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bus.events import Deliver, Listen, Publish, Settled
from bus.messages import ITEMS_LIMIT, WANT_INTEREST, Interest, Item, Messages
from bus.state import Peer, State
from bus.view import SLOT_COUNT

WHOLE_PERIOD_MS = 1_000
"""At most once in that time the whole picture is told to everybody."""
ASK_PERIOD_MS = 500
"""A peer is asked for its picture at most once in that time."""
RECENT_LIMIT = 4_096
RECENT_LIMIT_BYTES = 1 << 20
"""What was published a moment ago is kept up to there; under such a load the oldest is hardly a moment old."""
BATCH_BYTES = 1 << 16
"""Messages are sent together up to this size."""
_NOTHING = bytes(SLOT_COUNT // 8)


@dataclass(slots=True)
class Recent:
    """A published message, and who got it."""

    serial: int
    slot: int
    item: Item
    sent_to: set[str] = field(default_factory=set)


# -- our own interest --------------------------------------------------------------------------------------------


def listen(s: State, event: Listen) -> None:
    """Our clients' subscriptions have changed: the peers hear at once of what is new."""
    mine = s.listening
    mine.slots, mine.everything = event.slots, event.everything
    added = mine.slots & ~mine.told_slots
    if added or (mine.everything and not mine.told_everything):
        base = mine.version
        mine.version += 1
        mine.told_slots |= added
        mine.told_everything |= mine.everything
        s.broadcast(Interest(mine.version, base, mine.everything, added))


def tick(s: State) -> None:
    """What nobody listens to any more is told by and by."""
    mine = s.listening
    told = mine.told_slots == mine.slots and mine.told_everything == mine.everything
    if not told and s.now - mine.whole_at >= WHOLE_PERIOD_MS:
        mine.whole_at = s.now
        mine.version += 1
        mine.told_slots, mine.told_everything = mine.slots, mine.everything
        s.broadcast(picture(s))


def picture(s: State) -> Interest:
    mine = s.listening
    return Interest(mine.version, 0, mine.told_everything, mine.told_slots)


# -- the peers' ------------------------------------------------------------------------------------------------


def unsure(peer: Peer | None) -> None:
    """The link over which a peer tells us of its interest is new, or gone."""
    if peer is not None:
        peer.interest_version = -1
        peer.interest_heard_of = 0


def on_version(s: State, peer: Peer, version: int) -> int:
    """What to ask a peer for, whose heartbeat names that version. An older one was overtaken on its way."""
    peer.interest_heard_of = max(peer.interest_heard_of, version)
    if version <= peer.interest_version:
        return 0
    if version == 0:  # nobody has listened to anything there
        _know(peer, 0, False, _NOTHING)
        return 0
    if peer.asked_interest_at and s.now - peer.asked_interest_at < ASK_PERIOD_MS:
        return 0
    peer.asked_interest_at = s.now
    return WANT_INTEREST


def on_interest(s: State, peer: Peer, message: Interest) -> None:
    """A peer says what its clients listen to, or (with a base) what they listen to since then."""
    if message.version <= peer.interest_version:
        return
    peer.interest_heard_of = max(peer.interest_heard_of, message.version)
    # Else something is missing in between: the next heartbeat shows it, and we ask.
    if not message.base or message.base == peer.interest_version:
        wanted = message.slots
        if message.base:
            wanted |= int.from_bytes(peer.listens_to, "little")
        everything = message.everything or (bool(message.base) and peer.listens_to_all)
        _know(peer, message.version, everything, wanted.to_bytes(SLOT_COUNT // 8, "little"))
    _catch_up(s, peer)


def _know(peer: Peer, version: int, everything: bool, slots: bytes) -> None:
    peer.interest_version = version
    peer.listens_to_all, peer.listens_to = everything, slots


def _wants(peer: Peer, slot: int) -> bool:
    if peer.interest_version < peer.interest_heard_of:  # also when nothing is known yet
        return True
    return peer.listens_to_all or bool(peer.listens_to[slot >> 3] >> (slot & 7) & 1)


# -- messages ----------------------------------------------------------------------------------------------------


def publish(s: State, event: Publish) -> None:
    """Send what our clients have published to those who may listen; for a shard channel, within the shard."""
    peers = [peer for peer in s.others() if peer.link is not None]
    chosen: dict[str, list[Item]] = {peer.node_id: [] for peer in peers}
    for slot, item in event.messages:
        recent = Recent(event.serial, slot, item)
        asked = 0
        for peer in peers:
            if item.sharded and peer.shard_id != s.me.shard_id:
                continue
            asked += 1
            if _wants(peer, slot):
                chosen[peer.node_id].append(item)
                recent.sent_to.add(peer.node_id)
        if len(recent.sent_to) < asked:
            _keep(s, recent)
    made: dict[tuple[int, ...], list[Messages]] = {}
    for peer in peers:
        items = chosen[peer.node_id]
        if items:
            alike = tuple(map(id, items))  # the same messages for several peers are one object, and encoded once
            if alike not in made:
                made[alike] = _batches(items)
            for message in made[alike]:
                s.send(peer, message)


def _batches(items: Iterable[Item]) -> list[Messages]:
    found: list[Messages] = []
    batch: list[Item] = []
    size = 0
    for item in items:
        length = len(item.channel) + len(item.message)
        if batch and (size + length > BATCH_BYTES or len(batch) == ITEMS_LIMIT):
            found.append(Messages(tuple(batch)))
            batch, size = [], 0
        batch.append(item)
        size += length
    found.append(Messages(tuple(batch)))
    return found


def _keep(s: State, recent: Recent) -> None:
    s.recent.append(recent)
    s.recent_bytes += len(recent.item.channel) + len(recent.item.message)
    while len(s.recent) > RECENT_LIMIT or s.recent_bytes > RECENT_LIMIT_BYTES:
        _let_go(s)


def _let_go(s: State) -> None:
    oldest = s.recent.popleft()
    s.recent_bytes -= len(oldest.item.channel) + len(oldest.item.message)


def settled(s: State, event: Settled) -> None:
    """What had come in when this was published has been read."""
    while s.recent and s.recent[0].serial <= event.serial:
        _let_go(s)


def _catch_up(s: State, peer: Peer) -> None:
    """Send what was published just before we read that the peer wants it."""
    late = [
        one for one in s.recent
        if peer.node_id not in one.sent_to and _wants(peer, one.slot)
        and (not one.item.sharded or peer.shard_id == s.me.shard_id)
    ]  # fmt: skip
    if late and peer.link is not None:
        for one in late:
            one.sent_to.add(peer.node_id)
        for message in _batches([one.item for one in late]):
            s.send(peer, message)


def on_messages(s: State, message: Messages) -> None:
    s.out.append(Deliver(message.items))
