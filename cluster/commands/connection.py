"""AUTH, ECHO, HELLO, PING, QUIT, RESET, SELECT: the commands about the connection itself (CLIENT has its own file)."""

from __future__ import annotations

from cluster import errors
from cluster.commands.context import Context
from cluster.commands.registry import ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE, command
from cluster.errors import CommandError
from cluster.keyspace.numbers import parse_int32, parse_integer
from cluster.protocol import replies
from cluster.version import REDIS_VERSION

_LOCAL = ("127.", "[::1]", "::1", "/")
_NO_PASSWORD_SET = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)


@command("PING", arity=-1, flags={FAST}, group="connection", since="1.0.0",
         summary="Answers PONG, or the given message.", tips=("request_policy:all_shards",
                                                              "response_policy:all_succeeded"), syntax="[message]")
def ping(ctx: Context, *message: bytes) -> bytes:
    if len(message) > 1:
        raise errors.wrong_arity("ping")
    if ctx.client.subscribed is not None and ctx.resp == 2:
        return replies.bulk_array([b"pong", message[0] if message else b""])
    return replies.bulk(message[0]) if message else replies.PONG


@command("ECHO", arity=2, flags={FAST, LOADING, STALE}, group="connection", since="1.0.0",
         summary="Answers the given message.", syntax="message")
def echo(_ctx: Context, message: bytes) -> bytes:
    return replies.bulk(message)


@command("QUIT", arity=-1, flags={ALLOW_BUSY, NOSCRIPT, LOADING, STALE, FAST, NO_AUTH}, group="connection",
         since="1.0.0", summary="Closes the connection.", deprecated=("7.2.0", "just closing the connection"))
def quit_(ctx: Context, *_ignored: bytes) -> bytes:
    ctx.client.close_after_replies()
    return replies.OK


@command("SELECT", arity=2, flags={FAST, LOADING, STALE}, group="connection", since="1.0.0",
         summary="Changes the database of the connection.", syntax="index:integer")
def select(ctx: Context, index: bytes) -> bytes:
    number = parse_int32(index)
    if ctx.config.cluster_enabled and number != 0:
        raise CommandError("ERR SELECT is not allowed in cluster mode")
    if not 0 <= number < len(ctx.server.databases):
        raise CommandError("ERR DB index is out of range")
    ctx.client.select(ctx.server.databases[number])
    return replies.OK


@command("AUTH", arity=-2, flags={NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY}, group="connection",
         since="1.0.0", summary="Logs the connection in.", complexity="O(N) in the number of passwords",
         syntax="[username]@6.0.0 password")
def auth(ctx: Context, *arguments: bytes) -> bytes:
    if len(arguments) > 2:
        raise errors.SyntaxFault
    access = ctx.server.access
    if len(arguments) == 1 and access.default.needs_no_password:
        raise CommandError(_NO_PASSWORD_SET)
    user, password = (access.default.name, arguments[0]) if len(arguments) == 1 else arguments
    access.authenticate(ctx.client, user, password)
    return replies.OK


@command("HELLO", arity=-1, flags={NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY}, group="connection",
         since="6.0.0", summary="Chooses the protocol version, and may log in and name the connection.",
         syntax="[protover:integer [AUTH (username password)] [SETNAME clientname]]")
def hello(ctx: Context, *arguments: bytes) -> bytes:
    client = ctx.client
    version = client.resp
    rest = list(arguments)
    if rest:
        try:
            version = parse_integer(rest.pop(0))
        except errors.NotAnInteger:
            raise CommandError("ERR Protocol version is not an integer or out of range") from None
        if version not in (2, 3):
            raise CommandError("NOPROTO unsupported protocol version")
    name: bytes | None = None
    while rest:
        option = rest.pop(0)
        word = option.upper()
        if word == b"AUTH" and len(rest) >= 2:
            ctx.server.access.authenticate(client, rest.pop(0), rest.pop(0))
        elif word == b"SETNAME" and rest:
            name = check_name(rest.pop(0), "Client names")
        else:
            shown = option.decode("utf-8", "surrogateescape")
            raise CommandError(f"ERR Syntax error in HELLO option '{shown}'")
    if not client.authenticated:
        raise CommandError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
            "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
            "the same time"
        )
    if name is not None:
        client.name = name
    client.resp = version
    ctx.set_resp(version)
    mode = ctx.server.mode
    role = {} if mode == "sentinel" else {"role": replies.text("replica" if ctx.server.is_replica else "master")}
    return replies.string_map(
        {
            "server": replies.text("redis"),
            "version": replies.text(REDIS_VERSION),
            "proto": replies.integer(version),
            "id": replies.integer(client.id),
            "mode": replies.text(mode),
            **role,
            "modules": replies.EMPTY_ARRAY,
        },
        version,
    )


def check_name(name: bytes, what: str) -> bytes:
    """`name` if it can stand in CLIENT LIST: printable, no blanks. `what` begins the error."""
    if any(byte < 33 or byte > 126 for byte in name):
        raise CommandError(f"ERR {what} cannot contain spaces, newlines or special characters.")
    return name


def allows(ctx: Context, who: str) -> bool:
    """Whether `who` (yes, no, or local: the value of an enable- directive) includes the client at hand."""
    return who == "yes" or (who == "local" and ctx.client.address.startswith(_LOCAL))


@command("RESET", arity=1, flags={NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY}, group="connection",
         since="6.2.0", summary="Takes the connection back to how it began.")
def reset(ctx: Context) -> bytes:
    client = ctx.client
    if client.transaction is not None:
        client.end_transaction()
    ctx.server.watching.forget(client)
    ctx.server.pubsub.forget(client)
    ctx.server.monitors.pop(client.id, None)
    client.name = b""
    client.resp = 2
    client.asking = False
    client.reads_replica = False
    if client.reply_mode == "off":  # SKIP is over with this very reply
        client.reply_mode = "on"
    client.no_evict = client.no_touch = False
    ctx.server.tracking.stop(client)
    client.become(ctx.server.access.default, authenticated=ctx.server.access.is_open)
    client.select(ctx.server.databases[0])
    client.refresh()
    ctx.server.refresh_road()
    ctx.bind(client)
    return b"+RESET\r\n"
