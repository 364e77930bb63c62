"""HyperLogLog: PFADD, PFCOUNT, PFMERGE, and PFDEBUG and PFSELFTEST for a look inside. The values are strings."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec, first_key
from cluster.commands.registry import ADMIN, DENYOOM, FAST, MAY_REPLICATE, READONLY, WRITE, command
from cluster.commands.strings import editable
from cluster.errors import CommandError
from cluster.keyspace import hyperloglog
from cluster.keyspace.events import TOUCHED, Event
from cluster.keyspace.hyperloglog_sparse import REGISTERS, described
from cluster.keyspace.values import StringValue
from cluster.protocol import replies

HYPERLOGLOG_ADD = Event("$", "pfadd")
_TESTED_ELEMENTS = 4000
_TOLERATED_ERROR = 0.05
"""Six standard errors: what a healthy estimate does not reach."""


def _checked(value: StringValue) -> StringValue:
    if not hyperloglog.is_hyperloglog(value):
        raise CommandError("WRONGTYPE Key is not a valid HyperLogLog string value.")
    return value


@command("PFADD", arity=-2, flags={WRITE, DENYOOM, FAST}, keys=first_key("RW", "insert"), group="hyperloglog",
         since="2.8.9", complexity="O(1) for each element",
         summary="Adds elements to a HyperLogLog, which is made if it is not there.", syntax="key [element...]")
def pfadd(ctx: Context, key: bytes, *elements: bytes) -> bytes:
    value = ctx.string_for_write(key)
    changes = 0
    if value is None:
        edited = hyperloglog.new()
        ctx.put(key, edited)
        changes = 1
    else:
        edited = editable(ctx, key, _checked(value))
    changes += hyperloglog.add(edited, elements, ctx.config.hll_sparse_max_bytes)
    if not changes:
        return replies.ZERO
    hyperloglog.forget_count(edited)
    ctx.changed(key, HYPERLOGLOG_ADD, changes)
    return replies.ONE


@command("PFCOUNT", arity=-2, flags={READONLY, MAY_REPLICATE}, keys=(KeySpec(1, -1, 1, ("RW", "access")),),
         group="hyperloglog", since="2.8.9", own_effects=True,
         complexity="O(1) for one key that did not change since the last time, else O(N) in the number of keys",
         summary="Estimates how many different elements were added to HyperLogLogs together.", syntax="key...")
def pfcount(ctx: Context, key: bytes, *others: bytes) -> bytes:
    if others:
        union = _union(ctx, (key, *others))
        return replies.integer(hyperloglog.estimate(union.registers))
    value = ctx.string(key)
    if value is None:
        return replies.ZERO
    edited = editable(ctx, key, _checked(value))
    count = hyperloglog.cached_count(edited)
    if count is None:
        count = hyperloglog.count(edited)
        hyperloglog.cache_count(edited, count)
        # The key's bytes have changed: replicas are to hold the same ones.
        ctx.propagate(b"PFCOUNT", key)
        ctx.changed(key, TOUCHED)
    return replies.integer(count)


def _union(ctx: Context, keys: tuple[bytes, ...]) -> hyperloglog.Union:
    union = hyperloglog.Union()
    for key in keys:
        value = ctx.string(key)
        if value is not None:
            union.add(_checked(value))
    return union


@command("PFMERGE", arity=-2, flags={WRITE, DENYOOM}, group="hyperloglog", since="2.8.9",
         keys=(KeySpec(1, 1, 1, ("RW", "access", "insert")), KeySpec(2, -1, 1, ("RO", "access"))),
         complexity="O(N) in the number of keys", summary="Adds to a HyperLogLog what was added to others.",
         syntax="destkey:key [sourcekey:key...]")
def pfmerge(ctx: Context, key: bytes, *sources: bytes) -> bytes:
    union = _union(ctx, (key, *sources))
    value = ctx.string_for_write(key)
    if value is None:
        edited = hyperloglog.new()
        ctx.put(key, edited)
    else:
        edited = editable(ctx, key, value)
    hyperloglog.merge(edited, union, ctx.config.hll_sparse_max_bytes)
    hyperloglog.forget_count(edited)
    ctx.changed(key, HYPERLOGLOG_ADD)
    return replies.OK


# -- for a look inside -------------------------------------------------------------------------------------------


@command("PFDEBUG", arity=3, flags={WRITE, DENYOOM, ADMIN}, keys=(KeySpec(2, 2, 1, ("RW", "access")),),
         group="hyperloglog", since="2.8.9",
         summary="Shows the registers, the runs or the representation of a HyperLogLog, or makes it dense.",
         complexity="O(N) in the number of registers", syntax="subcommand key")
def pfdebug(ctx: Context, word: bytes, key: bytes) -> bytes:
    value = ctx.string_for_write(key)
    if value is None:
        raise CommandError("ERR The specified key does not exist")
    edited = editable(ctx, key, _checked(value))
    sparse = hyperloglog.is_sparse(edited)
    what = word.upper()
    if what == b"ENCODING":
        return replies.simple("sparse" if sparse else "dense")
    if what == b"DECODE":
        if not sparse:
            raise CommandError("ERR HLL encoding is not sparse")
        return replies.bulk(described(edited))
    if what not in (b"GETREG", b"TODENSE"):
        raise CommandError(f"ERR Unknown PFDEBUG subcommand '{word.decode('utf-8', 'surrogateescape')}'")
    if sparse:
        hyperloglog.to_dense(edited)
        ctx.dirty += 1
    if what == b"TODENSE":
        return replies.ONE if sparse else replies.ZERO
    return replies.array([replies.integer(rank) for rank in hyperloglog.unpacked(edited)])


@command("PFSELFTEST", arity=1, flags={ADMIN}, group="hyperloglog", since="2.8.9",
         summary="Checks that HyperLogLogs of either representation hold and count what was added.",
         complexity="O(N) in the number of registers")
def pfselftest(ctx: Context) -> bytes:
    salt = ctx.rng.getrandbits(64)
    elements = [b"%d:%d" % (salt, number) for number in range(_TESTED_ELEMENTS)]
    sparse, dense = hyperloglog.new(), hyperloglog.new()
    hyperloglog.to_dense(dense)
    hyperloglog.add(sparse, elements, len(dense))
    hyperloglog.add(dense, elements, 0)
    wanted = bytearray(REGISTERS)
    for index, rank in map(hyperloglog.register_of, elements):
        wanted[index] = max(wanted[index], rank)
    if not hyperloglog.unpacked(sparse) == hyperloglog.unpacked(dense) == wanted:
        raise CommandError("TESTFAILED The registers are not those that the elements give")
    error = abs(hyperloglog.count(dense) - _TESTED_ELEMENTS)
    if error > _TOLERATED_ERROR * _TESTED_ELEMENTS:
        raise CommandError(f"TESTFAILED {_TESTED_ELEMENTS} elements were counted with an error of {error}")
    return replies.OK
