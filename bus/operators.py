"""What an operator asks of a node (CLUSTER ADDSLOTS, SETSLOT, MEET …): checks in Redis's words, then the change.

Each function returns the answer's text, or raises `Refused` with the error line.
"""

from __future__ import annotations

from bus import election, gossip, ownership
from bus.due import Save
from bus.events import (
    AddSlots,
    BecomePrimary,
    BumpEpoch,
    DelSlots,
    Failover,
    FlushData,
    FlushSlots,
    Forget,
    Meet,
    OperatorEvent,
    Replicate,
    Reset,
    SaveConfig,
    SetConfigEpoch,
    SetSlot,
)
from bus.slots import ALL_SLOTS, bits_of_slots
from bus.state import BLACKLIST_MS, Handshake, Peer, State, random_id


class Refused(Exception):
    """The whole error line, e.g. ``ERR Unknown node …``."""


def apply(s: State, event: OperatorEvent) -> str:
    match event:
        case Meet():
            return _meet(s, event)
        case Forget():
            return _forget(s, event)
        case AddSlots():
            return _add_slots(s, event)
        case DelSlots():
            return _del_slots(s, event)
        case FlushSlots():
            s.release(s.me)
            return "OK"
        case SetSlot():
            return _set_slot(s, event)
        case Replicate():
            return _replicate(s, event)
        case Failover():
            return _failover(s, event)
        case Reset():
            return _reset(s, event)
        case SetConfigEpoch():
            return _set_config_epoch(s, event)
        case BumpEpoch():
            bumped = ownership.bump_epoch(s)
            return f"{'BUMPED' if bumped else 'STILL'} {s.me.config_epoch}"
        case SaveConfig():
            s.touch(Save.SYNCED)
            return "OK"


def _known(s: State, node_id: str) -> Peer:
    peer = s.peers.get(node_id)
    if peer is None:
        raise Refused(f"ERR Unknown node {node_id}")
    return peer


def _meet(s: State, event: Meet) -> str:
    if not s.cluster_id:
        s.cluster_id = random_id(s.rng)
        s.touch(announce=True)
    s.join()
    gossip.start_handshake(s, Handshake(event.ip, event.port, event.bus_port, s.now))
    return "OK"


def _forget(s: State, event: Forget) -> str:
    peer = s.peers.get(event.node_id)
    if peer is None:
        if event.node_id in s.blacklist:
            return "OK"
        raise Refused(f"ERR Unknown node {event.node_id}")
    if peer is s.me:
        raise Refused("ERR I tried hard but I can't forget myself...")
    if s.me.primary_id == peer.node_id:
        raise Refused("ERR Can't forget my master!")
    s.blacklist[peer.node_id] = s.now + BLACKLIST_MS
    gossip.drop_link(s, peer)
    s.remove(peer)
    s.touch(Save.SYNCED)
    return "OK"


# -- slots -------------------------------------------------------------------------------------------------------


def _check_slots(s: State, slots: tuple[int, ...], *, adding: bool) -> None:
    """Each slot is to be free, or to be somebody's, and named once; the first that is not is complained of."""
    seen: set[int] = set()
    for slot in slots:
        if (s.owners[slot] is None) is not adding:
            raise Refused(f"ERR Slot {slot} is already {'busy' if adding else 'unassigned'}")
        if slot in seen:
            raise Refused(f"ERR Slot {slot} specified multiple times")
        seen.add(slot)


def _add_slots(s: State, event: AddSlots) -> str:
    _check_slots(s, event.slots, adding=True)
    for slot in event.slots:
        s.importing.pop(slot, None)
    s.own(bits_of_slots(event.slots), s.me)
    return "OK"


def _del_slots(s: State, event: DelSlots) -> str:
    _check_slots(s, event.slots, adding=False)
    s.own(bits_of_slots(event.slots), None)
    return "OK"


def _set_slot(s: State, event: SetSlot) -> str:
    slot = event.slot
    if not s.me.is_primary:
        raise Refused("ERR Please use SETSLOT only with masters.")
    if event.kind == "migrating":
        if s.owners[slot] != s.me.node_id:
            raise Refused(f"ERR I'm not the owner of hash slot {slot}")
        s.migrating[slot] = _other_primary(s, event.node_id).node_id
        ownership.let_go(s, slot)
    elif event.kind == "importing":
        if s.owners[slot] == s.me.node_id:
            raise Refused(f"ERR I'm already the owner of hash slot {slot}")
        s.importing[slot] = _other_primary(s, event.node_id).node_id
    elif event.kind == "stable":
        s.importing.pop(slot, None)
        s.migrating.pop(slot, None)
    else:
        _assign(s, event)
    s.touch()
    return "OK"


def _other_primary(s: State, node_id: str) -> Peer:
    peer = s.peers.get(node_id)
    if peer is None:
        raise Refused(f"ERR I don't know about node {node_id}")
    if not peer.is_primary:
        raise Refused("ERR Target node is not a master")
    return peer


def _assign(s: State, event: SetSlot) -> str:
    """SETSLOT NODE: the end of a migration, on whichever node is told."""
    me, slot = s.me, event.slot
    node = _known(s, event.node_id)
    if not node.is_primary:
        raise Refused("ERR Target node is not a master")
    mine = s.owners[slot] == me.node_id
    if mine and node is not me and event.keys_in_slot:
        raise Refused(
            f"ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
        )
    if event.keys_in_slot == 0:
        s.migrating.pop(slot, None)
    # Forgotten by its new owner, the slot would be nobody's. Its old one is told again, with the greater epoch.
    s.touch(Save.SYNCED if node is me else Save.LATER)
    source = s.importing.pop(slot, None) if node is me else None
    s.importing.pop(slot, None)
    s.own(1 << slot, node)
    s.assigned_at = s.now
    if source is not None:
        # The slot changed hands by an operator's word, without an election: only a greater epoch makes others agree.
        ownership.bump_epoch(s)
        ownership.hold(s, slot, source)
        _tell_heirs(s, source)
    elif mine and node is not me and me.slot_count == 0 and s.config.allow_replica_migration:
        s.log("notice", f"Lost my last slot during slot migration. Reconfiguring myself as a replica of {node.node_id}")
        ownership.follow(s, node)
    return "OK"


def _tell_heirs(s: State, source_id: str) -> None:
    """Should this node die, or the one that the slot came from, its replicas must know of it at once. To the others it
    is announced a little later, with all that has moved until then."""
    announcement = s.announcement()
    for peer in s.others():
        if peer.primary_id in (s.me.node_id, source_id):
            s.send(peer, announcement)


# -- roles -------------------------------------------------------------------------------------------------------


def _replicate(s: State, event: Replicate) -> str:
    me = s.me
    node = _known(s, event.node_id)
    if node is me:
        raise Refused("ERR Can't replicate myself")
    if not node.is_primary:
        raise Refused("ERR I can only replicate a master, not a replica.")
    if me.is_primary and (me.slot_count or not event.dataset_empty):
        raise Refused("ERR To set a master the node must be empty and without assigned slots.")
    ownership.follow(s, node)
    return "OK"


def _failover(s: State, event: Failover) -> str:
    if s.me.is_primary:
        raise Refused("ERR You should send CLUSTER FAILOVER to a replica")
    primary = s.primary_of(s.me)
    if primary is None:
        raise Refused("ERR I'm a replica but my master is unknown to me")
    if not event.mode and (primary.fail or primary.link is None):
        raise Refused("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE")
    election.start_manual(s, primary, event.mode)
    return "OK"


def _reset(s: State, event: Reset) -> str:
    me = s.me
    if me.is_primary and not event.dataset_empty:
        raise Refused("ERR CLUSTER RESET can't be called with master nodes containing keys")
    if not me.is_primary:
        me.primary_id = None
        s.out.append(BecomePrimary())
        s.out.append(FlushData())
    s.own(ALL_SLOTS, None)
    s.migrating.clear()
    s.importing.clear()
    s.unclaimed = 0
    s.election = s.manual = None
    for peer in list(s.others()):
        gossip.drop_link(s, peer)
        s.remove(peer)
    s.handshakes.clear()
    s.cluster_id = ""
    me.shard_id = random_id(s.rng)
    me.had_replicas = False
    if event.hard:
        s.current_epoch = s.last_vote_epoch = me.config_epoch = 0
        s.voted_for = ""
        _rename_me(s, random_id(s.rng))
    s.touch(Save.SYNCED, announce=True)
    return "OK"


def _rename_me(s: State, node_id: str) -> None:
    old = s.me.node_id
    del s.peers[old]
    s.me.node_id = node_id
    s.peers[node_id] = s.me
    s.members_digest = b""
    s.log("notice", f"Node hard reset, now I'm {node_id}")


def _set_config_epoch(s: State, event: SetConfigEpoch) -> str:
    if event.epoch < 0:
        raise Refused(f"ERR Invalid config epoch specified: {event.epoch}")
    if len(s.peers) > 1:
        raise Refused("ERR The user can assign a config epoch only when the node does not know any other node.")
    if s.me.config_epoch:
        raise Refused("ERR Node config epoch is already non-zero")
    s.me.config_epoch = event.epoch
    s.current_epoch = max(s.current_epoch, event.epoch)
    s.touch(announce=True)
    return "OK"
