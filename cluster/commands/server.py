"""The server group's plain commands: INFO, TIME, SHUTDOWN, MONITOR, SLOWLOG, MEMORY, LASTSAVE's kin elsewhere."""

from __future__ import annotations

import sys

from cluster.commands import info_sections
from cluster.commands.client_memory import clients_memory
from cluster.commands.context import Context
from cluster.commands.keys import READ, KeySpec
from cluster.commands.memory_advice import memory_advice
from cluster.commands.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_MULTI,
    NOSCRIPT,
    READONLY,
    STALE,
    command,
    container,
)
from cluster.errors import CommandError, NotAnInteger, SyntaxFault, wrong_subcommand
from cluster.keyspace.memory import KEY_OVERHEAD_BYTES, NOTED_BYTES, value_bytes
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies

_VARIES = ("nondeterministic_output",)
EVERYWHERE = ("nondeterministic_output", "request_policy:all_shards", "response_policy:special")
_USAGE_SAMPLES = 5
_SLOWLOG_SHOWN = 10

MEMORY = container("MEMORY", group="server", since="4.0.0", summary="Holds the commands about memory.")
SLOWLOG = container("SLOWLOG", group="server", since="2.2.12", summary="Holds the commands of the slow log.")


@command("INFO", arity=-1, flags={LOADING, STALE}, group="server", since="1.0.0", categories=("dangerous",),
         tips=EVERYWHERE, summary="Shows facts and counters of the server, by section.", syntax="[section...]")
def info(ctx: Context, *sections: bytes) -> bytes:
    names: list[str] = []
    for section in sections or (b"default",):
        name = section.decode("utf-8", "replace").lower()
        if name in ("all", "everything"):
            names.extend(info_sections.SECTIONS)
        elif name == "default":
            names.extend(info_sections.DEFAULT)
        else:
            names.append(name)
    return replies.verbatim(info_sections.render(ctx.server, names).encode("utf-8", "surrogateescape"), ctx.resp)


@command("TIME", arity=1, flags={LOADING, STALE, FAST}, group="server", since="2.6.0", tips=_VARIES,
         summary="Answers the server's time: seconds and microseconds.")
def time(ctx: Context) -> bytes:
    now = ctx.server.shell.clock_us()
    return replies.bulk_array([b"%d" % (now // 1_000_000), b"%d" % (now % 1_000_000)])


@command("SHUTDOWN", arity=-1, flags={ADMIN, NOSCRIPT, LOADING, STALE, NO_MULTI, ALLOW_BUSY}, group="server",
         since="1.0.0", summary="Saves as configured, and ends the process.",
         complexity="O(N) when it saves, where N is the number of all keys, else O(1)",
         syntax="[NOSAVE | SAVE] [NOW]@7.0.0 [FORCE]@7.0.0 [ABORT]@7.0.0")
def shutdown(ctx: Context, *options: bytes) -> bytes | None:
    words = {option.lower().decode("ascii", "replace") for option in options}
    if words - {"save", "nosave", "now", "force", "abort"} or {"save", "nosave"} <= words:
        raise SyntaxFault
    if "abort" in words:
        if len(words) > 1:
            raise SyntaxFault
        if not ctx.server.shell.abort_shutdown():
            raise CommandError("ERR No shutdown in progress.")
        return replies.OK
    if ctx.server.pace.suspended is not None and "nosave" not in words:
        raise CommandError(ctx.server.pace.busy)
    ctx.server.shell.request_shutdown(frozenset(words))
    return None


@command("MONITOR", arity=1, flags={ADMIN, NOSCRIPT, LOADING, STALE}, group="server", since="1.0.0",
         summary="Streams every command the server runs.")
def monitor(ctx: Context) -> bytes:
    if not ctx.allows_blocking:
        raise CommandError("ERR MONITOR isn't allowed for DENY BLOCKING client")
    ctx.server.monitors[ctx.client.id] = ctx.client
    ctx.client.client_flags.add("monitor")
    ctx.server.refresh_road()
    return replies.OK


# -- the slow log ------------------------------------------------------------------------------------------------


@command("SLOWLOG GET", arity=-2, flags={ADMIN, LOADING, STALE}, group="server", since="2.2.12",
         tips=("request_policy:all_nodes", "nondeterministic_output"), summary="Shows the newest slow commands.",
         complexity="O(N) in the number of entries answered", syntax="[count:integer]")
def slowlog_get(ctx: Context, *count: bytes) -> bytes:
    if len(count) > 1:
        raise wrong_subcommand("slowlog")
    try:
        limit = parse_integer(count[0]) if count else _SLOWLOG_SHOWN
    except NotAnInteger:
        limit = -2
    if limit < -1:
        raise CommandError("ERR count should be greater than or equal to -1")
    shown = ctx.server.slow_log.entries if limit == -1 else ctx.server.slow_log.entries[:limit]
    return replies.array([
        replies.array([
            replies.integer(number), replies.integer(when), replies.integer(usec), replies.bulk_array(arguments),
            replies.text(address), replies.bulk(name),
        ])
        for number, when, usec, arguments, address, name in shown
    ])


@command("SLOWLOG LEN", arity=2, flags={ADMIN, LOADING, STALE}, group="server", since="2.2.12",
         tips=("request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"),
         summary="Counts the entries of the slow log.")
def slowlog_len(ctx: Context) -> bytes:
    return replies.integer(len(ctx.server.slow_log.entries))


@command("SLOWLOG RESET", arity=2, flags={ADMIN, LOADING, STALE}, group="server", since="2.2.12",
         tips=("request_policy:all_nodes", "response_policy:all_succeeded"), summary="Empties the slow log.",
         complexity="O(N) in the number of entries")
def slowlog_reset(ctx: Context) -> bytes:
    ctx.server.slow_log.entries.clear()
    return replies.OK


@command("SLOWLOG HELP", arity=2, flags={LOADING, STALE}, group="server", since="6.2.0",
         summary="Lists the subcommands.")
def slowlog_help(_ctx: Context) -> bytes:
    return replies.help_text("SLOWLOG", [
        ("GET [<count>]", "The newest entries (10, or <count>; -1 for all)."),
        ("LEN", "How many entries there are."),
        ("RESET", "Forget them."),
    ])


# -- memory ------------------------------------------------------------------------------------------------------


@command("MEMORY USAGE", arity=-3, flags={READONLY}, keys=(KeySpec(2, 2, 1, READ[:1]),), group="server",
         since="4.0.0", summary="Estimates the bytes a key and its value take.",
         complexity="O(N) in the number of samples", syntax="key [SAMPLES count:integer]")
def memory_usage(ctx: Context, key: bytes, *options: bytes) -> bytes:
    samples = _USAGE_SAMPLES
    rest = iter(options)
    for option in rest:
        count = next(rest, None)
        if option.upper() != b"SAMPLES" or count is None:
            raise SyntaxFault
        samples = parse_integer(count)
        if samples < 0:
            raise SyntaxFault
    value = ctx.db.get(key)  # it takes its memory until it is deleted, whatever its deadline
    if value is None:
        return ctx.null
    return replies.integer(KEY_OVERHEAD_BYTES + len(key) + 33 + value_bytes(value, samples))


@command("MEMORY STATS", arity=2, group="server", since="4.0.0", tips=EVERYWHERE,
         summary="Shows what memory is used for.")
def memory_stats(ctx: Context) -> bytes:
    memory = ctx.server.memory
    keys = sum(map(len, ctx.server.databases))
    dataset = memory.dataset_bytes
    used = memory.used
    ordinary, replicas = clients_memory(ctx.server)
    fields = {
        "peak.allocated": replies.integer(memory.peak_bytes),
        "total.allocated": replies.integer(used),
        "startup.allocated": replies.integer(memory.startup_bytes),
        "replication.backlog": replies.integer(ctx.server.replication.backlog_bytes),
        "clients.slaves": replies.integer(replicas),
        "clients.normal": replies.integer(ordinary),
        "cluster.links": replies.integer(info_sections.link_bytes(ctx.server)),
        "aof.buffer": replies.integer(ctx.server.persistence.aof.buffered_bytes),
        "lua.caches": replies.integer(ctx.server.scripts.cached_bytes),
        "functions.caches": replies.integer(ctx.server.functions.memory_bytes),
        **_tables(ctx),
        "overhead.total": replies.integer(max(0, used - dataset)),
        "keys.count": replies.integer(keys),
        "keys.bytes-per-key": replies.integer(dataset // keys if keys else 0),
        "dataset.bytes": replies.integer(dataset),
        "dataset.percentage": replies.double(100 * dataset / max(1, used), ctx.resp),
        "peak.percentage": replies.double(100 * used / max(1, memory.peak_bytes), ctx.resp),
        "fragmentation": replies.double(memory.taken_bytes / max(1, used), ctx.resp),
        "fragmentation.bytes": replies.integer(memory.taken_bytes - used),
    }
    return replies.string_map(fields, ctx.resp)


def _tables(ctx: Context) -> dict[str, bytes]:
    """What keys and deadlines take beside their names and values, by database."""
    return {
        f"db.{db.index}": replies.string_map({
            "overhead.hashtable.main": replies.integer(len(db) * KEY_OVERHEAD_BYTES),
            "overhead.hashtable.expires": replies.integer(db.volatile_count() * NOTED_BYTES),
        }, ctx.resp)
        for db in ctx.server.databases if len(db)
    }  # fmt: skip


@command("MEMORY DOCTOR", arity=2, group="server", since="4.0.0", tips=EVERYWHERE,
         summary="Says in words how memory is doing.")
def memory_doctor(ctx: Context) -> bytes:
    return replies.verbatim(memory_advice(ctx.server).encode(), ctx.resp)


@command("MEMORY MALLOC-STATS", arity=2, group="server", since="4.0.0", tips=EVERYWHERE,
         summary="Tells how the allocator is doing.", complexity="Depends on how much memory there is, could be slow")
def memory_malloc_stats(ctx: Context) -> bytes:
    facts = {
        "allocator": "CPython's, of small objects; the C library's beyond",
        "small objects in use": str(sys.getallocatedblocks()),
        "resident bytes": str(ctx.server.memory.resident_bytes()),
    }
    return replies.verbatim("".join(f"{name}: {fact}\n" for name, fact in facts.items()).encode(), ctx.resp)


@command("MEMORY PURGE", arity=2, group="server", since="4.0.0",
         tips=("request_policy:all_shards", "response_policy:all_succeeded"),
         summary="Asks the allocator to give memory back.")
def memory_purge(ctx: Context) -> bytes:
    ctx.server.shell.purge_memory()
    return replies.OK


@command("MEMORY HELP", arity=2, flags={LOADING, STALE}, group="server", since="4.0.0",
         summary="Lists the subcommands.")
def memory_help(_ctx: Context) -> bytes:
    return replies.help_text("MEMORY", [
        ("DOCTOR", "How memory is doing, in words."),
        ("MALLOC-STATS", "How the allocator is doing."),
        ("PURGE", "Give free memory back to the system."),
        ("STATS", "What memory is used for."),
        ("USAGE <key> [SAMPLES <count>]", "Estimated bytes of a key; 0 samples looks at every element."),
    ])
