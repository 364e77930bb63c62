"""PSYNC, SYNC, REPLCONF, REPLICAOF, FAILOVER, ROLE, WAIT, WAITAOF."""

from __future__ import annotations

from collections.abc import Iterator

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
from cluster.config.quoting import split_words
from cluster.errors import CommandError, NotAnInteger, SyntaxFault
from cluster.keyspace.numbers import INT64_MAX, parse_integer
from cluster.protocol import replies
from cluster.replication.replicas import KNOWN_CAPABILITIES, Replica

_SYNC_FLAGS = {ADMIN, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT}
_HIGHEST_PORT = 65_535
_LONGEST_ADDRESS = 256


@command("PSYNC", arity=-3, flags=_SYNC_FLAGS, group="server", since="2.8.0",
         summary="Asks for the replication stream, from an offset if it can be.", syntax="replicationid offset:integer")
def psync(ctx: Context, replid: bytes, offset: bytes, *options: bytes) -> bytes | None:
    if ctx.client.is_replica_link:
        return None
    replication = ctx.server.replication
    history = replid.decode("ascii", "replace")
    if options and options[0].lower() == b"failover":
        replication.take_over_from(history)
    _check_sync(ctx)
    replication.begin_sync(ctx.client, history, parse_integer(offset))
    return None


@command("SYNC", arity=1, flags=_SYNC_FLAGS, group="server", since="1.0.0",
         summary="Asks for a snapshot and the replication stream (the old way).")
def sync(ctx: Context) -> bytes | None:
    if ctx.client.is_replica_link:
        return None
    _check_sync(ctx)
    replication = ctx.server.replication
    replication.replica_of(ctx.client).is_old = True
    replication.begin_sync(ctx.client, "?", -1, old=True)
    return None


def _check_sync(ctx: Context) -> None:
    """A snapshot cannot be told from replies that are still on their way."""
    if ctx.client.out or ctx.client.out_bytes:
        raise CommandError("ERR SYNC and PSYNC are invalid with pending output")
    replica = ctx.server.replication.replica_of(ctx.client)
    if not replica.wants_keys and "eof" not in replica.capabilities:
        raise CommandError("ERR Filtered replica requires EOF capability")


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
                synced = options[3] if len(options) > 3 and options[2].lower() == b"fack" else b"0"
                replication.acknowledged(ctx.client, parse_integer(value), parse_integer(synced))
            return None
        if word == b"getack":
            if replication.link is not None:
                replication.link.acknowledge()
            return None
        _note_option(replication.replica_of(ctx.client), word, value, name)
    return replies.OK


def _note_option(replica: Replica, word: bytes, value: bytes, name: bytes) -> None:
    """What a replica says of itself before it asks for the stream."""
    if word == b"listening-port":
        replica.port = parse_integer(value)
    elif word == b"ip-address":
        if len(value) >= _LONGEST_ADDRESS:
            raise CommandError(
                f"ERR REPLCONF ip-address provided by replica instance is too long: {len(value)} bytes"
            )
        replica.announced_ip = value.decode("utf-8", "replace")
    elif word == b"capa":
        capability = value.decode("utf-8", "replace").lower()
        if capability in KNOWN_CAPABILITIES:
            replica.capabilities.add(capability)
    elif word == b"rdb-only":
        number = parse_integer(value)
        if number not in (0, 1):
            raise CommandError("ERR value is out of range, value must between 0 and 1")
        replica.rdb_only = number == 1
    elif word == b"rdb-filter-only":
        wanted = split_words(value.decode("utf-8", "replace"))
        if wanted is None:
            raise CommandError("ERR Missing rdb-filter-only values")
        for part in wanted:
            if part.lower() != "functions":
                raise CommandError(f"ERR Unsupported rdb-filter-only option: {part}")
        replica.wants_keys, replica.wants_functions = False, bool(wanted)
    elif word != b"version":
        raise CommandError(f"ERR Unrecognized REPLCONF option: {name.decode('utf-8', 'replace')}")


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
    if replication.failover.active:
        raise CommandError("ERR REPLICAOF not allowed while failing over.")
    if host.lower() == b"no" and port.lower() == b"one":
        if server.is_replica:
            replication.become_independent()
            server.log("notice", f"MASTER MODE enabled (user request from '{ctx.client.address}')")
        return replies.OK
    if ctx.client.is_replica_link:
        raise CommandError("ERR Command is not valid when client is a replica.")
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
    replication.become_replica_of(name, number)
    server.log("notice", f"REPLICAOF {name}:{number} enabled (user request from '{ctx.client.address}')")
    return replies.OK


@command("FAILOVER", arity=-1, flags={ADMIN, NOSCRIPT, STALE}, group="server", since="6.2.0",
         summary="Hands over to a replica, without a lost write.",
         syntax="[TO (host port:integer [FORCE])] [ABORT] [TIMEOUT milliseconds:integer]")
def failover(ctx: Context, *options: bytes) -> bytes:
    if ctx.server.cluster_enabled:
        raise CommandError("ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.")
    failover = ctx.server.replication.failover
    if len(options) == 1 and options[0].lower() == b"abort":
        failover.abort()
        return replies.OK
    target: tuple[str, int] | None = None
    timeout_ms = 0
    forced = False
    words = iter(options)
    for word in words:
        name = word.lower()
        if name == b"timeout" and not timeout_ms:
            timeout_ms = parse_integer(_next(words))
            if timeout_ms <= 0:
                raise CommandError("ERR FAILOVER timeout must be greater than 0")
        elif name == b"to" and target is None:
            host, port = _next(words), _next(words)
            target = host.decode("utf-8", "surrogateescape"), parse_integer(port)
        elif name == b"force" and not forced:
            forced = True
        else:
            raise SyntaxFault
    failover.start(target, timeout_ms, forced=forced)
    return replies.OK


def _next(words: Iterator[bytes]) -> bytes:
    word = next(words, None)
    if word is None:
        raise SyntaxFault
    return word


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
    milliseconds = _timeout_ms(ctx, timeout)
    return ctx.server.replication.wait(ctx.client, needed, milliseconds)


def _timeout_ms(ctx: Context, text: bytes) -> int:
    try:
        milliseconds = parse_integer(text)
    except NotAnInteger:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if milliseconds < 0:
        raise CommandError("ERR timeout is negative")
    if milliseconds > INT64_MAX - ctx.now_ms:
        raise CommandError("ERR timeout is out of range")
    return milliseconds


@command("WAITAOF", arity=4, group="generic", since="7.2.0", categories=("blocking", "connection"),
         tips=("request_policy:all_shards", "response_policy:agg_min"),
         summary="Waits until the writes so far are on the disk, of this server and of replicas.",
         syntax="numlocal:integer numreplicas:integer timeout:integer")
def waitaof(ctx: Context, local: bytes, count: bytes, timeout: bytes) -> bytes | None:
    local_needed = parse_integer(local)
    if not 0 <= local_needed <= 1:
        raise CommandError("ERR value is out of range, value must between 0 and 1")
    try:
        needed = parse_integer(count)
    except NotAnInteger:
        needed = -1
    if needed < 0:
        raise CommandError("ERR value is out of range, must be positive")
    milliseconds = _timeout_ms(ctx, timeout)
    if ctx.server.is_replica:
        raise CommandError(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just "
            "local and are not propagated."
        )
    if local_needed and not ctx.config.appendonly:
        raise CommandError("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    return ctx.server.persistence.aof.waits.wait(ctx.client, local_needed, needed, milliseconds)
