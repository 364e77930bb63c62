"""SENTINEL and its subcommands, and what other commands mean to a sentinel: INFO, PUBLISH, ROLE, SHUTDOWN."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from cluster.commands import info_sections
from cluster.commands.context import Context
from cluster.commands.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_MULTI,
    NOSCRIPT,
    PUBSUB,
    STALE,
    command,
    container,
)
from cluster.commands.server import EVERYWHERE
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.glob import Glob
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies
from cluster.sentinel import operators, settable, views
from cluster.sentinel.election import ANYBODY
from cluster.sentinel.events import Greeted
from cluster.sentinel.operators import NoAddress, Refused
from cluster.sentinel.server import host_of, operate, state_of
from cluster.sentinel.state import FAILURES, HELLO_CHANNEL, Instance, Primary, State

_ADMIN = {ADMIN}
_INFO = ("server", "clients", "cpu", "stats")
_CONFIG_USAGE = "ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are supported."
_NAME = "master-name"

SENTINEL = container("SENTINEL", group="sentinel", since="2.8.4", summary="A container for Sentinel commands",
                     flags=_ADMIN)


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _primary(ctx: Context, name: bytes) -> Primary:
    try:
        return operators.find(state_of(ctx), _text(name))
    except Refused as refusal:
        raise CommandError(str(refusal)) from None


def _shown(ctx: Context, instance: Instance) -> bytes:
    fields = views.fields(host_of(ctx).core.state, instance)
    return replies.string_map({name: replies.text(str(value)) for name, value in fields}, ctx.resp)


def _all_shown(ctx: Context, instances: Iterable[Instance]) -> bytes:
    return replies.array([_shown(ctx, instance) for instance in instances])


@command("SENTINEL MASTERS", arity=2, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="List the monitored masters", complexity="O(N) where N is the number of masters")
def masters(ctx: Context) -> bytes:
    return _all_shown(ctx, state_of(ctx).primaries.values())


@command("SENTINEL MASTER", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Shows the state of a master", syntax=_NAME)
def master(ctx: Context, name: bytes) -> bytes:
    return _shown(ctx, _primary(ctx, name))


@command("SENTINEL REPLICAS", arity=3, flags=_ADMIN, group="sentinel", since="5.0.0",
         summary="List the monitored replicas", complexity="O(N) where N is the number of replicas", syntax=_NAME)
@command("SENTINEL SLAVES", arity=3, flags=_ADMIN, group="sentinel", since="2.8.0",
         summary="List the monitored slaves", complexity="O(N) where N is the number of slaves", syntax=_NAME,
         deprecated=("5.0.0", "`SENTINEL REPLICAS`"))
def replicas(ctx: Context, name: bytes) -> bytes:
    return _all_shown(ctx, [one for one in _primary(ctx, name).replicas.values() if one.announced])


@command("SENTINEL SENTINELS", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="List the Sentinel instances", complexity="O(N) where N is the number of Sentinels", syntax=_NAME)
def sentinels(ctx: Context, name: bytes) -> bytes:
    return _all_shown(ctx, _primary(ctx, name).peers.values())


@command("SENTINEL MYID", arity=2, flags=_ADMIN, group="sentinel", since="6.2.0",
         summary="Get the Sentinel instance ID")
def myid(ctx: Context) -> bytes:
    return replies.text(state_of(ctx).my_id)


@command("SENTINEL GET-MASTER-ADDR-BY-NAME", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Get port and address of a master", syntax=_NAME)
def get_master_addr_by_name(ctx: Context, name: bytes) -> bytes:
    s = state_of(ctx)
    primary = s.primaries.get(_text(name))
    if primary is None:
        return ctx.null_array
    address = primary.current_address
    return replies.array([replies.text(s.shown(address)), replies.text(str(address.port))])


@command("SENTINEL IS-MASTER-DOWN-BY-ADDR", arity=6, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Check if a master is down", syntax="ip port:integer current-epoch:integer runid")
def is_master_down_by_addr(ctx: Context, ip: bytes, port: bytes, epoch: bytes, run_id: bytes) -> bytes:
    host = host_of(ctx)
    down, leader, leader_epoch, effects = host.core.asked_whether_down(
        host.clock_ms(), _text(ip), parse_integer(port), parse_integer(epoch), _text(run_id)
    )
    if not host.carry_out(effects):
        leader, leader_epoch = "", 0  # a vote that is not on disk is not cast
    return replies.array([
        replies.integer(int(down)), replies.text(leader or ANYBODY), replies.integer(leader_epoch),
    ])  # fmt: skip


@command("SENTINEL CKQUORUM", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Check for a Sentinel quorum", syntax=_NAME)
def ckquorum(ctx: Context, name: bytes) -> bytes:
    try:
        return replies.simple(operators.check_quorum(state_of(ctx), _text(name)))
    except Refused as refusal:
        raise CommandError(str(refusal)) from None


@command("SENTINEL FAILOVER", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4", summary="Force a failover",
         syntax=_NAME)
def failover(ctx: Context, name: bytes) -> bytes:
    operate(ctx, partial(operators.fail_over, name=_text(name)))
    return replies.OK


@command("SENTINEL MONITOR", arity=6, flags=_ADMIN, group="sentinel", since="2.8.4", summary="Start monitoring",
         syntax="name ip port:integer quorum:integer")
def monitor(ctx: Context, name: bytes, ip: bytes, port: bytes, quorum: bytes) -> bytes | None:
    words = (_text(name), _text(ip), _text(port), _text(quorum))
    host = host_of(ctx)

    def monitor_unless_its_name_is_awaited(s: State) -> None:
        try:
            operators.monitor(s, *words)
        except NoAddress:
            if not host.names.is_awaited(words[1]):
                raise
            host.waiting_for_names.park(ctx.client, list(ctx.arguments))

    operate(ctx, monitor_unless_its_name_is_awaited)
    return None if ctx.client.is_waiting else replies.OK


@command("SENTINEL REMOVE", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4", summary="Stop monitoring",
         syntax=_NAME)
def remove(ctx: Context, name: bytes) -> bytes:
    operate(ctx, partial(operators.remove, name=_text(name)))
    return replies.OK


@command("SENTINEL RESET", arity=3, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Reset masters by name pattern", complexity="O(N) where N is the number of monitored masters",
         syntax="pattern:pattern")
def reset(ctx: Context, pattern: bytes) -> bytes:
    glob = Glob(pattern)
    found = [one for one in state_of(ctx).primaries.values() if glob.matches(one.name.encode())]

    def all_of_them(s: State) -> None:
        for primary in found:
            operators.reset(s, primary)

    operate(ctx, all_of_them)
    return replies.integer(len(found))


@command("SENTINEL SET", arity=-5, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Change the configuration of a monitored master", syntax="master-name (option value)...")
def set_(ctx: Context, name: bytes, *options: bytes) -> bytes:
    operate(ctx, partial(operators.set_options, name=_text(name), options=[_text(one) for one in options]))
    return replies.OK


@command("SENTINEL CONFIG", arity=-3, flags=_ADMIN, group="sentinel", since="6.2.0", summary="Configure Sentinel",
         syntax="(SET parameter value | GET parameter)")
def config(ctx: Context, word: bytes, *rest: bytes) -> bytes:
    way = word.lower()
    if way == b"set" and len(rest) == 2:
        operate(ctx, partial(operators.config_set, option=_text(rest[0]), value=_text(rest[1])))
        return replies.OK
    if way != b"get" or len(rest) != 1:
        raise CommandError(_CONFIG_USAGE)
    settings, glob = state_of(ctx).settings, Glob(rest[0].lower())
    return replies.string_map({
        option: replies.text(settable.get_global(settings, option))
        for option in settable.GLOBAL if glob.matches(option.encode())
    }, ctx.resp)  # fmt: skip


@command("SENTINEL DEBUG", arity=-2, flags=_ADMIN, group="sentinel", since="7.0.0",
         summary="List or update the current configurable parameters",
         complexity="O(N) where N is the number of configurable parameters", syntax="[(parameter value)...]")
def debug(ctx: Context, *pairs: bytes) -> bytes:
    if pairs:
        operate(ctx, partial(operators.set_periods, pairs=[_text(one) for one in pairs]))
        return replies.OK
    periods = state_of(ctx).periods
    return replies.string_map({
        name.upper().replace("_", "-"): replies.text(str(getattr(periods, name))) for name in periods.__slots__
    }, ctx.resp)  # fmt: skip


@command("SENTINEL FLUSHCONFIG", arity=2, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Rewrite configuration file")
def flushconfig(ctx: Context) -> bytes:
    operate(ctx, lambda s: s.persist())
    return replies.OK


@command("SENTINEL INFO-CACHE", arity=-3, flags=_ADMIN, group="sentinel", since="3.2.0",
         summary="Get cached INFO from the instances in the deployment",
         complexity="O(N) where N is the number of instances", syntax="nodename...")
def info_cache(ctx: Context, *names: bytes) -> bytes:
    s = state_of(ctx)
    wanted = {_text(name): None for name in names}
    shown: dict[str, bytes] = {}
    for name in wanted:
        primary = s.primaries.get(name)
        if primary is None:
            continue
        shown[name] = replies.array([
            replies.array([
                replies.integer(s.now - one.info_at_ms if one.info_at_ms else 0),
                replies.text(one.info) if one.info else ctx.null,
            ])
            for one in (primary, *primary.replicas.values())
        ])  # fmt: skip
    return replies.string_map(shown, 2)


@command("SENTINEL PENDING-SCRIPTS", arity=2, flags=_ADMIN, group="sentinel", since="2.8.4",
         summary="Get information about pending scripts")
def pending_scripts(ctx: Context) -> bytes:
    host = host_of(ctx)
    now = host.clock_ms()
    shown = []
    for job in host.scripts.jobs:
        running = job.pid is not None
        fields: dict[str, bytes] = {
            "argv": replies.array([replies.text(one) for one in (job.path, *job.arguments)]),
            "flags": replies.text("running" if running else "scheduled"),
            "pid": replies.text(str(job.pid or 0)),
        }
        wait_ms = now - job.started_ms if running else max(0, job.not_before_ms - now)
        fields["run-time" if running else "run-delay"] = replies.text(str(wait_ms))
        fields["retry-num"] = replies.text(str(job.retries))
        shown.append(replies.string_map(fields, ctx.resp))
    return replies.array(shown)


@command("SENTINEL SIMULATE-FAILURE", arity=-3, flags=_ADMIN, group="sentinel", since="3.2.0",
         summary="Simulate failover scenarios",
         syntax="[CRASH-AFTER-ELECTION|CRASH-AFTER-PROMOTION|HELP]...")
def simulate_failure(ctx: Context, *words: bytes) -> bytes:
    chosen = [_text(word).lower() for word in words]
    s = state_of(ctx)
    s.failures.clear()
    for word in chosen:
        if word == "help":
            return replies.array([replies.text(failure) for failure in FAILURES])
        if word not in FAILURES:
            raise CommandError("ERR Unknown failure simulation specified")
        s.failures.add(word)
    return replies.OK


@command("SENTINEL HELP", arity=2, flags={LOADING, STALE}, group="sentinel", since="6.2.0",
         summary="Show helpful text about the different subcommands")
def help_(_ctx: Context) -> bytes:
    return replies.help_text("SENTINEL", [
        ("CKQUORUM <master-name>", "Whether enough sentinels are up to fail the primary over."),
        ("CONFIG SET <param> <value>", "Set a parameter of this sentinel."),
        ("CONFIG GET <param>", "Show parameters of this sentinel."),
        ("DEBUG [<param> <value> ...]", "Show, or set, how often and how long, in milliseconds."),
        ("GET-MASTER-ADDR-BY-NAME <master-name>", "The address clients are to use."),
        ("FAILOVER <master-name>", "Fail over without asking the other sentinels."),
        ("FLUSHCONFIG", "Write the configuration file anew."),
        ("INFO-CACHE <master-name> ...", "The last INFO of primaries and their replicas."),
        ("IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>", "Asked by other sentinels, for a vote, too."),
        ("MASTER <master-name>", "All there is to know of a primary."),
        ("MASTERS", "The same of all of them."),
        ("MONITOR <name> <ip> <port> <quorum>", "Watch over another primary."),
        ("MYID", "The ID of this sentinel."),
        ("PENDING-SCRIPTS", "Scripts that run or wait."),
        ("REMOVE <master-name>", "Watch over a primary no longer."),
        ("REPLICAS <master-name>", "All there is to know of the replicas of a primary."),
        ("RESET <pattern>", "Forget the replicas and sentinels of primaries, and find them anew."),
        ("SENTINELS <master-name>", "The other sentinels of a primary."),
        ("SET <master-name> <option> <value> ...", "Change how a primary is watched over."),
        ("SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]", "Crash within a failover."),
    ])


@command("INFO", arity=-1, flags={LOADING, STALE}, group="server", since="1.0.0", categories=("dangerous",),
         tips=EVERYWHERE, summary="Shows facts and counters of the sentinel, by section.", syntax="[section...]")
def info(ctx: Context, *sections: bytes) -> bytes:
    wanted = {_text(section).lower() for section in sections}
    everything = not wanted or bool(wanted & {"all", "default", "everything"})
    names = [name for name in _INFO if everything or name in wanted]
    parts = [info_sections.render(ctx.server, names)] if names else []
    if everything or "sentinel" in wanted:
        scripts = host_of(ctx).scripts
        fields = views.info(state_of(ctx), scripts.running, len(scripts.jobs))
        parts.append("# Sentinel\r\n" + "".join(f"{name}:{value}\r\n" for name, value in fields))
    return replies.text("\r\n".join(parts))


@command("ROLE", arity=1, flags={NOSCRIPT, LOADING, STALE, FAST}, group="server", since="2.8.12",
         categories=("admin", "dangerous"), summary="Names the primaries that are watched over.")
def role(ctx: Context) -> bytes:
    names = replies.array([replies.text(name) for name in state_of(ctx).primaries])
    return replies.array([replies.text("sentinel"), names])


@command("PUBLISH", arity=3, flags={PUBSUB, LOADING, STALE, FAST}, group="pubsub", since="2.0.0",
         summary="Takes the hello of another sentinel.", syntax="channel message")
def publish(ctx: Context, channel: bytes, message: bytes) -> bytes:
    if channel != HELLO_CHANNEL:
        raise CommandError("ERR Only HELLO messages are accepted by Sentinel instances.")
    host = host_of(ctx)
    host.carry_out(host.core.step(host.clock_ms(), Greeted(_text(message))))
    return replies.ONE


@command("SHUTDOWN", arity=-1, flags={ADMIN, NOSCRIPT, LOADING, STALE, NO_MULTI, ALLOW_BUSY}, group="server",
         since="1.0.0", summary="Ends the sentinel.", syntax="[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]")
def shutdown(ctx: Context, *words: bytes) -> bytes | None:
    chosen = {word.lower() for word in words}
    if chosen - {b"save", b"nosave", b"now", b"force", b"abort"} or {b"save", b"nosave"} <= chosen:
        raise SyntaxFault
    if b"abort" in chosen:
        raise CommandError("ERR No shutdown in progress.") if len(chosen) == 1 else SyntaxFault
    ctx.server.shell.request_shutdown(frozenset())
    return None

