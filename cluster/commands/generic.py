"""Keys of any type: delete, rename, copy, move, look at. (Deadlines: expire.py. SCAN and KEYS: scan_commands.py.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from cluster.commands.context import Context
from cluster.commands.keys import ALL_REMOVED, KeySpec, first_key
from cluster.commands.registry import DENYOOM, FAST, READONLY, WRITE, command
from cluster.errors import CommandError, NoSuchKey, SyntaxFault
from cluster.keyspace.database import Database
from cluster.keyspace.encodings import encoding, impose
from cluster.keyspace.events import Event
from cluster.keyspace.hashing import key_slot
from cluster.keyspace.numbers import parse_int32, parse_integer
from cluster.keyspace.values import Value, type_name
from cluster.protocol import replies

RENAME_FROM = Event("g", "rename_from")
RENAME_TO = Event("g", "rename_to")
MOVE_FROM = Event("g", "move_from")
MOVE_TO = Event("g", "move_to")
COPY_TO = Event("g", "copy_to")

_SUMMED = ("request_policy:multi_shard", "response_policy:agg_sum")
_PRESENCE = (KeySpec(1, -1, 1, ("RO",)),)
_RENAMED = (KeySpec(1, 1, 1, ("RW", "access", "delete")), KeySpec(2, 2, 1, ("OW", "update")))
_RENAMED_IF_FREE = (KeySpec(1, 1, 1, ("RW", "access", "delete")), KeySpec(2, 2, 1, ("OW", "insert")))
_COPIED = (KeySpec(1, 1, 1, ("RO", "access")), KeySpec(2, 2, 1, ("OW", "update")))
_RANDOM_TRIES = 100
_SAME_OBJECT = "ERR source and destination objects are the same"


def look(ctx: Context, key: bytes, *, silently: bool = False) -> Value | None:
    """The live value, counted as hit or miss but not as use of the key (EXISTS, TYPE, TTL). `silently`: a miss is
    no event."""
    value = ctx.peek(key)
    if value is None and silently:
        ctx.misses += 1
    elif value is None:
        ctx.missed(key)
    else:
        ctx.hits += 1
    return value


# -- presence ----------------------------------------------------------------------------------------------------


@command("DEL", arity=-2, flags={WRITE}, keys=ALL_REMOVED, group="generic", since="1.0.0", tips=_SUMMED,
         summary="Deletes keys.", complexity="O(N) in the number of keys, and of the elements of their values",
         syntax="key...")
def del_(ctx: Context, *keys: bytes) -> bytes:
    return _delete(ctx, keys, lazily=ctx.config.lazyfree_lazy_user_del)


@command("UNLINK", arity=-2, flags={WRITE, FAST}, keys=ALL_REMOVED, group="generic", since="4.0.0", tips=_SUMMED,
         summary="Deletes keys; INFO counts large values as freed in the background.",
         complexity="O(1) for each key, and O(N) in the number of the elements of their values", syntax="key...")
def unlink(ctx: Context, *keys: bytes) -> bytes:
    return _delete(ctx, keys, lazily=True)


def _delete(ctx: Context, keys: tuple[bytes, ...], *, lazily: bool) -> bytes:
    count = 0
    for key in keys:
        # The look lets a key die whose time is up: that is an expiry, not a deletion.
        if ctx.peek(key) is not None and ctx.remove(key, lazily=lazily):
            count += 1
    return replies.integer(count)


@command("EXISTS", arity=-2, flags={READONLY, FAST}, keys=_PRESENCE, group="generic", since="1.0.0", tips=_SUMMED,
         summary="Counts how many of the keys exist, repeated ones repeatedly.",
         complexity="O(N) in the number of keys", syntax="key...")
def exists(ctx: Context, *keys: bytes) -> bytes:
    return replies.integer(sum(look(ctx, key) is not None for key in keys))


@command("TOUCH", arity=-2, flags={READONLY, FAST}, keys=_PRESENCE, group="generic", since="3.2.1", tips=_SUMMED,
         summary="Counts as use of the keys, and answers how many exist.", complexity="O(N) in the number of keys",
         syntax="key...")
def touch(ctx: Context, *keys: bytes) -> bytes:
    found = [key for key in keys if ctx.find(key) is not None]
    if ctx.no_touch:  # that is about reading, and this is more
        for key in found:
            ctx.db.used_ms[key_slot(key)] = ctx.now_ms
            if ctx.tracks_access:
                ctx.server.memory.used_now(key)
    return replies.integer(len(found))


@command("TYPE", arity=2, flags={READONLY, FAST}, keys=first_key("RO"), group="generic", since="1.0.0",
         summary="Answers the type of a key's value.", syntax="key")
def type_(ctx: Context, key: bytes) -> bytes:
    value = look(ctx, key)
    return replies.simple("none" if value is None else type_name(value))


# -- to another name or database ---------------------------------------------------------------------------------


@command("RENAME", arity=3, flags={WRITE}, keys=_RENAMED, group="generic", since="1.0.0",
         summary="Gives a key another name, replacing what has that name.", syntax="key newkey:key")
def rename(ctx: Context, key: bytes, new_key: bytes) -> bytes:
    value = ctx.find_for_write(key)
    if value is None:
        raise NoSuchKey
    if key != new_key:
        _rename(ctx, key, new_key, value)
    return replies.OK


@command("RENAMENX", arity=3, flags={WRITE, FAST}, keys=_RENAMED_IF_FREE, group="generic", since="1.0.0",
         summary="Gives a key another name unless that is taken.", syntax="key newkey:key")
def renamenx(ctx: Context, key: bytes, new_key: bytes) -> bytes:
    value = ctx.find_for_write(key)
    if value is None:
        raise NoSuchKey
    if key == new_key or ctx.find_for_write(new_key) is not None:
        return replies.ZERO
    _rename(ctx, key, new_key, value)
    return replies.ONE


def _rename(ctx: Context, key: bytes, new_key: bytes, value: Value) -> None:
    deadline = ctx.deadline(key)
    clock = ctx.server.memory.clock(ctx.db, key)
    if ctx.find_for_write(new_key) is not None:
        ctx.clear(new_key)
    ctx.adopt(new_key, value, deadline)
    ctx.server.memory.set_clock(ctx.db, new_key, clock)
    ctx.remove(key, RENAME_FROM, 0)
    ctx.changed(new_key, RENAME_TO)


def database_at(ctx: Context, text: bytes) -> Database:
    """The database with the index that `text` gives."""
    index = parse_int32(text)
    if not 0 <= index < len(ctx.server.databases):
        raise CommandError("ERR DB index is out of range")
    return ctx.server.databases[index]


def _live_in(ctx: Context, db: Database, key: bytes) -> bool:
    """Whether `key` exists in another database than the client's; an expired one dies."""
    with _within(ctx, db):
        return ctx.exists(key)


@contextmanager
def _within(ctx: Context, db: Database) -> Iterator[None]:
    """For a while keys are those of another database than the client's."""
    home = ctx.db
    ctx.bind_database(db)
    try:
        yield
    finally:
        ctx.bind_database(home)


@command("MOVE", arity=3, flags={WRITE, FAST}, keys=first_key("RW", "access", "update"), group="generic",
         since="1.0.0", summary="Moves a key to another database unless it has one of that name.",
         syntax="key db:integer")
def move(ctx: Context, key: bytes, index: bytes) -> bytes:
    if ctx.config.cluster_enabled:
        raise CommandError("ERR MOVE is not allowed in cluster mode")
    target = database_at(ctx, index)
    if target is ctx.db:
        raise CommandError(_SAME_OBJECT)
    value = ctx.find_for_write(key)
    if value is None or _live_in(ctx, target, key):
        return replies.ZERO
    deadline = ctx.deadline(key)
    with _within(ctx, target):
        ctx.adopt(key, value, deadline)
    ctx.remove(key, MOVE_FROM, 0)
    with _within(ctx, target):
        ctx.changed(key, MOVE_TO)
    return replies.ONE


def copy_value(value: Value) -> Value:
    """An independent value; `bytes` never change and are shared."""
    if isinstance(value, bytes):
        return value
    return bytearray(value) if isinstance(value, bytearray) else value.copy()


@command("COPY", arity=-3, flags={WRITE, DENYOOM}, keys=_COPIED, group="generic", since="6.2.0",
         summary="Copies a key's value and deadline to another key.",
         complexity="O(N) in the number of elements of a collection, O(1) for a string",
         syntax="source:key destination:key [DB destination-db:integer] [REPLACE]")
def copy(ctx: Context, key: bytes, new_key: bytes, *options: bytes) -> bytes:
    target, replace = _copy_options(ctx, options)
    if target is ctx.db and key == new_key:
        raise CommandError(_SAME_OBJECT)
    value = ctx.find(key)
    if value is None or (_live_in(ctx, target, new_key) and not replace):
        return replies.ZERO
    deadline = ctx.deadline(key)
    copied = copy_value(value)
    impose(copied, encoding(value, ctx.config))
    with _within(ctx, target):
        ctx.clear(new_key)
        ctx.adopt(new_key, copied, deadline)
        ctx.changed(new_key, COPY_TO)
    return replies.ONE


def _copy_options(ctx: Context, options: tuple[bytes, ...]) -> tuple[Database, bool]:
    target, replace = ctx.db, False
    rest = iter(options)
    for option in rest:
        word = option.upper()
        if word == b"REPLACE":
            replace = True
        elif word == b"DB" and (index := next(rest, None)) is not None:
            if ctx.config.cluster_enabled and 0 < parse_integer(index) < ctx.config.databases:
                raise CommandError("ERR Copying to another database is not allowed in cluster mode")
            target = database_at(ctx, index)
        else:
            raise SyntaxFault
    return target, replace


# -- any key -----------------------------------------------------------------------------------------------------


@command("RANDOMKEY", arity=1, flags={READONLY}, group="generic", since="1.0.0",
         tips=("request_policy:all_shards", "nondeterministic_output"), summary="Answers some key.")
def randomkey(ctx: Context) -> bytes:
    key: bytes | None = None
    for _ in range(_RANDOM_TRIES):
        key = _random_key(ctx)
        if key is None or ctx.exists(key):
            break
    # A replica that holds expired keys only cannot delete them; then any of them has to do, as in Redis.
    return ctx.null if key is None else replies.bulk(key)


def _random_key(ctx: Context) -> bytes | None:
    total = len(ctx.db)
    if not total:
        return None
    at = ctx.rng.randrange(total)
    for space in ctx.spaces:
        if at < len(space):
            return next(islice(space, at, None))
        at -= len(space)
    return None
