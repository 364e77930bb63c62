"""Who is watched: instances come, go, and move to other addresses."""

from __future__ import annotations

from collections import deque
from typing import Literal

from cluster.sentinel.events import RunScript
from cluster.sentinel.state import (
    MAX_PEERS,
    MAX_REPLICAS,
    NONE,
    Address,
    Instance,
    Link,
    Peer,
    Primary,
    Replica,
    State,
)


def new_link(s: State) -> Link:
    return Link(last_available_ms=s.now, ping_asked_ms=s.now, last_pong_ms=s.now)


def add_primary(s: State, name: str, address: Address, quorum: int) -> Primary:
    primary = Primary(name, address, new_link(s), quorum, s.periods, s.now)
    s.primaries[name] = primary
    return primary


def replica_name(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def is_replica(s: State, primary: Primary, address: Address) -> bool:
    return replica_name(s.shown(address), address.port) in primary.replicas


def add_replica(s: State, primary: Primary, address: Address) -> Replica | None:
    """None when it is known already."""
    name = replica_name(s.shown(address), address.port)
    if name in primary.replicas:
        return None
    replica = primary.replicas[name] = Replica(name, address, new_link(s), primary, s.now)
    return replica


def add_peer(s: State, primary: Primary, run_id: str, address: Address) -> Peer:
    """Another sentinel of `primary`, over the connection that is there for another primary, if there is one."""
    link = next(
        (peer.link for other in s.primaries.values() if other is not primary
         for peer in other.peers.values() if peer.run_id == run_id and peer.address[1:] == address[1:]),
        None,
    )  # fmt: skip
    peer = Peer(run_id, address, link if link is not None else new_link(s), primary, s.now)
    peer.run_id = run_id
    primary.peers[run_id] = peer
    return peer


def has_room(s: State, primary: Primary, what: Literal["replicas", "sentinels"]) -> bool:
    """For another one that somebody names. The first time that there is none, the log says so."""
    known, most = (primary.replicas, MAX_REPLICAS) if what == "replicas" else (primary.peers, MAX_PEERS)
    if len(known) < most:
        return True
    if what not in primary.noted_full:
        primary.noted_full.add(what)
        s.note("warning", f"{primary.name} has more than {most} {what}: the others are not taken in")
    return False


def forget(s: State, instance: Instance) -> None:
    """Its connections end, unless another primary's sentinel shares them."""
    link = instance.link
    link.owners.remove(instance)
    if not link.owners:
        drop_connections(s, link)


def drop_connections(s: State, link: Link) -> None:
    s.close(link.commands)
    s.close(link.messages)
    link.commands = link.messages = None
    link.pending = 0
    link.broken = True
    for owner in link.owners:
        if isinstance(owner, Peer):
            owner.asked = False
        elif isinstance(owner, Primary | Replica):
            owner.info_asked = False


def remove_primary(s: State, primary: Primary) -> None:
    for instance in [*primary.replicas.values(), *primary.peers.values(), primary]:
        forget(s, instance)
    del s.primaries[primary.name]


def reset(s: State, primary: Primary, *, keep_peers: bool = False) -> None:
    """Start with a primary from the beginning: its replicas, and its sentinels, have to be found again."""
    for replica in primary.replicas.values():
        forget(s, replica)
    primary.replicas.clear()
    if not keep_peers:
        for peer in primary.peers.values():
            forget(s, peer)
        primary.peers.clear()
    link = primary.link
    drop_connections(s, link)
    link.ping_asked_ms = link.last_available_ms = link.last_pong_ms = s.now
    link.last_ping_ms = link.last_connect_ms = 0
    primary.s_down = primary.o_down = primary.failing_over = primary.forced = primary.script_kill_sent = False
    primary.rebooted_ms = None
    primary.lost_since_ms = 0
    primary.noted_full.clear()
    primary.leader = ""
    primary.stage = NONE
    primary.stage_since_ms = 0
    primary.failover_started_ms = None
    primary.promoted = None
    primary.run_id = ""
    primary.role = "master"
    primary.role_since_ms = s.now
    primary.info_at_ms = 0


def move(s: State, primary: Primary, address: Address) -> None:
    """The primary is at `address` from now on; who was known before, the old primary too, is a replica of it."""
    known = [replica.address for replica in primary.replicas.values()]
    if primary.address.port:  # the old address is one that somebody can be at
        known.append(primary.address)
    lost_since_ms = primary.lost_since_ms
    reset(s, primary, keep_peers=True)
    primary.lost_since_ms = lost_since_ms
    for peer in primary.peers.values():
        _forget_words(s, peer)
    primary.address = address
    primary.s_down_since_ms = primary.o_down_since_ms = 0
    for replica_address in known:
        if replica_address[1:] == address[1:]:
            continue
        replica = add_replica(s, primary, replica_address)
        if replica is not None:
            s.tell("notice", "+slave", replica)
    s.persist()


def _forget_words(s: State, peer: Peer) -> None:
    """What another sentinel says, or is about to say, of the address that was: it must not count for the new one, whom
    else one sentinel alone could hold for down by everybody's word."""
    peer.says_down = peer.asked = False
    connection = s.connections.get(peer.link.commands or 0)
    if connection is not None:
        connection.waiting = deque(
            ("" if purpose == "ask" and instance is peer else purpose, instance)
            for purpose, instance in connection.waiting
        )


def switch(s: State, primary: Primary, address: Address, before: Address | None = None) -> None:
    """`move`, told to everybody as +switch-master. before: where clients have been sent until now."""
    before = before or primary.address
    s.announce(
        "warning", "+switch-master",
        f"{primary.name} {s.shown(before)} {before.port} {s.shown(address)} {address.port}", primary,
    )  # fmt: skip
    move(s, primary, address)


def tell_scripts(s: State, primary: Primary, role: str, before: Address, after: Address) -> None:
    """Run client-reconfig-script, if there is one. `role`: leader or observer of the failover."""
    if primary.client_reconfig_script:
        s.out.append(RunScript(primary.client_reconfig_script, (
            primary.name, role, "start", s.shown(before), str(before.port), s.shown(after), str(after.port),
        )))  # fmt: skip


def by_address(s: State, ip: str, port: int) -> Primary | None:
    return next((primary for primary in s.primaries.values() if s.is_at(primary.address, ip, port)), None)
