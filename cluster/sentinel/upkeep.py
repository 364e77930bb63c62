"""Keeping in touch: connections, PING, INFO and hello at their times, and who counts as down."""

from __future__ import annotations

from cluster.sentinel.events import Connect, Send, Value
from cluster.sentinel.hello import say_hello
from cluster.sentinel.members import drop_connections
from cluster.sentinel.state import (
    HELLO_CHANNEL,
    MAX_PENDING,
    DataServer,
    Instance,
    Link,
    Peer,
    Primary,
    Replica,
    State,
)

BUSY_INFO_PERIOD_MS = 1000
"""INFO is asked for so often where a failover is near or under way, or a replica has lost its primary."""
STALE_ANSWERS = 5
"""After so many ask-periods what a sentinel said of a primary no longer counts."""
SILENT_PERIODS = 3
"""After so many times that one of us should have been heard, a subscription is taken for dead."""


def reconnect(s: State, instance: Instance) -> None:
    """Ask for the connections that are missing, once a second."""
    link = instance.link
    if not link.broken or not instance.address.port:
        return
    if link.last_connect_ms and s.now - link.last_connect_ms < s.periods.ping_period:
        return
    link.last_connect_ms = s.now
    if s.settings.resolve_hostnames:
        address = s.address(instance.address.host, instance.address.port)
        if address is not None:
            instance.address = address
    if not instance.address.ip:
        return
    if link.commands is None:
        link.commands = _connect(s, instance)
        link.commands_since_ms = s.now
        link.pending = 0
        _introduce(s, instance, link.commands, "cmd")
        ping(s, instance)
    if link.messages is None and isinstance(instance, DataServer):
        link.messages = _connect(s, instance)
        link.messages_since_ms = link.last_message_ms = s.now
        _introduce(s, instance, link.messages, "pubsub")
        s.out.append(Send(link.messages, (b"SUBSCRIBE", HELLO_CHANNEL)))


def _connect(s: State, instance: Instance) -> int:
    connection = s.new_connection(instance.link)
    s.out.append(Connect(connection, instance.address.ip, instance.address.port))
    return connection


def _introduce(s: State, instance: Instance, connection: int, which: str) -> None:
    """Log in, and say who we are. Of a subscription's replies only messages count, so nothing waits for them."""
    user, password = _login(s, instance)
    hellos: list[tuple[Value, ...]] = []
    if password:
        name = renamed(instance, "AUTH")
        hellos.append((name, user, password) if user else (name, password))
    hellos.append((renamed(instance, "CLIENT"), "SETNAME", f"sentinel-{s.my_id[:8]}-{which}"))
    for arguments in hellos:
        if which == "cmd":
            s.send(instance, "", *arguments)
        else:
            s.out.append(Send(connection, arguments))


def _login(s: State, instance: Instance) -> tuple[str, str]:
    if isinstance(instance, Peer):
        ours = s.settings
        return (ours.sentinel_user, ours.sentinel_pass) if ours.sentinel_pass else ("", ours.requirepass)
    return instance.primary.auth_user, instance.primary.auth_pass


def renamed(instance: Instance, name: str) -> str:
    """What a command is called there."""
    return name if isinstance(instance, Peer) else instance.primary.called(name)


def ping(s: State, instance: Instance) -> None:
    link = instance.link
    s.send(instance, "ping", renamed(instance, "PING"))
    link.last_ping_ms = s.now
    if not link.ping_asked_ms:
        link.ping_asked_ms = s.now


def send_periodic(s: State, instance: Instance) -> None:
    """PING, INFO and hello, each when its time has come."""
    link, periods = instance.link, s.periods
    if link.broken or link.pending >= MAX_PENDING * len(link.owners):
        return
    if isinstance(instance, DataServer):
        since = s.now - instance.info_at_ms
        if not instance.info_asked and (not instance.info_at_ms or since > _info_period(s, instance)):
            ask_info(s, instance)
    ping_period = min(instance.down_after_ms, periods.ping_period)
    if s.now - link.last_pong_ms > ping_period and s.now - link.last_ping_ms > ping_period // 2:
        ping(s, instance)
    if s.now - instance.last_hello_sent_ms > periods.publish_period:
        say_hello(s, instance)


def ask_info(s: State, server: DataServer) -> None:
    server.info_asked = True
    s.send(server, "info", renamed(server, "INFO"))


def _info_period(s: State, instance: DataServer) -> int:
    if isinstance(instance, Replica):
        primary = instance.primary
        if primary.o_down or primary.failing_over or instance.link_down_ms:
            return BUSY_INFO_PERIOD_MS
    return s.periods.info_period


def check_subjectively_down(s: State, instance: Instance) -> None:
    link = instance.link
    silent_ms = 0
    if link.ping_asked_ms:
        silent_ms = s.now - link.ping_asked_ms
    elif link.broken:
        silent_ms = s.now - link.last_available_ms
    _renew_silent_links(s, instance)
    down = silent_ms > instance.down_after_ms
    if isinstance(instance, Primary):
        settle_ms = instance.down_after_ms + 2 * s.periods.info_period
        down = down or (instance.role == "slave" and s.now - instance.role_since_ms > settle_ms)
        rebooted = instance.rebooted_ms
        down = down or (rebooted is not None and s.now - rebooted > instance.reboot_down_after_ms)
    if down and not instance.s_down:
        instance.s_down, instance.s_down_since_ms = True, s.now
        if isinstance(instance, Primary) and not instance.lost_since_ms:
            instance.lost_since_ms = s.now
        s.tell("warning", "+sdown", instance)
    elif not down and instance.s_down:
        instance.s_down = instance.script_kill_sent = False
        s.tell("warning", "-sdown", instance)


def _renew_silent_links(s: State, instance: Instance) -> None:
    """A connection over which nothing comes may be dead without anybody noticing: make it anew."""
    link, least = instance.link, s.periods.min_link_reconnect_period
    half = instance.down_after_ms // 2
    if (
        link.commands is not None and s.now - link.commands_since_ms > least and link.ping_asked_ms
        and s.now - link.ping_asked_ms > half and s.now - link.last_pong_ms > half
    ):  # fmt: skip
        _lose_commands(s, link)
    silent_ms = s.now - link.last_message_ms
    if (
        link.messages is not None and s.now - link.messages_since_ms > least
        and silent_ms > SILENT_PERIODS * s.periods.publish_period
    ):  # fmt: skip
        s.close(link.messages)
        link.messages = None
        link.broken = True


def _lose_commands(s: State, link: Link) -> None:
    messages, link.messages = link.messages, None
    drop_connections(s, link)
    link.messages = messages


def connected(s: State, number: int, local_ip: str) -> None:
    connection = s.connections.get(number)
    if connection is None:
        return
    connection.up = True
    link = connection.link
    if number == link.commands:
        link.local_ip = local_ip
        link.commands_since_ms = s.now
    else:
        link.messages_since_ms = link.last_message_ms = s.now
    needs_messages = any(isinstance(owner, DataServer) for owner in link.owners)
    commands = s.connections.get(link.commands) if link.commands is not None else None
    both = commands is not None and commands.up and (link.messages is not None or not needs_messages)
    link.broken = not both


def disconnected(s: State, number: int, cause: str) -> None:
    connection = s.connections.pop(number, None)
    if connection is None:
        return
    link = connection.link
    was_commands = number == link.commands
    if was_commands:
        link.commands = None
        _lose_commands(s, link)
    elif number == link.messages:
        link.messages = None
        link.broken = True
    for owner in link.owners:
        event = "-cmd-link-reconnection" if was_commands else "-pubsub-link-reconnection"
        s.note("debug", f"{event} {s.described(owner)} #{cause}")


def check_objectively_down(s: State, primary: Primary) -> None:
    """Down is what a quorum of sentinels, ourselves among them, says."""
    for peer in primary.peers.values():  # before they are counted: in TILT, all may have grown old
        if s.now - peer.last_answer_ms > STALE_ANSWERS * s.periods.ask_period:
            peer.says_down = False
            peer.leader = ""
    count = 1 + sum(1 for peer in primary.peers.values() if peer.says_down) if primary.s_down else 0
    down = primary.s_down and count >= primary.quorum
    if down and not primary.o_down:
        primary.o_down, primary.o_down_since_ms = True, s.now
        s.tell("warning", "+odown", primary, f" #quorum {count}/{primary.quorum}")
    elif not down and primary.o_down:
        primary.o_down = False
        s.tell("warning", "-odown", primary)
