"""LATENCY: what held up the node (the latency monitor), and how long commands take (their histograms)."""

from __future__ import annotations

from cluster.command_times import Times
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, Command, command, container
from cluster.errors import SHOWN_BYTES, CommandError, typed
from cluster.latency_report import diagnosis, graph
from cluster.protocol import replies

_FLAGS = {ADMIN, NOSCRIPT, LOADING, STALE}
_EVERYWHERE = ("nondeterministic_output", "request_policy:all_nodes", "response_policy:special")

LATENCY = container("LATENCY", group="server", since="2.8.13", summary="Holds the commands about latency.")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _now_s(ctx: Context) -> int:
    return ctx.server.clock_ms() // 1000


@command("LATENCY LATEST", arity=2, flags=_FLAGS, group="server", since="2.8.13", tips=_EVERYWHERE,
         summary="Shows the latest sample of each event.")
def latency_latest(ctx: Context) -> bytes:
    return replies.array([
        replies.array([replies.text(name), *map(replies.integer, (*event.samples[-1], event.worst_ms))])
        for name, event in ctx.server.latency.events.items()
    ])


@command("LATENCY HISTORY", arity=3, flags=_FLAGS, group="server", since="2.8.13", tips=_EVERYWHERE,
         summary="Shows the samples of an event, the oldest first.", syntax="event")
def latency_history(ctx: Context, name: bytes) -> bytes:
    event = ctx.server.latency.events.get(_text(name))
    samples = event.samples if event is not None else []
    return replies.array([replies.array(list(map(replies.integer, sample))) for sample in samples])


@command("LATENCY GRAPH", arity=3, flags=_FLAGS, group="server", since="2.8.13", tips=_EVERYWHERE,
         summary="Draws the samples of an event.", syntax="event")
def latency_graph(ctx: Context, name: bytes) -> bytes:
    event = ctx.server.latency.events.get(_text(name))
    if event is None:
        raise CommandError(f"ERR No samples available for event '{typed(name, SHOWN_BYTES)}'")
    return replies.verbatim(graph(_text(name), event, _now_s(ctx)).encode("utf-8", "surrogateescape"), ctx.resp)


@command("LATENCY DOCTOR", arity=2, flags=_FLAGS, group="server", since="2.8.13", tips=_EVERYWHERE,
         summary="Says in words what held up the server, and what may help.")
def latency_doctor(ctx: Context) -> bytes:
    monitor = ctx.server.latency
    return replies.verbatim(diagnosis(monitor.events, _now_s(ctx), is_on=monitor.is_on).encode(), ctx.resp)


@command("LATENCY RESET", arity=-2, flags=_FLAGS, group="server", since="2.8.13",
         tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
         summary="Forgets the samples of events, or of all.", syntax="[event...]")
def latency_reset(ctx: Context, *names: bytes) -> bytes:
    return replies.integer(ctx.server.latency.reset(list(map(_text, names))))


@command("LATENCY HISTOGRAM", arity=-2, flags=_FLAGS, group="server", since="7.0.0", tips=_EVERYWHERE,
         summary="Shows how many calls of commands were done within which time.",
         complexity="O(N) in the number of commands shown", syntax="[command...]")
def latency_histogram(ctx: Context, *names: bytes) -> bytes:
    shown: list[tuple[bytes, bytes]] = []
    for one in _named(ctx, names):
        times = ctx.server.times.of(one)
        if times is not None:
            shown.append((replies.text(one.full_name), _cumulated(times, ctx.resp)))
    return replies.map_reply(shown, ctx.resp)


def _named(ctx: Context, names: tuple[bytes, ...]) -> list[Command]:
    """The commands of these names, a container's with all it holds; unknown ones are passed over. No name: all."""
    table = ctx.server.table
    if not names:
        return table.every()
    found: list[Command] = []
    for name in names:
        parent, bar, leaf = name.partition(b"|")
        one = table.find(parent)
        if one is not None and bar:
            one = one.subcommands.get(leaf.lower())
        if one is not None:
            found += [one, *one.subcommands.values()]
    return found


def _cumulated(times: Times, resp: int) -> bytes:
    bounds = [(replies.integer(within_us), replies.integer(calls)) for within_us, calls in times.doublings()]
    fields = {"calls": replies.integer(times.calls), "histogram_usec": replies.map_reply(bounds, resp)}
    return replies.string_map(fields, resp)


@command("LATENCY HELP", arity=2, flags={LOADING, STALE}, group="server", since="2.8.13",
         summary="Lists the subcommands.")
def latency_help(_ctx: Context) -> bytes:
    return replies.help_text("LATENCY", [
        ("DOCTOR", "What held up the server, in words, and what may help."),
        ("GRAPH <event>", "The samples of an event, drawn."),
        ("HISTORY <event>", "The samples of an event: second and milliseconds."),
        ("LATEST", "The latest sample of each event, and the worst there was."),
        ("RESET [<event> ...]", "Forget the samples of these events, or of all."),
        ("HISTOGRAM [<command> ...]", "How many calls were done within which time."),
    ])
