"""CLIENT TRACKING and what goes with it: client-side caching, as cluster/tracking.py does it."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.registry import LOADING, NOSCRIPT, STALE, command
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies
from cluster.tracking import Tracked

_FLAGS = {NOSCRIPT, LOADING, STALE}
_MODES = frozenset({b"BCAST", b"OPTIN", b"OPTOUT", b"NOLOOP"})


@command("CLIENT TRACKING", arity=-3, flags=_FLAGS, group="connection", since="6.0.0",
         summary="Turns client-side caching on or off for this connection.",
         complexity="O(1), and as much for each prefix when there are some",
         syntax="(ON | OFF) [REDIRECT client-id:integer] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]")
def client_tracking(ctx: Context, switch: bytes, *options: bytes) -> bytes:
    redirect, modes, prefixes = _options(ctx, options)
    word = switch.lower()
    if word == b"on":
        _start(ctx, redirect, modes, prefixes)
    elif word == b"off":
        ctx.server.tracking.stop(ctx.client)
    else:
        raise SyntaxFault
    return replies.OK


def _options(ctx: Context, options: tuple[bytes, ...]) -> tuple[int, set[bytes], list[bytes]]:
    """(the client to redirect to, or 0; the modes; the prefixes)"""
    redirect = 0
    modes: set[bytes] = set()
    prefixes: list[bytes] = []
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if word in _MODES:
            modes.add(word)
            continue
        value = next(rest, None)
        if value is None or word not in (b"REDIRECT", b"PREFIX"):
            raise SyntaxFault
        if word == b"PREFIX":
            prefixes.append(value)
            continue
        if redirect:
            raise CommandError("ERR A client can only redirect to a single other client")
        redirect = parse_integer(value)
        if redirect not in ctx.server.clients:
            raise CommandError("ERR The client ID you want redirect to does not exist")
    return redirect, modes, prefixes


def _start(ctx: Context, redirect: int, modes: set[bytes], prefixes: list[bytes]) -> None:
    known = ctx.client.tracked
    if prefixes and b"BCAST" not in modes:
        raise CommandError("ERR PREFIX option requires BCAST mode to be enabled")
    if known is not None and known.broadcasts is not (b"BCAST" in modes):
        raise CommandError(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it "
            "with a different mode."
        )
    if b"BCAST" in modes and modes & {b"OPTIN", b"OPTOUT"}:
        raise CommandError("ERR OPTIN and OPTOUT are not compatible with BCAST")
    if {b"OPTIN", b"OPTOUT"} <= modes:
        raise CommandError("ERR You can't specify both OPTIN mode and OPTOUT mode")
    if known is not None and ((known.opt_out and b"OPTIN" in modes) or (known.opt_in and b"OPTOUT" in modes)):
        raise CommandError(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it "
            "with a different mode."
        )
    if b"BCAST" in modes:
        _check_overlaps(known, prefixes)
    tracking = ctx.server.tracking
    tracked = tracking.start(ctx.client)
    tracked.redirect, tracked.is_broken = redirect, False
    tracked.broadcasts, tracked.no_loop = b"BCAST" in modes, b"NOLOOP" in modes
    tracked.opt_in, tracked.opt_out = b"OPTIN" in modes, b"OPTOUT" in modes
    if tracked.broadcasts:
        tracking.listen(tracked, prefixes or [b""])
    ctx.client.refresh()


def _check_overlaps(known: Tracked | None, prefixes: list[bytes]) -> None:
    """One client is told of a change once."""
    for index, prefix in enumerate(prefixes):
        for other in known.prefixes if known is not None else ():
            if _overlap(prefix, other):
                raise _overlapping(prefix, "an existing", other)
        for other in prefixes[index + 1 :]:
            if _overlap(prefix, other):
                raise _overlapping(prefix, "another provided", other)


def _overlap(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def _overlapping(prefix: bytes, whose: str, other: bytes) -> CommandError:
    return CommandError(
        f"ERR Prefix '{prefix.decode('latin-1')}' overlaps with {whose} prefix '{other.decode('latin-1')}'. "
        "Prefixes for a single client must not overlap."
    )


@command("CLIENT CACHING", arity=3, flags=_FLAGS, group="connection", since="6.0.0",
         summary="Says whether the keys of the next command are to be tracked.", syntax="(YES | NO)")
def client_caching(ctx: Context, answer: bytes) -> bytes:
    tracked = ctx.client.tracked
    if tracked is None:
        raise CommandError(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
            "enabled"
        )
    word = answer.lower()
    if word == b"yes":
        if not tracked.opt_in:
            raise CommandError("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    elif word == b"no":
        if not tracked.opt_out:
            raise CommandError("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    else:
        raise SyntaxFault
    tracked.caching = True
    return replies.OK


@command("CLIENT GETREDIR", arity=2, flags=_FLAGS, group="connection", since="6.0.0",
         summary="Answers which client is sent the invalidation messages of this one.")
def client_getredir(ctx: Context) -> bytes:
    tracked = ctx.client.tracked
    return replies.MINUS_ONE if tracked is None else replies.integer(tracked.redirect)


@command("CLIENT TRACKINGINFO", arity=2, flags=_FLAGS, group="connection", since="6.2.0",
         summary="Describes how this connection tracks keys.")
def client_trackinginfo(ctx: Context) -> bytes:
    tracked = ctx.client.tracked
    flags = _flags(tracked)
    redirect = -1 if tracked is None else tracked.redirect
    prefixes = [] if tracked is None else sorted(tracked.prefixes)
    return replies.map_reply([
        (replies.bulk(b"flags"), replies.bulk_set(flags, ctx.resp)),
        (replies.bulk(b"redirect"), replies.integer(redirect)),
        (replies.bulk(b"prefixes"), replies.bulk_array(prefixes)),
    ], ctx.resp)


def _flags(tracked: Tracked | None) -> list[bytes]:
    if tracked is None:
        return [b"off"]
    holds = {
        b"on": True,
        b"bcast": tracked.broadcasts,
        b"optin": tracked.opt_in,
        b"caching-yes": tracked.opt_in and tracked.caching,
        b"optout": tracked.opt_out,
        b"caching-no": tracked.opt_out and tracked.caching,
        b"noloop": tracked.no_loop,
        b"broken_redirect": tracked.is_broken,
    }
    return [name for name, is_set in holds.items() if is_set]
