"""Roles, slots and epochs: who owns what, and what follows when that changes.

A slot belongs to who claims it with the greatest config epoch. Source: the Redis Cluster specification, 'Hash slots
configuration propagation' and 'Configuration epoch conflicts resolution algorithm'.
"""

from __future__ import annotations

from dataclasses import replace

from bus.due import Save
from bus.events import DropSlotKeys, FollowNode, ResumeWrites
from bus.messages import Announcement, Update
from bus.slots import bits_of, bits_of_slots, ranges_of_bits, slots_of_bits
from bus.state import Peer, State, Taken

REMIND_PERIOD_MS = 1_000
"""A node that claims what is another's is told so that often, until it has understood."""
TAKEN_MS = 15_000
"""So long a slot that was moved here is held against claims from before the move: they have all arrived by then."""
SETTLED_MS = 2_000
"""When an operator has not moved a slot for so long, a slot that nobody claims is nobody's."""
LEAVING_MS = 3_000
"""And so long when it is to leave again."""


def tick(s: State) -> None:
    """A claim that was turned down may hold by now: its slot was given up, or is no longer being imported here."""
    remind = s.now - s.reminded_at >= REMIND_PERIOD_MS
    if remind:
        s.reminded_at = s.now
    mine = s.me.config_epoch
    for peer in s.peers.values():
        if peer.claimed is peer.slots and peer.config_epoch != mine:
            continue  # as nearly all, nearly always
        if peer is s.me or not peer.is_primary:
            continue
        if peer.claimed is not peer.slots:
            if peer.claimed == peer.slots:
                peer.claimed, peer.disowned = peer.slots, 0  # one object from now on: to compare them costs nothing
            elif peer.claimed & ~peer.slots and (remind or not peer.fail):  # the dead claim what they had for long
                claim(s, peer)
                if remind:
                    _tell_if_behind(s, peer)
            if remind:
                _ask_about_disowned(s, peer)
        if peer.config_epoch == mine:
            settle_collision(s, peer)
    _follow_my_primary(s)


def on_announcement(s: State, peer: Peer, message: Announcement) -> None:
    """Take over what `peer` says of its role, epoch and slots."""
    if message.primary_id:
        _set_replica(s, peer, message.primary_id)
    elif peer.primary_id is not None:
        _set_primary(s, peer)
    if peer.shard_id != message.shard_id:
        peer.shard_id = message.shard_id
        s.touch()
    if message.config_epoch > peer.config_epoch:
        peer.config_epoch = message.config_epoch
        s.touch()
    if peer.is_primary:
        peer.claimed, peer.claimed_epoch = bits_of(message.slots), message.config_epoch
        s.unclaimed |= peer.slots & ~peer.claimed
        claim(s, peer)
        _tell_if_behind(s, peer)
        settle_collision(s, peer)
    _follow_my_primary(s)


def _set_replica(s: State, peer: Peer, primary_id: str) -> None:
    if peer.primary_id == primary_id:
        return
    s.release(peer)
    peer.claimed = 0
    peer.primary_id = primary_id
    primary = s.peers.get(primary_id)
    if primary is not None:
        primary.had_replicas = True
    s.touch()


def _set_primary(s: State, peer: Peer) -> None:
    peer.primary_id = None
    peer.had_replicas = True  # it was one itself: its shard is to have some again
    s.touch()


def claim(s: State, sender: Peer) -> None:
    """Give `sender` those of the slots it claims that the rules grant it."""
    me = s.me
    my_shard = me if me.is_primary else s.primary_of(me)
    had_slots = my_shard is not None and my_shard.slot_count > 0
    s.unclaimed &= ~(sender.claimed & sender.slots)
    _succeed_in_moves(s, sender)
    # What this node is taking in from others is left alone: there only SETSLOT decides.
    taken_in = (slot for slot, source in s.importing.items() if source != sender.node_id)
    won = sender.claimed & ~sender.slots & ~bits_of_slots(taken_in) & ~_held_against(s, sender)
    for owner in s.peers.values() if won else ():
        if owner.config_epoch >= sender.claimed_epoch:
            won &= ~owner.slots | s.unclaimed
            if not won:
                break
    dropped = won & me.slots
    lost = my_shard is not None and bool(won & my_shard.slots)
    if won:
        s.own(won, sender)
    if not lost:
        return
    assert my_shard is not None
    same_shard = sender.shard_id == me.shard_id
    if had_slots and not my_shard.slots and (s.config.allow_replica_migration or same_shard):
        s.log("notice", f"Configuration change detected. Reconfiguring myself as a replica of {sender.node_id}")
        follow(s, sender)
    elif dropped:
        s.log("notice", f"{dropped.bit_count()} slots are now served by {sender.node_id}.")
        s.out.append(DropSlotKeys(tuple(slots_of_bits(dropped))))


def hold(s: State, slot: int, source_id: str) -> None:
    """An operator has moved a slot here from `source_id`, of whose latest epoch this node may not have heard."""
    source = s.peers.get(source_id)
    if source is not None:
        s.taken[slot] = Taken(source.shard_id, s.now + TAKEN_MS)


def let_go(s: State, slot: int) -> None:
    """The slot is to leave again. The next owner's claim must be believed, but what is still on its way from before it
    came here must not: its keys would be deleted before they are moved. So claims are left alone for a moment."""
    taken = s.taken.get(slot)
    if taken is not None:
        s.taken[slot] = replace(taken, until=min(taken.until, s.now + LEAVING_MS), is_leaving=True)


def _held_against(s: State, sender: Peer) -> int:
    """Slots, as bits, that were moved here from `sender`'s shard, and that it claims because it does not know. With a
    greater epoch than ours it would have them back, and what was moved with them would be deleted here. So this node
    takes a greater one, unless they are to leave again."""
    held = contested = 0
    for slot, taken in list(s.taken.items()):
        if s.now >= taken.until:
            del s.taken[slot]
        elif taken.shard_id == sender.shard_id:
            held |= 1 << slot & sender.claimed
            contested |= 0 if taken.is_leaving else 1 << slot & sender.claimed
    if contested and sender.claimed_epoch >= s.me.config_epoch:
        bump_epoch(s)
    return held


def _succeed_in_moves(s: State, sender: Peer) -> None:
    """Where the other side of an open slot has failed over to `sender`, the slot moves from or to that one now."""
    for moves in (s.importing, s.migrating):
        for slot, node_id in moves.items():
            other = s.peers.get(node_id)
            if (
                other is not None
                and other is not sender
                and other.shard_id == sender.shard_id
                and sender.claimed_epoch > other.config_epoch
            ):
                moves[slot] = sender.node_id
                s.touch()


def follow(s: State, primary: Peer) -> None:
    """Become (or stay) a replica of `primary`."""
    me = s.me
    same_data = me.primary_id is not None and me.shard_id == primary.shard_id
    s.release(me)
    s.migrating.clear()
    s.importing.clear()
    me.primary_id = primary.node_id
    me.shard_id = primary.shard_id
    primary.had_replicas = True
    s.election = None
    s.primary_link_up = False
    if not same_data:
        me.offset, s.data_age_ms = 0, None
    if s.manual is not None:
        end_manual(s)
    s.touch(Save.SYNCED, announce=True)
    s.out.append(FollowNode(primary.node_id, primary.ip, primary.port, same_data, primary.tls_port))


def end_manual(s: State) -> None:
    """A manual failover is over, one way or the other; a primary that held its writes lets them go."""
    manual = s.manual
    s.manual = None
    if manual is not None and manual.replica_id:
        s.out.append(ResumeWrites())


def _follow_my_primary(s: State) -> None:
    """My primary has become a replica: its primary is mine (no chains in a cluster)."""
    primary = s.primary_of(s.me)
    if primary is None or primary.is_primary:
        return
    upper = s.primary_of(primary)
    if upper is not None and upper is not s.me and upper.is_primary:
        s.log("notice", f"My primary {primary.node_id} is a replica now. Following {upper.node_id}.")
        follow(s, upper)


def is_behind(s: State, peer: Peer) -> bool:
    """Whether `peer` claims slots that others own with a greater epoch."""
    contested = peer.claimed & ~peer.slots
    return bool(contested) and any(
        owner.slots & contested and owner.config_epoch > peer.claimed_epoch for owner in s.peers.values()
    )


def _tell_if_behind(s: State, peer: Peer) -> None:
    """`peer` claims slots that others own with a greater epoch: tell it who."""
    tell_owners(s, peer, peer.claimed & ~peer.slots, peer.claimed_epoch)


def tell_owners(s: State, peer: Peer, slots: int, epoch: int) -> None:
    """Tell `peer` whose those of `slots` are that others than it own with a greater epoch than this."""
    for owner in s.peers.values() if slots else ():
        if owner.slots & slots and owner.config_epoch > epoch:
            s.send(peer, Update(owner.node_id, owner.config_epoch, s.ranges(owner)))


def _ask_about_disowned(s: State, peer: Peer) -> None:
    """By our view `peer` owns slots that it does not claim, and has not claimed for a while: tell it."""
    disowned = peer.slots & ~peer.claimed if peer.digest else 0
    if disowned & peer.disowned:
        s.send(peer, Update(peer.node_id, peer.config_epoch, ranges_of_bits(disowned & peer.disowned)))
    peer.disowned = disowned


def _take_disowned(s: State, named: int) -> None:
    """Others hold this node for the owner of these slots. Where the one that we hold for it does not claim them either,
    they are nobody's: two words of an operator crossed. They are taken, as by an operator's word."""
    me = s.me
    if not me.is_primary or s.doubt is not None:
        return
    if s.assigned_at is not None and s.now - s.assigned_at < SETTLED_MS:
        return  # its new owner's claim may be on its way
    taken = 0
    for peer in s.others():
        if peer.digest:
            taken |= named & peer.slots & ~peer.claimed
    if taken:
        for slot in slots_of_bits(taken & bits_of_slots(s.importing)):
            del s.importing[slot]
        s.log("notice", f"{taken.bit_count()} slots that nobody claims are held to be mine. Taking them.")
        s.own(taken, me)
        bump_epoch(s)


def on_update(s: State, message: Update) -> None:
    node = s.peers.get(message.node_id)
    if node is s.me:
        _take_disowned(s, bits_of(message.slots))
        return
    if node is None or node.config_epoch >= message.config_epoch:
        return
    if not node.is_primary:
        _set_primary(s, node)
    node.config_epoch = message.config_epoch
    node.digest = b""  # what it last announced is older than this
    # Of a slot that is on its way there only its own word counts: hearsay may be older than the slot's last way here.
    on_its_way = bits_of_slots(slot for slot, other in s.migrating.items() if other == node.node_id)
    node.claimed, node.claimed_epoch = bits_of(message.slots) & ~on_its_way, message.config_epoch
    s.touch()
    claim(s, node)
    _follow_my_primary(s)


# -- epochs ------------------------------------------------------------------------------------------------------


def max_epoch(s: State) -> int:
    return max(s.current_epoch, *(peer.config_epoch for peer in s.peers.values()))


def bump_epoch(s: State) -> bool:
    """Give this node the greatest config epoch, without asking anyone. Whether it had to change."""
    top = max_epoch(s)
    if s.me.config_epoch and s.me.config_epoch == top:
        others = (peer.config_epoch for peer in s.others())
        if all(epoch != top for epoch in others):
            return False
    s.current_epoch = top + 1
    s.me.config_epoch = s.current_epoch
    s.election = None  # won now, it would take this node's epoch back to a smaller one, which no other would believe
    s.touch(Save.SYNCED, announce=True)
    s.log("notice", f"New configEpoch set to {s.me.config_epoch}")
    return True


def settle_collision(s: State, peer: Peer) -> None:
    """Two primaries with one config epoch: the one with the smaller id takes a new one."""
    me = s.me
    if not (me.is_primary and peer.is_primary) or peer.config_epoch != me.config_epoch or peer.node_id <= me.node_id:
        return
    s.current_epoch = max_epoch(s) + 1
    me.config_epoch = s.current_epoch
    s.touch(Save.SYNCED, announce=True)
    s.log("verbose", f"configEpoch collision with node {peer.node_id}. Now using {me.config_epoch}.")
