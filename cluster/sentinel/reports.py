"""What servers and sentinels answer: to PING, to INFO, to is-master-down-by-addr; and what is done about it."""

from __future__ import annotations

from cluster.sentinel.election import take_answer
from cluster.sentinel.events import Crash, ErrorReply, Reply
from cluster.sentinel.failover import send_replicaof
from cluster.sentinel.hello import hurry_hellos
from cluster.sentinel.members import add_replica, has_room, is_replica, tell_scripts
from cluster.sentinel.state import (
    MAX_KEPT_INFO,
    PROMOTED,
    RECONFIGURE,
    WAIT_PROMOTION,
    DataServer,
    Instance,
    Peer,
    Primary,
    Replica,
    State,
)
from cluster.sentinel.upkeep import renamed

_ALIVE = ("PONG", "LOADING", "MASTERDOWN")
PATIENCE_HELLOS = 4
"""A replica that says it is a primary has so many publish-periods in which a hello may tell us that it should be."""
FRESH_INFOS = 2
_HIGHEST_PORT = 65535
_MAX_INFO_LINES = 20_000
"""Of INFO, which has some 200 and one for each replica."""


def text_of(reply: Reply) -> str:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    return str(reply) if isinstance(reply, ErrorReply | int) else ""


def take_ping(s: State, instance: Instance, reply: Reply) -> None:
    link = instance.link
    text = text_of(reply)
    if text.startswith(_ALIVE):
        link.last_available_ms = s.now
        link.ping_asked_ms = 0
        if isinstance(instance, Primary) and text.startswith("PONG"):
            instance.rebooted_ms = None
            instance.lost_since_ms = 0
    elif text.startswith("BUSY") and instance.s_down and not instance.script_kill_sent:
        # A script that wrote nothing is not worth a failover.
        s.send(instance, "", renamed(instance, "SCRIPT"), "KILL")
        instance.script_kill_sent = True
    link.last_pong_ms = s.now


def take_down_answer(s: State, peer: Peer, reply: Reply) -> None:
    peer.asked = False
    if not isinstance(reply, list) or len(reply) != 3:
        return
    down, leader, epoch = reply
    if isinstance(down, int) and isinstance(leader, bytes) and isinstance(epoch, int):
        take_answer(s, peer, down == 1, text_of(leader), epoch)


def take_info(s: State, server: DataServer, reply: Reply) -> None:
    """Learn from INFO, then act on what does not fit."""
    server.info_asked = False
    if not isinstance(reply, bytes):
        return
    text = text_of(reply)
    role = _read(s, server, text)
    server.info = text if isinstance(server, Primary) else text[:MAX_KEPT_INFO]
    server.info_at_ms = s.now
    if role and role != server.role:
        server.role = "master" if role == "master" else "slave"
        server.role_since_ms = s.now
        if role == "slave" and isinstance(server, Replica):
            server.follows_since_ms = s.now
        event = "+role-change" if server.kind == role else "-role-change"
        s.tell("verbose", event, server, f" new reported role is {role}")
    if s.tilt or not isinstance(server, Replica):
        return
    if role == "master":
        _replica_is_primary(s, server)
    elif role == "slave":
        _check_whom_it_follows(s, server)
        _check_reconfiguration(s, server)


def _read(s: State, server: DataServer, text: str) -> str:
    """Take the fields of INFO; the role that it reports, '' for none."""
    role = ""
    if isinstance(server, Replica):
        server.link_down_ms = 0
    fields = fields_of(text)
    _take_run_id(s, server, fields.get("run_id", ""))
    if fields.get("role") in ("master", "slave"):
        role = fields["role"]
    if isinstance(server, Primary):
        find_replicas(s, server, fields)
    elif isinstance(server, Replica):
        down_s = _number(fields.get("master_link_down_since_seconds", ""))
        server.link_down_ms = 1000 * down_s if down_s is not None and down_s > 0 else 0
        if role == "slave":
            _read_replica(s, server, fields)
    return role


def fields_of(text: str) -> dict[str, str]:
    """Of an INFO."""
    lines = [line.partition(":") for line in text.split("\r\n", _MAX_INFO_LINES)[:_MAX_INFO_LINES]]
    return {name: value for name, colon, value in lines if colon}


def _take_run_id(s: State, server: DataServer, run_id: str) -> None:
    if not run_id or run_id == server.run_id:
        return
    if server.run_id:
        s.tell("notice", "+reboot", server)
        if isinstance(server, Primary) and server.reboot_down_after_ms:
            server.rebooted_ms = s.now
    server.run_id = run_id


def find_replicas(s: State, primary: Primary, fields: dict[str, str]) -> None:
    """``slave0:ip=127.0.0.1,port=6380,…``"""
    for name, value in fields.items():
        if not (name.startswith("slave") and name[5:].isdecimal()):
            continue
        parts = dict(part.partition("=")[::2] for part in value.split(","))
        port = _number(parts.get("port", ""))
        address = s.address(parts.get("ip", ""), port) if port and port <= _HIGHEST_PORT else None
        if address is None or is_replica(s, primary, address):
            continue
        if not has_room(s, primary, "replicas"):
            break
        replica = add_replica(s, primary, address)
        if replica is not None:
            s.tell("notice", "+slave", replica)
            s.persist()


def _read_replica(s: State, replica: Replica, fields: dict[str, str]) -> None:
    host = fields.get("master_host", replica.follows_host)
    port = _number(fields.get("master_port", ""))
    port = replica.follows_port if port is None else port
    if (host, port) != (replica.follows_host, replica.follows_port):
        replica.follows_host, replica.follows_port = host, port
        replica.follows_since_ms = s.now
    if "master_link_status" in fields:
        replica.link_up = fields["master_link_status"] == "up"
    for field, attribute in (("slave_priority", "priority"), ("slave_repl_offset", "offset")):
        number = _number(fields.get(field, ""))
        if number is not None:
            setattr(replica, attribute, number)
    if "replica_announced" in fields:
        replica.announced = fields["replica_announced"] != "0"


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) < 20 else None


def _replica_is_primary(s: State, replica: Replica) -> None:
    """It says that it is a primary: because we made it one, or because it was one and has come back."""
    primary = replica.primary
    if replica.promoted and primary.failing_over and primary.stage == WAIT_PROMOTION:
        primary.config_epoch = primary.failover_epoch
        primary.stage, primary.stage_since_ms = RECONFIGURE, s.now
        s.persist()
        s.tell("warning", "+promoted-slave", replica)
        if PROMOTED in s.failures:
            s.out.append(Crash())
        s.tell("warning", "+failover-state-reconf-slaves", primary)
        tell_scripts(s, primary, "leader", primary.address, replica.address)
        hurry_hellos(s, primary)
        return
    patience_ms = PATIENCE_HELLOS * s.periods.publish_period
    if (
        not replica.promoted and looks_sane(s, primary) and has_been_up(s, replica, patience_ms)
        and s.now - replica.role_since_ms > patience_ms and not replica.link.broken
    ):  # fmt: skip
        send_replicaof(s, replica, primary.address)
        s.tell("notice", "+convert-to-slave", replica)


def _check_whom_it_follows(s: State, replica: Replica) -> None:
    primary = replica.primary
    if s.is_at(primary.address, replica.follows_host, replica.follows_port):
        return
    patience_ms = primary.failover_timeout_ms
    if (
        looks_sane(s, primary) and has_been_up(s, replica, patience_ms)
        and s.now - replica.follows_since_ms > patience_ms and not replica.link.broken
    ):  # fmt: skip
        send_replicaof(s, replica, primary.address)
        s.tell("notice", "+fix-slave-config", replica)


def _check_reconfiguration(s: State, replica: Replica) -> None:
    promoted = replica.primary.promoted
    if replica.reconfiguration == "sent" and promoted is not None:
        if s.is_at(promoted.address, replica.follows_host, replica.follows_port):
            replica.reconfiguration = "inprog"
            s.tell("notice", "+slave-reconf-inprog", replica)
    if replica.reconfiguration == "inprog" and replica.link_up:
        replica.reconfiguration = "done"
        s.tell("notice", "+slave-reconf-done", replica)


def looks_sane(s: State, primary: Primary) -> bool:
    """Up, a primary by its own word, and lately so: a good one to send others to."""
    fresh = s.now - primary.info_at_ms < FRESH_INFOS * s.periods.info_period
    return primary.role == "master" and not primary.s_down and not primary.o_down and fresh


def has_been_up(s: State, server: Replica, for_ms: int) -> bool:
    return not server.s_down_since_ms or s.now - server.s_down_since_ms > for_ms
