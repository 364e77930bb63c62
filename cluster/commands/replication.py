"""PSYNC, SYNC, REPLCONF, REPLICAOF, ROLE, WAIT."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    command,
)
from cluster.errors import CommandError, NotAnInteger, SyntaxFault
from cluster.keyspace.numbers import INT64_MAX, parse_integer
from cluster.protocol import replies

_SYNC_FLAGS = {ADMIN, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT}
_HIGHEST_PORT = 65_535


@command("PSYNC", arity=-3, flags=_SYNC_FLAGS, group="server", since="2.8.0",
         summary="Asks for the replication stream, from an offset if it can be.", syntax="replicationid offset:integer")
def psync(ctx: Context, replid: bytes, offset: bytes, *_options: bytes) -> bytes | None:
    if ctx.client.is_replica_link:
        return None
    ctx.server.replication.begin_sync(ctx.client, replid.decode("ascii", "replace"), parse_integer(offset))
    return None


@command("SYNC", arity=1, flags=_SYNC_FLAGS, group="server", since="1.0.0",
         summary="Asks for a snapshot and the replication stream (the old way).")
def sync(ctx: Context) -> bytes | None:
    if ctx.client.is_replica_link:
        return None
    replication = ctx.server.replication
    replication.replica_of(ctx.client).is_old = True
    replication.begin_sync(ctx.client, "?", -1, old=True)
    return None


@command("REPLCONF", arity=-1, flags={ADMIN, NOSCRIPT, LOADING, STALE, ALLOW_BUSY}, group="server", since="3.0.0",
         summary="What replica and primary tell each other about the stream.")
def replconf(ctx: Context, *options: bytes) -> bytes | None:
    if len(options) % 2:
        raise SyntaxFault
    replication = ctx.server.replication
    for name, value in zip(options[::2], options[1::2], strict=True):
        word = name.lower()
        if word == b"ack":
            if ctx.client.is_replica_link:
                replication.acknowledged(ctx.client, parse_integer(value))
            return None
        if word == b"getack":
            if replication.link is not None:
                replication.link.acknowledge()
            return None
        replica = replication.replica_of(ctx.client)
        if word == b"listening-port":
            replica.port = parse_integer(value)
        elif word == b"ip-address":
            replica.announced_ip = value.decode("utf-8", "replace")
        elif word == b"capa":
            replica.capabilities.add(value.decode("utf-8", "replace").lower())
        elif word == b"rdb-only":
            replica.rdb_only = parse_integer(value) == 1
        elif word not in (b"rdb-filter-only", b"version"):
            raise CommandError(f"ERR Unrecognized REPLCONF option: {name.decode('utf-8', 'replace')}")
    return replies.OK


@command("REPLICAOF", arity=3, flags={ADMIN, NOSCRIPT, STALE, NO_ASYNC_LOADING}, group="server", since="5.0.0",
         summary="Makes this server a replica of another, or of none.", syntax="(host port:integer | NO ONE)")
@command("SLAVEOF", arity=3, flags={ADMIN, NOSCRIPT, STALE, NO_ASYNC_LOADING}, group="server", since="1.0.0",
         summary="Makes this server a replica of another, or of none (the old name).",
         syntax="(host port:integer | NO ONE)", deprecated=("5.0.0", "`REPLICAOF`"))
def replicaof(ctx: Context, host: bytes, port: bytes) -> bytes:
    server = ctx.server
    if server.cluster_enabled:
        raise CommandError("ERR REPLICAOF not allowed in cluster mode.")
    replication = server.replication
    if host.lower() == b"no" and port.lower() == b"one":
        server.is_replica = False
        ctx.config.replace("replicaof", None)
        replication.become_primary()
        server.refresh_road()
        return replies.OK
    try:
        number = parse_integer(port)
    except NotAnInteger:
        raise CommandError("ERR Invalid master port") from None
    if not 0 <= number <= _HIGHEST_PORT:
        raise CommandError("ERR Invalid master port")
    name = host.decode("utf-8", "surrogateescape")
    link = replication.link
    if link is not None and (link.host, link.port) == (name, number):
        return replies.simple("OK Already connected to specified master")
    server.is_replica = True
    ctx.config.replace("replicaof", (name, number))
    replication.follow(name, number)
    server.refresh_road()
    return replies.OK


@command("ROLE", arity=1, flags={NOSCRIPT, LOADING, STALE, FAST}, group="server", since="2.8.12",
         categories=("admin", "dangerous"),
         summary="Answers whether this is a primary or a replica, and of what.")
def role(ctx: Context) -> bytes:
    replication = ctx.server.replication
    link = replication.link
    if link is not None:
        return replies.array([
            replies.text("slave"), replies.text(link.host), replies.integer(link.port), replies.text(link.state),
            replies.integer(replication.offset if link.up else -1),
        ])
    followers = [
        replies.array([replies.text(one.ip), replies.text(str(one.port)), replies.text(str(one.acknowledged))])
        for one in replication.replicas.values() if one.online
    ]
    return replies.array([replies.text("master"), replies.integer(replication.offset), replies.array(followers)])


@command("WAIT", arity=3, group="generic", since="3.0.0", categories=("blocking", "connection"),
         tips=("request_policy:all_shards", "response_policy:agg_min"),
         summary="Waits until replicas have acknowledged the writes so far.",
         syntax="numreplicas:integer timeout:integer")
def wait(ctx: Context, count: bytes, timeout: bytes) -> bytes | None:
    if ctx.server.is_replica:
        raise CommandError(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "
            "configured to be writable (which is not the default) writes to replicas are just local and are not "
            "propagated."
        )
    needed = parse_integer(count)
    try:
        milliseconds = parse_integer(timeout)
    except NotAnInteger:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if milliseconds < 0:
        raise CommandError("ERR timeout is negative")
    if milliseconds > INT64_MAX - ctx.now_ms:
        raise CommandError("ERR timeout is out of range")
    return ctx.server.replication.wait(ctx.client, needed, milliseconds)
