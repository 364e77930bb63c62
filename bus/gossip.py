"""Heartbeats, announcements and members: how nodes keep hearing of each other, and get to know the others.

A node pings whom it has not heard of for half the node timeout, and one random node a second. Whatever a peer says
shows that it lives, so of two nodes mostly one pings. A heartbeat carries digests; who sees an unknown one asks.
"""

from __future__ import annotations

from bus import interest, ownership
from bus.events import CloseLink, Connect, FollowNode, LinkId
from bus.messages import (
    CONTESTED,
    MEMBERS_LIMIT,
    PAUSED,
    SUSPECTS_LIMIT,
    WANT_ANNOUNCEMENT,
    WANT_INTEREST,
    WANT_MEMBERS,
    Announcement,
    Heartbeat,
    Member,
    Members,
)
from bus.slots import bits_of
from bus.state import Handshake, Link, Peer, State, announcement_digest, random_id

RETRY_MS = 100
"""Between two attempts to connect to a node that cannot be reached; grows with the size of the cluster."""
SETTLED_MS = 1_000
"""A link that ends before it is that old was not wanted by the other side."""
LAST_SERIAL = 127
"""Serials go round: one byte on the wire."""
PROBE_AGAIN_MS = 500
"""A pong that has not come by then may have been lost with a node that did not know us yet."""
FAILED_SHOWN = 8
"""More failed nodes than that are named to those only who do not hold the same ones for failed, by what they have said
since that last changed here: they were told of that as well."""
SAMPLE_PERIOD_MS = 1_000
SAMPLE_SIZE = 5
HANDSHAKE_MIN_MS = 1_000
MEMBERS_PERIOD_MS = 1_000
"""A node is asked for its members at most once in that time."""


# -- saying ------------------------------------------------------------------------------------------------------


def heartbeat(s: State, kind: str, peer: Peer, *, want: int = 0, serial: int = 0) -> Heartbeat:
    suspects = list(s.suspects)
    failed = s.suspects.failed
    is_told = failed == peer.failed or peer.failed_said_at < s.suspects.changed_at
    if len(suspects) > FAILED_SHOWN and is_told:
        suspects = [node_id for node_id in suspects if node_id == peer.node_id or not s.peers[node_id].fail]
    complete = len(suspects) <= SUSPECTS_LIMIT
    if not complete:
        suspects = s.rng.sample(suspects, SUSPECTS_LIMIT)
        if not peer.reachable and peer.node_id not in suspects:
            suspects[0] = peer.node_id  # whether it is held for failed itself it must hear in any case
    flags = PAUSED if s.manual is not None and s.manual.paused else 0
    if ownership.is_behind(s, peer):
        flags |= CONTESTED
    return Heartbeat(
        kind="ping" if kind == "ping" else "pong",
        epoch=s.current_epoch,
        config_epoch=s.me.config_epoch,
        offset=s.me.offset,
        digest=s.my_digest(),
        members=s.my_members_digest(),
        suspects=tuple(suspects),
        complete=complete,
        failed=failed,
        want=want,
        flags=flags,
        serial=serial,
        interest=s.listening.version,
    )


def ping(s: State, peer: Peer, *, want: int = 0) -> None:
    if peer.link is None:
        return
    serial = 0
    if may_probe(s, peer):
        serial = peer.serial = peer.serial % LAST_SERIAL + 1
        peer.probed_at = s.now
    s.send(peer, heartbeat(s, "ping", peer, want=want, serial=serial))
    if not peer.ping_sent_at:
        peer.ping_sent_at = s.now
        peer.ping_wall = s.wall


def may_probe(s: State, peer: Peer) -> bool:
    """Whether the next ping may ask for its serial back: one is on its way at a time, or it was lost."""
    return not peer.probed_at or s.now - peer.probed_at >= PROBE_AGAIN_MS


def tick(s: State) -> None:
    """Connect to whom there is no link, and ping whom it is time for."""
    half = s.config.node_timeout_ms // 2
    retry = _retry_ms(s)
    for peer in s.peers.values():
        if peer.link is None:
            if peer is not s.me and not peer.connecting and s.now >= peer.retry_at and peer.ip:
                peer.connecting = True
                peer.retry_at = s.now + retry
                s.out.append(Connect(peer.node_id, peer.ip, peer.bus_port))
        elif not peer.ping_sent_at and s.now - peer.heard_at >= half:
            ping(s, peer)
        elif peer.ping_sent_at and s.now - peer.ping_sent_at > half and s.now - peer.heard_at > half:
            drop_link(s, peer)  # a new connection may get through where this one is stuck
    if s.now - s.sampled_at >= SAMPLE_PERIOD_MS:
        s.sampled_at = s.now
        linked = [peer for peer in s.others() if peer.link is not None and not peer.ping_sent_at]
        if linked:
            sample = s.rng.sample(linked, min(SAMPLE_SIZE, len(linked)))
            oldest = min(sample, key=lambda peer: peer.heard_at)
            if s.now - oldest.heard_at >= SAMPLE_PERIOD_MS:
                ping(s, oldest)
    _tick_handshakes(s)


def _retry_ms(s: State) -> int:
    return max(RETRY_MS, min(s.config.node_timeout_ms // 4, 10 * len(s.peers)))


def _tick_handshakes(s: State) -> None:
    limit = max(s.config.node_timeout_ms, HANDSHAKE_MIN_MS)
    for target, one in list(s.handshakes.items()):
        if s.now - one.started_at > limit:
            del s.handshakes[target]
            s.links_changed = True
        elif not one.connecting and s.now >= one.retry_at:
            _connect_to_meet(s, target, one)
    for node_id, until in list(s.blacklist.items()):
        if s.now >= until:
            del s.blacklist[node_id]


def drop_link(s: State, peer: Peer) -> None:
    if peer.link is not None:
        s.out.append(CloseLink(peer.link))
        s.links.pop(peer.link, None)
        peer.link = None
        peer.ping_sent_at = 0
        s.links_changed = True


def start_handshake(s: State, one: Handshake) -> None:
    """Get to know the node at an address. While that is under way, an operator's word begins its time anew."""
    for target, known in s.handshakes.items():
        if (known.ip, known.bus_port) == (one.ip, one.bus_port):
            if one.invite:
                known.invite, known.expected_id, known.started_at = True, "", s.now
                if not known.connecting:
                    _connect_to_meet(s, target, known)
            return
    target = random_id(s.rng)
    s.handshakes[target] = one
    s.changed |= one.invite  # an operator may look at once
    s.links_changed = True
    _connect_to_meet(s, target, one)


def _connect_to_meet(s: State, target: str, one: Handshake) -> None:
    one.connecting = True
    s.out.append(Connect(target, one.ip, one.bus_port))


def not_met(s: State, one: Handshake) -> None:
    """Nobody could be connected to at that address: a node that is starting may be there in a moment."""
    one.connecting = False
    one.retry_at = s.now + _retry_ms(s)


# -- links -------------------------------------------------------------------------------------------------------


def link_lost(s: State, peer: Peer, link: Link) -> None:
    """Our link to `peer` has ended: a process that died is found out by connecting again at once.

    Not so where the peer hangs up on every link as soon as it is there: that would go round and round.
    """
    peer.link = None
    peer.ping_sent_at = 0
    peer.retry_at = s.now if s.now - link.up_at >= SETTLED_MS else s.now + _retry_ms(s)
    s.links_changed = True
    tick(s)


def link_up(
    s: State, link_id: LinkId, node_id: str, address: str, outbound: bool, target: str, local_address: str
) -> None:
    s.links[link_id] = Link(node_id, outbound, address, local_address, s.now)
    if node_id in s.peers:
        s.peers[node_id].was_there = True
    _find_own_address(s, local_address, sure=outbound and target in s.peers)
    if not outbound:
        interest.unsure(s.peers.get(node_id))
        return
    if target in s.handshakes:
        _met(s, link_id, node_id, s.handshakes.pop(target))
        return
    peer = s.peers.get(target)
    if peer is None or peer is s.me:
        _close(s, link_id)
        return
    peer.connecting = False
    if node_id != target:
        # Another node answers at that address now. Gossip will tell where ours is.
        s.log("notice", f"Node {target} is not at {peer.ip}:{peer.bus_port} any more: {node_id} answered.")
        peer.wrong_address = True
        peer.retry_at = s.now + s.config.node_timeout_ms
        s.touch()
        _close(s, link_id)
        return
    _linked(s, peer, link_id, meet=peer.invited)


def _find_own_address(s: State, local_address: str, *, sure: bool) -> None:
    """Others show this node where its links to them come from. So does this node itself; what nodes.conf says may be
    from before it moved, until it has its first link to a member (`sure`)."""
    if not local_address or s.config.announce_ip or (s.me.ip and (s.placed or not sure)):
        return
    s.placed = s.placed or sure
    if s.me.ip != local_address:
        s.me.ip = local_address
        s.touch()


def _met(s: State, link_id: LinkId, node_id: str, one: Handshake) -> None:
    """The node behind an address has said its name."""
    known = s.peers.get(node_id)
    uninvited = node_id in s.blacklist or node_id != one.expected_id
    if known is s.me or (uninvited and not one.invite):
        # A node that was reset, or another cluster's, may be found where a member was: nobody asked it in.
        _close(s, link_id)
        return
    # A node that joins asks each member to take it in: the others may have been told to forget it a moment ago.
    meet = one.invite or s.now < s.joining_until
    if known is None:
        known = Peer(node_id, one.ip, one.port, one.bus_port, shard_id=node_id, fresh=True)
        s.add(known, hearsay=not one.invite)
        s.blacklist.pop(node_id, None)
        known.invited = meet
        s.log("notice", f"Met node {node_id} at {one.ip}:{one.port}.")
    elif one.invite and (known.ip, known.bus_port) != (one.ip, one.bus_port):
        known.ip, known.port, known.bus_port = one.ip, one.port, one.bus_port
        s.touch()
    known.wrong_address = False
    if known.link is not None:
        s.reply(link_id, s.announcement(meet=meet))
        _close(s, link_id)
        return
    _linked(s, known, link_id, meet=meet)


def _linked(s: State, peer: Peer, link_id: LinkId, *, meet: bool = False) -> None:
    peer.was_there = True
    if peer.link is not None and peer.link != link_id:
        _close(s, peer.link)
    peer.link = link_id
    peer.connecting = False
    peer.refused = False
    peer.ping_sent_at = peer.probed_at = 0
    s.links_changed = True
    s.reply(link_id, s.announcement(meet=meet))
    if s.listening.version:
        s.reply(link_id, interest.picture(s))
    ping(s, peer, want=WANT_ANNOUNCEMENT if not peer.digest else 0)


def not_taken_in(s: State, peer: Peer) -> None:
    """`peer` was met, and has said nothing of itself: it does not want us, or is no more."""
    s.log("notice", f"Node {peer.node_id} at {peer.ip}:{peer.port} was met and says nothing: leaving it alone.")
    drop_link(s, peer)
    s.remove(peer)


def _close(s: State, link_id: LinkId) -> None:
    s.links.pop(link_id, None)
    s.out.append(CloseLink(link_id))


# -- hearing -----------------------------------------------------------------------------------------------------


def on_heartbeat(s: State, peer: Peer, link_id: LinkId, message: Heartbeat) -> None:
    peer.offset = message.offset
    peer.failed, peer.failed_said_at = message.failed, s.now
    peer.pong_wall = s.wall  # its ping says as much, and nobody pings whom he hears
    if message.kind == "pong":
        peer.ping_sent_at = 0
        if peer.probed_at and message.serial == peer.serial and link_id == peer.link:
            peer.heard_us_at, peer.probed_at = peer.probed_at, 0
    want = 0
    if message.digest != peer.digest:
        want |= WANT_ANNOUNCEMENT
    if message.members != s.my_members_digest() and s.now - peer.asked_members_at >= MEMBERS_PERIOD_MS:
        peer.asked_members_at = s.now
        want |= WANT_MEMBERS
    want |= interest.on_version(s, peer, message.interest)
    if message.want & WANT_ANNOUNCEMENT:
        s.reply(link_id, s.announcement())
    if message.want & WANT_MEMBERS:
        _send_members(s, link_id)
    if message.want & WANT_INTEREST:
        s.reply(link_id, interest.picture(s))
    if message.kind == "ping":
        s.reply(link_id, heartbeat(s, "pong", peer, want=want, serial=message.serial))
    elif want:
        s.reply(link_id, heartbeat(s, "ping", peer, want=want))


def _send_members(s: State, link_id: LinkId) -> None:
    known = [
        Member(one.node_id, one.ip, one.port, one.bus_port)
        for one in s.others() if one.ip and not one.fail and not one.fresh
    ]
    for start in range(0, len(known), MEMBERS_LIMIT):
        s.reply(link_id, Members(tuple(known[start : start + MEMBERS_LIMIT])))


def on_members(s: State, message: Members) -> None:
    """Nodes a member knows: meet those we do not, correct the address of those we cannot reach."""
    for member in message.members:
        if member.node_id == s.me.node_id or not member.ip:
            continue
        peer = s.peers.get(member.node_id)
        if peer is None:
            if member.node_id not in s.blacklist:
                one = Handshake(
                    member.ip, member.port, member.bus_port, s.now, invite=False, expected_id=member.node_id
                )
                start_handshake(s, one)
        elif (peer.wrong_address or not peer.reachable) and _address(peer) != (member.ip, member.port, member.bus_port):
            _move(s, peer, member.ip, member.port, member.bus_port)


def _address(peer: Peer) -> tuple[str, int, int]:
    return peer.ip, peer.port, peer.bus_port


def _move(s: State, peer: Peer, ip: str, port: int, bus_port: int) -> None:
    """`peer` is to be found elsewhere."""
    s.log("notice", f"Address updated for node {peer.node_id}, now {ip}:{port}")
    peer.ip, peer.port, peer.bus_port = ip, port, bus_port
    peer.wrong_address = False
    drop_link(s, peer)
    peer.retry_at = 0
    s.touch()
    if s.me.primary_id == peer.node_id:
        s.out.append(FollowNode(peer.node_id, ip, port, same_data=True, tls_port=peer.tls_port))


def on_announcement(s: State, link_id: LinkId, node_id: str, message: Announcement) -> None:
    """What a node says of itself; from a stranger only an invitation counts."""
    link = s.links[link_id]
    peer = s.peers.get(node_id)
    if peer is None:
        if not message.meet or not _may_merge(s, message):
            return
        s.join()
        peer = s.add(Peer(
            node_id, message.ip or link.address, message.port, message.bus_port, shard_id=message.shard_id
        ))
        s.blacklist.pop(node_id, None)
        s.log("notice", f"Node {node_id} at {peer.ip}:{peer.port} asked to meet us.")
    elif peer.fresh and not _may_merge(s, message):
        drop_link(s, peer)
        s.remove(peer)
        return
    if peer.fresh:
        s.members_digest = b""
    peer.fresh = peer.invited = False
    _adopt_cluster(s, message.cluster_id)
    peer.offset = message.offset
    ip = message.ip or (link.address if not link.outbound else peer.ip)
    if _address(peer) != (ip, message.port, message.bus_port):
        _move(s, peer, ip, message.port, message.bus_port)
    described = (message.tls_port, message.hostname, message.human_name, message.nofailover)
    if described != (peer.tls_port, peer.hostname, peer.human_name, peer.nofailover):
        moved = peer.tls_port != message.tls_port
        peer.tls_port, peer.hostname, peer.human_name, peer.nofailover = described
        s.touch()
        if moved and s.me.primary_id == node_id:
            s.out.append(FollowNode(node_id, peer.ip, peer.port, same_data=True, tls_port=peer.tls_port))
    ownership.on_announcement(s, peer, message)
    peer.digest = announcement_digest(message)


def _may_merge(s: State, message: Announcement) -> bool:
    """Two clusters that serve the same slots must not become one by somebody's slip."""
    if not s.cluster_id or not message.cluster_id or s.cluster_id == message.cluster_id:
        return True
    if bits_of(message.slots) & s.served_slots:
        s.log("warning", f"Refused to meet a node of another cluster ({message.cluster_id}) with slots served here.")
        return False
    return True


def _adopt_cluster(s: State, cluster_id: str) -> None:
    """Members of one cluster come to call it by one id: the smallest."""
    if cluster_id and (not s.cluster_id or cluster_id < s.cluster_id):
        s.cluster_id = cluster_id
        s.touch(announce=True)
