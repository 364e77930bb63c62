"""Hellos: how sentinels find each other, and learn of newer configurations.

Each sentinel publishes, on every server it watches and at every sentinel it knows,
``ip,port,runid,current-epoch,primary's name,ip,port,config-epoch``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cluster.sentinel.members import add_peer, drop_connections, forget, has_room, switch, tell_scripts
from cluster.sentinel.state import HELLO_CHANNEL, Address, Instance, Peer, Primary, State

_FIELDS = 8
_HIGHEST_PORT = 65535
_DIGITS = 20
_HIGHEST_EPOCH = 2**62
"""Beyond half of what fits, nobody has come by counting."""
_RUN_ID = re.compile(r"[0-9A-Za-z]{40}")


class Hello(NamedTuple):
    host: str
    port: int
    run_id: str
    epoch: int
    name: str
    primary_host: str
    primary_port: int
    config_epoch: int


def parse_hello(text: str) -> Hello | None:
    """None for what is no hello."""
    parts = text.split(",")
    if len(parts) != _FIELDS:
        return None
    numbers = [parts[1], parts[3], parts[6], parts[7]]
    if not all(one.isdecimal() and one.isascii() and len(one) < _DIGITS for one in numbers):
        return None
    if _RUN_ID.fullmatch(parts[2]) is None:
        return None
    port, epoch, primary_port, config_epoch = map(int, numbers)
    if not (0 < port <= _HIGHEST_PORT and 0 < primary_port <= _HIGHEST_PORT):
        return None
    if max(epoch, config_epoch) >= _HIGHEST_EPOCH:
        return None
    return Hello(parts[0], port, parts[2], epoch, parts[4], parts[5], primary_port, config_epoch)


def say_hello(s: State, instance: Instance) -> None:
    primary, settings = instance.primary, s.settings
    if primary.config_epoch > s.epoch_on_disk:
        return
    address, epoch = primary.current_address, min(s.current_epoch, s.epoch_on_disk)
    text = ",".join((
        settings.announce_ip or instance.link.local_ip, str(settings.announce_port or settings.port), s.my_id,
        str(epoch), primary.name, s.shown(address), str(address.port), str(primary.config_epoch),
    ))  # fmt: skip
    name = "PUBLISH" if isinstance(instance, Peer) else primary.called("PUBLISH")
    s.send(instance, "publish", name, HELLO_CHANNEL, text)


def hurry_hellos(s: State, primary: Primary) -> None:
    """Everybody is to hear of a change with the next tick."""
    for instance in (primary, *primary.replicas.values(), *primary.peers.values()):
        instance.last_hello_sent_ms -= s.periods.publish_period + 1


def hear(s: State, text: str) -> None:
    """A hello of another sentinel (or our own, which comes back)."""
    hello = parse_hello(text)
    if hello is None or hello.run_id == s.my_id:
        return
    primary = s.primaries.get(hello.name)
    if primary is None:
        return
    peer = primary.peers.get(hello.run_id)
    if peer is None or not s.is_at(peer.address, hello.host, hello.port):
        peer = _meet(s, primary, hello)
    if hello.epoch > s.current_epoch:
        s.current_epoch = hello.epoch
        s.persist()
        s.announce("warning", "+new-epoch", str(s.current_epoch), primary)
    if peer is None:
        return
    if hello.config_epoch > primary.config_epoch:
        _take_configuration(s, primary, peer, hello)
    elif hello.config_epoch == primary.config_epoch:
        _settle_collision(s, primary, hello)
    peer.last_hello_ms = s.now


def _meet(s: State, primary: Primary, hello: Hello) -> Peer | None:
    """A sentinel that we do not know, or not at this address."""
    address = s.address(hello.host, hello.port)
    if address is None:
        return None
    before = primary.peers.pop(hello.run_id, None)
    if before is not None:
        forget(s, before)
        shown = f" ip {hello.host} port {hello.port} for {hello.run_id}"
        s.tell("notice", "+sentinel-address-switch", primary, shown)
        _move_others(s, hello.run_id, address)
    else:
        _invalidate(s, primary, address)
        if not has_room(s, primary, "sentinels"):
            return None
    peer = add_peer(s, primary, hello.run_id, address)
    if before is None:
        s.tell("notice", "+sentinel", peer)
    s.persist()
    return peer


def _invalidate(s: State, primary: Primary, address: Address) -> None:
    """Whoever was at this address before is there no more; its own hello will say where it went, if it is anywhere: as
    long as it counts among those who vote, a majority may be out of reach."""
    for other in list(primary.peers.values()):
        if other.address[1:] == address[1:]:
            s.tell("notice", "+sentinel-invalid-addr", other)
            for one in s.primaries.values():
                gone = one.peers.pop(other.run_id, None)
                if gone is not None:
                    forget(s, gone)


def _move_others(s: State, run_id: str, address: Address) -> None:
    """It is the same sentinel for all primaries that it watches with us."""
    for primary in s.primaries.values():
        other = primary.peers.get(run_id)
        if other is not None and other.address != address:
            other.address = address
            drop_connections(s, other.link)
            s.tell("notice", "+sentinel-address-update", other)


def _settle_collision(s: State, primary: Primary, hello: Hello) -> None:
    """A failover by hand, which nobody votes on, can have the epoch of one that was elected; then two primaries would
    be watched for ever. Of two sentinels that find it out the one with the smaller id gives its own a newer epoch."""
    if s.is_at(primary.current_address, hello.primary_host, hello.primary_port):
        return
    if primary.failing_over or primary.s_down or primary.link.broken or s.unsaved:
        return  # it is about to be another one's anyway
    if s.address(primary.address.host, primary.address.port) != primary.address:
        return  # it has moved, and that is no failover
    if primary.config_epoch and s.my_id < hello.run_id:
        s.current_epoch += 1
        primary.config_epoch = s.current_epoch
        s.persist()
        s.announce("warning", "+new-epoch", str(s.current_epoch), primary)


def _take_configuration(s: State, primary: Primary, peer: Peer, hello: Hello) -> None:
    """A failover that we did not make is over: what it led to has a higher epoch, so it holds."""
    before = primary.current_address  # where a failover of ours has sent clients: then that is over, too
    if not s.is_at(before, hello.primary_host, hello.primary_port):
        moved = s.address(hello.primary_host, hello.primary_port)
        if moved is None:
            return
        primary.config_epoch = hello.config_epoch
        s.tell("warning", "+config-update-from", peer)
        switch(s, primary, moved, before)
        tell_scripts(s, primary, "observer", before, moved)
        return
    primary.config_epoch = hello.config_epoch
    s.persist()
