"""CLIENT: who is connected, and what may be done to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.commands.client_memory import client_memory
from cluster.commands.connection import check_name
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from cluster.errors import CommandError, NotAnInteger, SyntaxFault, wrong_subcommand
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies
from cluster.pubsub import Subscriptions

if TYPE_CHECKING:
    from cluster.network.session import Session

_FLAGS = {NOSCRIPT, LOADING, STALE}
_ADMIN = {ADMIN, *_FLAGS}
_VARIES = ("nondeterministic_output",)
_TYPES = {b"normal": "normal", b"master": "master", b"slave": "replica", b"replica": "replica", b"pubsub": "pubsub"}

CLIENT = container("CLIENT", group="connection", since="2.4.0", summary="Holds the commands about client connections.")


def client_type(session: Session) -> str:
    """normal, master, replica or pubsub, as CLIENT LIST TYPE has it."""
    if session.is_primary_link:
        return "master"
    if session.is_replica_link:
        return "replica"
    return "normal" if session.subscribed is None else "pubsub"


def describe(ctx: Context, session: Session, *options: bytes) -> str:
    """A line of CLIENT LIST, without its end; `options` are those of the command that asks."""
    now = ctx.now_ms
    transaction = session.transaction
    arguments = 0
    command_name = session.last_command.full_name if session.last_command is not None else "NULL"
    if session is ctx.client and ctx.command is not None:
        command_name = ctx.command.full_name
        arguments = len(command_name) - len("|") + sum(map(len, options))
    memory = client_memory(session, arguments)
    listening = session.subscribed or Subscriptions()
    fields = {
        "id": session.id,
        "addr": session.address,
        "laddr": session.local_address,
        "fd": getattr(session.transport, "fd", -1),
        "name": _text(session.name),
        "age": max(0, now - session.created_ms) // 1000,
        "idle": max(0, now - session.last_used_ms) // 1000,
        "flags": _flags(session),
        "db": session.db.index,
        "sub": len(listening.channels),
        "psub": len(listening.patterns),
        "ssub": len(listening.shard_channels),
        "multi": len(transaction.commands) if transaction is not None else -1,
        "watch": len(session.watched),
        "qbuf": memory.query,
        "qbuf-free": memory.query_free,
        "argv-mem": memory.arguments,
        "multi-mem": memory.transaction,
        "rbs": 0,
        "rbp": 0,
        "obl": memory.replies,
        "oll": memory.chunks,
        "omem": memory.unsent,
        "tot-mem": memory.total,
        "events": "rw" if session.out_bytes else "r",
        "cmd": command_name,
        "user": "(superuser)" if session.user is None else _text(session.user.name),
        "redir": -1 if session.tracked is None else session.tracked.redirect,
        "resp": session.resp,
        "lib-name": _text(session.library),
        "lib-ver": _text(session.library_version),
        "tot-net-in": session.total_in,
        "tot-net-out": session.total_out,
    }
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _flags(session: Session) -> str:
    letters = {
        "M": session.is_primary_link,
        "S": session.is_replica_link,
        "O": "monitor" in session.client_flags,
        "P": session.subscribed is not None,
        "x": session.transaction is not None,
        "b": session.wait is not None,
        "d": "dirty_cas" in session.client_flags,
        "c": session.closing,
        "U": "unix" in session.client_flags,
        "r": session.reads_replica,
        "t": session.tracked is not None,
        "R": session.tracked is not None and session.tracked.is_broken,
        "B": session.tracked is not None and session.tracked.broadcasts,
        "e": session.no_evict,
        "T": session.no_touch,
    }
    return "".join(letter for letter, holds in letters.items() if holds) or "N"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


@command("CLIENT ID", arity=2, flags=_FLAGS, group="connection", since="5.0.0",
         summary="Answers the connection's id.")
def client_id(ctx: Context) -> bytes:
    return replies.integer(ctx.client.id)


@command("CLIENT INFO", arity=2, flags=_FLAGS, group="connection", since="6.2.0", tips=_VARIES,
         summary="Describes the connection.")
def client_info(ctx: Context) -> bytes:
    return replies.verbatim(f"{describe(ctx, ctx.client)}\n".encode("utf-8", "surrogateescape"), ctx.resp)


@command("CLIENT LIST", arity=-2, flags=_ADMIN, group="connection", since="2.4.0", tips=_VARIES,
         summary="Describes the connections, a line each.", complexity="O(N) in the number of connections",
         syntax="[TYPE (NORMAL | MASTER | REPLICA | PUBSUB)]@5.0.0 [ID client-id:integer...]@6.2.0")
def client_list(ctx: Context, *options: bytes) -> bytes:
    sessions = list(ctx.server.clients.values())
    if options:
        word = options[0].upper()
        if word == b"TYPE" and len(options) == 2:
            wanted = _known_type(options[1])
            sessions = [one for one in sessions if client_type(one) == wanted]
        elif word == b"ID" and len(options) > 1:
            found = (ctx.server.clients.get(_number(one, "ERR Invalid client ID")) for one in options[1:])
            sessions = [one for one in found if one is not None]
        else:
            raise SyntaxFault
    text = "".join(f"{describe(ctx, one, *options)}\n" for one in sessions)
    return replies.verbatim(text.encode("utf-8", "surrogateescape"), ctx.resp)


def _known_type(argument: bytes) -> str:
    found = _TYPES.get(argument.lower())
    if found is None:
        raise CommandError(f"ERR Unknown client type '{_text(argument)}'")
    return found


def _number(argument: bytes, error: str) -> int:
    try:
        return parse_integer(argument)
    except NotAnInteger:
        raise CommandError(error) from None


def _id(argument: bytes, error: str) -> int:
    number = _number(argument, error)
    if number <= 0:
        raise CommandError(error)
    return number


@command("CLIENT KILL", arity=-3, flags=_ADMIN, group="connection", since="2.4.0",
         summary="Closes connections.", complexity="O(N) in the number of connections",
         syntax="(ip:port | (ID client-id:integer@2.8.12 | TYPE (NORMAL | MASTER@3.2.0 | SLAVE | REPLICA@5.0.0 | "
                "PUBSUB)@2.8.12 | USER username | ADDR ip:port | LADDR ip:port@6.2.0 | SKIPME (YES | NO))...)")
def client_kill(ctx: Context, *options: bytes) -> bytes:
    everyone = list(ctx.server.clients.values())
    if len(options) == 1:
        address = _text(options[0])
        matching = [one for one in everyone if one.address == address]
        if not matching:
            raise CommandError("ERR No such client")
        _kill(ctx, matching)
        return replies.OK
    if len(options) % 2:
        raise SyntaxFault
    skip_me = True
    conditions: dict[bytes, Callable[[Session], bool]] = {}  # of an option that is given twice the last counts
    for word, value in zip(options[::2], options[1::2], strict=True):
        if word.upper() == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise SyntaxFault
            skip_me = value.lower() == b"yes"
        else:
            conditions[word.upper()] = _condition(ctx, word.upper(), value)
    chosen = [
        one for one in everyone
        if all(holds(one) for holds in conditions.values()) and not (skip_me and one is ctx.client)
    ]
    _kill(ctx, chosen)
    return replies.integer(len(chosen))


def _condition(ctx: Context, word: bytes, value: bytes) -> Callable[[Session], bool]:
    if word == b"ID":
        number = _id(value, "ERR client-id should be greater than 0")
        return lambda one: one.id == number
    if word == b"TYPE":
        wanted = _known_type(value)
        return lambda one: client_type(one) == wanted
    if word == b"ADDR":
        return lambda one: one.address == _text(value)
    if word == b"LADDR":
        return lambda one: one.local_address == _text(value)
    if word == b"USER":
        if ctx.server.access.users.get(value) is None:
            raise CommandError(f"ERR No such user '{_text(value)}'")
        return lambda one: one.user is not None and one.user.name == value
    if word == b"MAXAGE":
        seconds = _id(value, "ERR maxage should be greater than 0")
        return lambda one: (ctx.now_ms - one.created_ms) // 1000 >= seconds
    raise SyntaxFault


def _kill(ctx: Context, sessions: list[Session]) -> None:
    for one in sessions:
        if one is ctx.client:
            one.close_after_replies()
        else:
            ctx.server.kill(one)


@command("CLIENT GETNAME", arity=2, flags=_FLAGS, group="connection", since="2.6.9",
         summary="Answers the connection's name.")
def client_getname(ctx: Context) -> bytes:
    return replies.bulk(ctx.client.name) if ctx.client.name else ctx.null


@command("CLIENT SETNAME", arity=3, flags=_FLAGS, group="connection", since="2.6.9",
         summary="Names the connection.", syntax="connection-name")
def client_setname(ctx: Context, name: bytes) -> bytes:
    ctx.client.name = check_name(name, "Client names")
    return replies.OK


@command("CLIENT SETINFO", arity=4, flags=_FLAGS, group="connection", since="7.2.0",
         tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
         summary="Tells the name or version of the client's library.", syntax="(LIB-NAME libname | LIB-VER libver)")
def client_setinfo(ctx: Context, attribute: bytes, value: bytes) -> bytes:
    word = attribute.lower()
    if word not in (b"lib-name", b"lib-ver"):
        raise CommandError(f"ERR Unrecognized option '{_text(attribute)}'")
    check_name(value, _text(word))
    if word == b"lib-name":
        ctx.client.library = value
    else:
        ctx.client.library_version = value
    return replies.OK


@command("CLIENT REPLY", arity=3, flags=_FLAGS, group="connection", since="3.2.0",
         summary="Turns the replies to this connection on or off.", syntax="(ON | OFF | SKIP)")
def client_reply(ctx: Context, mode: bytes) -> bytes | None:
    client = ctx.client
    word = mode.lower()
    if word == b"on":
        client.reply_mode = "on"
    elif word == b"off":
        client.reply_mode = "off"
    elif word == b"skip":
        if client.reply_mode != "off":
            client.reply_mode = "skip"
    else:
        raise SyntaxFault
    client.refresh()
    return replies.OK if word == b"on" else None


@command("CLIENT PAUSE", arity=-3, flags=_ADMIN, group="connection", since="3.0.0",
         summary="Lets clients wait for some time: all commands, or writes only.",
         syntax="timeout:integer [WRITE | ALL]@6.2.0")
def client_pause(ctx: Context, timeout: bytes, *mode: bytes) -> bytes:
    words = [one.upper() for one in mode]
    if len(words) > 1:
        raise wrong_subcommand("client")
    if words and words[0] not in (b"WRITE", b"ALL"):
        raise CommandError("ERR CLIENT PAUSE mode must be WRITE or ALL")
    length = _number(timeout, "ERR timeout is not an integer or out of range")
    if length < 0:
        raise CommandError("ERR timeout is negative")
    ctx.server.pause.start("client", ctx.now_ms + length, writes_only=words == [b"WRITE"])
    return replies.OK


@command("CLIENT UNPAUSE", arity=2, flags=_ADMIN, group="connection", since="6.2.0",
         summary="Ends CLIENT PAUSE.", complexity="O(N) in the number of clients held up")
def client_unpause(ctx: Context) -> bytes:
    ctx.server.pause.stop("client")
    return replies.OK


@command("CLIENT UNBLOCK", arity=-3, flags=_ADMIN, group="connection", since="5.0.0",
         summary="Ends the waiting of a blocked client.", complexity="O(log N) in the number of connections",
         syntax="client-id:integer [TIMEOUT | ERROR]")
def client_unblock(ctx: Context, number: bytes, *reason: bytes) -> bytes:
    word = reason[0].upper() if reason else b"TIMEOUT"
    if len(reason) > 1:
        raise wrong_subcommand("client")
    if word not in (b"TIMEOUT", b"ERROR"):
        raise CommandError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    session = ctx.server.clients.get(parse_integer(number))
    if session is None or session.wait is None or session.wait.on_timeout == b"":
        return replies.ZERO
    wait, waiting = session.wait, ctx.server.waiting
    if word == b"ERROR":
        waiting.refuse(wait, CommandError("UNBLOCKED client unblocked via CLIENT UNBLOCK"))
    else:
        waiting.end(wait, wait.on_timeout if isinstance(wait.on_timeout, bytes) else wait.on_timeout())
    return replies.ONE


@command("CLIENT NO-EVICT", arity=3, flags=_ADMIN, group="connection", since="7.0.0",
         summary="Keeps this connection from being evicted.", syntax="(ON | OFF)")
def client_no_evict(ctx: Context, mode: bytes) -> bytes:
    ctx.client.no_evict = _on_off(mode)
    return replies.OK


@command("CLIENT NO-TOUCH", arity=3, flags=_FLAGS, group="connection", since="7.2.0",
         summary="Keeps this connection's reads from counting as use of the keys.", syntax="(ON | OFF)")
def client_no_touch(ctx: Context, mode: bytes) -> bytes:
    ctx.client.no_touch = _on_off(mode)
    ctx.bind(ctx.client)
    return replies.OK


def _on_off(mode: bytes) -> bool:
    word = mode.lower()
    if word not in (b"on", b"off"):
        raise SyntaxFault
    return word == b"on"


@command("CLIENT HELP", arity=2, flags={LOADING, STALE}, group="connection", since="5.0.0",
         summary="Lists the subcommands.")
def client_help(_ctx: Context) -> bytes:
    return replies.help_text("CLIENT", [
        ("CACHING (YES|NO)", "Track the keys of the next command, or do not (OPTIN, OPTOUT)."),
        ("GETNAME", "The connection's name."),
        ("GETREDIR", "Where invalidation messages are sent; -1 when they are not."),
        ("ID", "The connection's id."),
        ("INFO", "The connection, described as by LIST."),
        ("KILL <ip:port>", "Close the connection from that address."),
        ("KILL <option> <value> [<option> <value> [...]]",
         "Close connections by ID, TYPE, ADDR, LADDR, USER, MAXAGE; SKIPME yes spares this one."),
        ("LIST [TYPE <type>|ID <id> [<id> ...]]", "The connections, a line each."),
        ("NO-EVICT (ON|OFF)", "Keep this connection from being evicted."),
        ("NO-TOUCH (ON|OFF)", "Do not count this connection's reads as use."),
        ("PAUSE <timeout> [WRITE|ALL]", "Let clients wait for <timeout> ms."),
        ("REPLY (ON|OFF|SKIP)", "Turn replies on or off, or skip the next."),
        ("SETINFO (LIB-NAME|LIB-VER) <value>", "Tell what library the client uses."),
        ("SETNAME <name>", "Name the connection."),
        ("TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
         "Hear of changes of the keys that were read, or of all with a prefix (BCAST)."),
        ("TRACKINGINFO", "How this connection tracks keys."),
        ("UNBLOCK <clientid> [TIMEOUT|ERROR]", "End the waiting of a blocked client."),
        ("UNPAUSE", "End PAUSE."),
    ])
