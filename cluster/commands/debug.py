"""DEBUG: what tests and tools use. Behind enable-debug-command, since some of it hurts."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized

from cluster.commands.connection import allows
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, command
from cluster.errors import CommandError, NoSuchKey, NotAnInteger, SyntaxFault, wrong_subcommand
from cluster.keyspace import digest, glob
from cluster.keyspace.buckets import BucketMap
from cluster.keyspace.encodings import encoding
from cluster.keyspace.events import Event
from cluster.keyspace.memory import value_bytes
from cluster.keyspace.numbers import parse_float, parse_integer
from cluster.keyspace.sorted_set import SortedSetValue
from cluster.persistence.rdb_writer import dump_value
from cluster.protocol import replies

_LOADED = Event("g", "loaded")
_NOT_ALLOWED = (
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a "
    "local connection, otherwise you need to set this option in the configuration file, and then restart the server."
)

Handler = Callable[..., bytes | None]


@command("DEBUG", arity=-2, flags={ADMIN, NOSCRIPT, LOADING, STALE}, group="server", since="1.0.0",
         summary="Holds commands for tests and for looking inside.", complexity="Depends on the subcommand",
         syntax="subcommand [argument...]")
def debug(ctx: Context, subcommand: bytes, *arguments: bytes) -> bytes | None:
    _check_allowed(ctx)
    name = subcommand.lower().decode("utf-8", "surrogateescape")
    described = _SUBCOMMANDS.get(name)
    if described is None or not described[1] <= len(arguments) <= described[2]:
        raise wrong_subcommand("debug")
    return described[0](ctx, *arguments)


def _check_allowed(ctx: Context) -> None:
    if not allows(ctx, ctx.config.enable_debug_command):
        raise CommandError(_NOT_ALLOWED)


# -- looking -----------------------------------------------------------------------------------------------------


def _object(ctx: Context, key: bytes, *_options: bytes) -> bytes:
    value = ctx.peek(key)
    if value is None:
        raise NoSuchKey
    shown = encoding(value, ctx.config)
    size = len(dump_value(value, ctx.config)) - 1
    idle = ctx.server.memory.idle_seconds(ctx.db, key)
    clock = ctx.now_ms // 1000 & 0xFFFFFF
    return replies.simple(
        f"Value at:{id(value):#x} refcount:1 encoding:{shown} serializedlength:{size} lru:{clock} "
        f"lru_seconds_idle:{idle}"
    )


def _digest(ctx: Context) -> bytes:
    return replies.simple(digest.dataset_digest(ctx.server.databases).hex())


def _digest_value(ctx: Context, *keys: bytes) -> bytes:
    found = []
    for key in keys:
        value = ctx.peek(key)
        shown = digest.EMPTY if value is None else digest.value_digest(value, ctx.deadline(key))
        found.append(replies.simple(shown.hex()))
    return replies.array(found)


def _sdslen(ctx: Context, key: bytes) -> bytes:
    value = ctx.peek(key)
    if value is None:
        raise NoSuchKey
    if not isinstance(value, (bytes, bytearray)):
        raise CommandError("ERR Not an sds encoded string.")
    return replies.simple(
        f"key_sds_len:{len(key)}, key_sds_avail:0, key_zmalloc: {len(key) + 33}, val_sds_len:{len(value)}, "
        f"val_sds_avail:0, val_zmalloc: {value_bytes(value)}"
    )


def _listpack(ctx: Context, key: bytes) -> bytes:
    value = ctx.peek(key)
    if value is None:
        raise NoSuchKey
    if encoding(value, ctx.config) not in ("listpack", "listpackex"):
        raise CommandError("ERR Not a listpack encoded object.")
    return replies.simple("Listpack structure printed on stdout")


def _htstats(ctx: Context, index: bytes, *_full: bytes) -> bytes:
    """Of the dicts of the slots, which are what a database's hash table is here."""
    number = parse_integer(index)
    if not 0 <= number < len(ctx.server.databases):
        raise CommandError("ERR Out of range database")
    db = ctx.server.databases[number]
    text = f"[Dictionary HT]\n{_table_stats(db.spaces)}[Expires HT]\n{_table_stats(db.deadlines)}"
    return replies.verbatim(text.encode(), ctx.resp)


def _htstats_key(ctx: Context, key: bytes, *_full: bytes) -> bytes:
    value = ctx.peek(key)
    if value is None:
        raise NoSuchKey
    if encoding(value, ctx.config) not in ("hashtable", "skiplist"):
        raise CommandError("ERR The value stored at the specified key is not represented using an hash table")
    table = value.scores() if isinstance(value, SortedSetValue) else getattr(value, "fields", value)
    parts = list(table.buckets()) if isinstance(table, BucketMap) else [table]
    return replies.verbatim(_table_stats(parts).encode(), ctx.resp)


def _table_stats(parts: Sequence[Sized]) -> str:
    """Of a table that consists of `parts`, under redis-server's words for such."""
    sizes = list(filter(None, map(len, parts)))
    title = "Hash table 0 stats (main hash table):\n"
    if not sizes:
        return f"{title}No stats available for empty dictionaries\n"
    average = sum(sizes) / len(sizes)
    return (
        f"{title} table size: {len(parts)}\n number of elements: {sum(sizes)}\n different slots: {len(sizes)}\n"
        f" max chain length: {max(sizes)}\n avg chain length (counted): {average:.2f}\n"
        f" avg chain length (computed): {average:.2f}\n"
    )


def _stringmatch(_ctx: Context, length: bytes, pattern: bytes) -> bytes:
    """Match a hostile pattern against `length` letters: it must come back."""
    glob.matches(pattern, b"a" * parse_integer(length), nocase=False)
    return replies.OK


_PROTOCOL: dict[str, Callable[[int], bytes]] = {
    "string": lambda resp: replies.bulk(b"Hello World"),
    "integer": lambda resp: replies.integer(12345),
    "double": lambda resp: replies.double(3.141, resp),
    "null": replies.null,
    "array": lambda resp: replies.array([replies.integer(one) for one in range(3)]),
    "set": lambda resp: replies.set_reply([replies.integer(one) for one in range(3)], resp),
    "map": lambda resp: replies.map_reply(
        [(replies.integer(one), replies.boolean(one == 1, resp)) for one in range(3)], resp
    ),
    "bignum": lambda resp: (
        b"(1234567999999999999999999999999999999\r\n" if resp == 3
        else replies.bulk(b"1234567999999999999999999999999999999")
    ),
    "attrib": lambda resp: (
        (b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n" if resp == 3 else b"")
        + replies.bulk(b"Some real reply following the attribute")
    ),
    "verbatim": lambda resp: replies.verbatim(b"This is a verbatim\nstring", resp),
    "true": lambda resp: replies.boolean(True, resp),
    "false": lambda resp: replies.boolean(False, resp),
}


def _protocol(ctx: Context, kind: bytes) -> bytes:
    name = kind.lower().decode("utf-8", "replace")
    if name == "push":
        if ctx.resp == 2:
            raise CommandError("ERR RESP2 is not supported by this command")
        pushed = replies.push([replies.bulk(b"server-cpu-usage"), replies.integer(42)], 3)
        return pushed + replies.bulk(b"Some real reply following the push reply")
    found = _PROTOCOL.get(name)
    if found is None:
        raise CommandError(
            "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|"
            "set|map|attrib|push|verbatim|true|false"
        )
    return found(ctx.resp)


# -- changing ----------------------------------------------------------------------------------------------------


def _sleep(ctx: Context, seconds: bytes) -> bytes:
    """Hold everything up, bus included: that is what it is for."""
    ctx.server.shell.stall(max(0.0, parse_float(seconds)))
    return replies.OK


def _populate(ctx: Context, count: bytes, prefix: bytes = b"key", size: bytes = b"0") -> bytes:
    keys, length = _positive(count), _positive(size)
    ctx.server.barrier.replacing((ctx.db,))
    for number in range(keys):
        key = b"%b:%d" % (prefix, number)
        if ctx.db.get(key) is not None:
            continue
        value = b"value:%d" % number
        if length:
            value = value[:length].ljust(length, b"\0")
        ctx.put(key, value)
        ctx.notify(key, _LOADED)
    return replies.OK


def _positive(argument: bytes) -> int:
    try:
        number = parse_integer(argument)
    except NotAnInteger:
        number = -1
    if number < 0:
        raise CommandError("ERR value is out of range, must be positive")
    return number


def _reload(ctx: Context, *options: bytes) -> bytes:
    words = {option.lower() for option in options}
    if words - {b"nosave", b"noflush", b"merge"}:
        raise CommandError("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    if not ctx.server.persistence.reload(
        save=b"nosave" not in words, flush=b"noflush" not in words, merge=b"merge" in words
    ):
        raise CommandError("ERR Error trying to load the RDB dump, check server logs")
    return replies.OK


def _loadaof(ctx: Context) -> bytes:
    if not ctx.server.persistence.aof.is_open:
        raise CommandError("ERR The append-only file is not enabled.")
    if not ctx.server.persistence.reload_append_only():
        raise CommandError("ERR Error trying to load the AOF files, check server logs")
    return replies.OK


def _set_active_expire(ctx: Context, value: bytes) -> bytes:
    ctx.server.active_expiry = _on(value)
    return replies.OK


def _pause_cron(ctx: Context, value: bytes) -> bytes:
    ctx.server.cron_paused = _on(value)
    return replies.OK


def _on(value: bytes) -> bool:
    return bool(parse_integer(value))


def _change_repl_id(ctx: Context) -> bytes:
    ctx.server.replication.change_id()
    return replies.OK


def _drop_cluster_packet_filter(ctx: Context, kind: bytes) -> bytes:
    if ctx.server.bus is None:
        raise CommandError("ERR This instance has cluster support disabled")
    ctx.server.bus.drop_kind(parse_integer(kind))
    return replies.OK


def _clusterlink(ctx: Context, action: bytes, direction: bytes, node_id: bytes) -> bytes:
    if ctx.server.bus is None:
        raise CommandError("ERR This instance has cluster support disabled")
    which = direction.lower().decode("utf-8", "replace")
    if action.lower() != b"kill" or which not in ("to", "from", "all"):
        raise SyntaxFault
    name = node_id.decode("utf-8", "replace")
    if name not in ctx.server.bus.view.nodes:
        raise CommandError(f"ERR Unknown node {name}")
    ctx.server.bus.kill_links(which, name)
    return replies.OK


def _log(ctx: Context, message: bytes) -> bytes:
    ctx.server.log("warning", f"DEBUG LOG: {message.decode('utf-8', 'replace')}")
    return replies.OK


def _error(_ctx: Context, message: bytes) -> bytes:
    raise CommandError(message.decode("utf-8", "surrogateescape"))


def _replicate(ctx: Context, *arguments: bytes) -> bytes:
    ctx.propagate(*arguments)
    return replies.OK


def _crash(ctx: Context, *_arguments: bytes) -> bytes | None:
    """SEGFAULT, PANIC and their kin: the process is gone at once, nothing saved."""
    ctx.server.shell.crash()
    return None


def _accepted(_ctx: Context, *_arguments: bytes) -> bytes:
    return replies.OK


def _help(_ctx: Context) -> bytes:
    return replies.help_text("DEBUG", [(usage, text) for _, _, _, usage, text in _SUBCOMMANDS.values() if text])


_SUBCOMMANDS: dict[str, tuple[Handler, int, int, str, str]] = {
    "change-repl-id": (_change_repl_id, 0, 0, "CHANGE-REPL-ID", "Take new replication ids."),
    "clusterlink": (_clusterlink, 3, 3, "CLUSTERLINK KILL <to|from|all> <node-id>", "Cut bus links with a node."),
    "digest": (_digest, 0, 0, "DIGEST", "One hash over the whole dataset."),
    "digest-value": (_digest_value, 1, 1 << 20, "DIGEST-VALUE <key> [<key> ...]", "A hash of each value."),
    "drop-cluster-packet-filter": (
        _drop_cluster_packet_filter, 1, 1, "DROP-CLUSTER-PACKET-FILTER <packet-type>",
        "Drop bus messages of one kind that come in; -1 ends it.",
    ),
    "error": (_error, 1, 1, "ERROR <string>", "Answer that error."),
    "help": (_help, 0, 0, "HELP", ""),
    "htstats": (_htstats, 1, 2, "HTSTATS <dbid>", "How the keys of a database lie in its dicts."),
    "htstats-key": (_htstats_key, 1, 2, "HTSTATS-KEY <key>", "The same of the elements of a large value."),
    "listpack": (_listpack, 1, 1, "LISTPACK <key>", "Whether the value would be a listpack."),
    "loadaof": (_loadaof, 0, 0, "LOADAOF", "Load the append-only file anew."),
    "log": (_log, 1, 1, "LOG <message>", "Write a line into the log."),
    "object": (_object, 1, 2, "OBJECT <key>", "Encoding and serialized length of a value."),
    "panic": (_crash, 0, 0, "PANIC", "End the process at once, nothing saved."),
    "pause-cron": (_pause_cron, 1, 1, "PAUSE-CRON <0|1>", "Stop the periodic work, or let it go on."),
    "populate": (_populate, 1, 3, "POPULATE <count> [<prefix>] [<size>]", "Make <count> string keys."),
    "protocol": (_protocol, 1, 1, "PROTOCOL <type>", "A reply of that type."),
    "quicklist-packed-threshold": (_accepted, 1, 1, "QUICKLIST-PACKED-THRESHOLD <size>", "Accepted, no effect."),
    "reload": (_reload, 0, 3, "RELOAD [MERGE] [NOFLUSH] [NOSAVE]", "Save the dataset and load it back."),
    "replicate": (_replicate, 1, 1 << 20, "REPLICATE <argument> [...]", "Send that to the replicas only."),
    "replybuffer": (_accepted, 2, 2, "REPLYBUFFER <option> <value>", "Accepted, no effect."),
    "sdslen": (_sdslen, 1, 1, "SDSLEN <key>", "Lengths of a key and its string."),
    "segfault": (_crash, 0, 0, "SEGFAULT", "End the process at once, nothing saved."),
    "set-active-expire": (_set_active_expire, 1, 1, "SET-ACTIVE-EXPIRE <0|1>", "Whether keys expire unasked."),
    "set-skip-checksum-validation": (
        _accepted, 1, 1, "SET-SKIP-CHECKSUM-VALIDATION <0|1>", "Accepted, no effect."
    ),
    "sleep": (_sleep, 1, 1, "SLEEP <seconds>", "Do nothing at all for that long."),
    "stringmatch-len": (_stringmatch, 2, 2, "STRINGMATCH-LEN <length> <pattern>", "Time the pattern matcher."),
}
