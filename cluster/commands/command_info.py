"""COMMAND: the command table, described to clients (COUNT, LIST, INFO, GETKEYS, GETKEYSANDFLAGS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.categories import categories
from cluster.commands.context import Context
from cluster.commands.keys import Custom, KeySpec, Keyword, NumKeys, flags_in
from cluster.commands.registry import (
    LOADING,
    MAY_REPLICATE,
    MOVABLE_KEYS,
    STALE,
    Command,
    command,
)
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.glob import matches
from cluster.protocol import replies

if TYPE_CHECKING:
    from collections.abc import Callable

DESCRIBES = {LOADING, STALE}
UNORDERED = ("nondeterministic_output_order",)


_ANY_USE = "What becomes of the keys is not known beforehand: the most that may is named."
_FROM_DATA = "For BY and GET, whose keys come from the elements: 'unknown'."
_NOTES = {
    ("bitfield", 0): "The operations may read, write, or both.",
    ("eval", 0): _ANY_USE,
    ("eval_ro", 0): _ANY_USE,
    ("fcall", 0): _ANY_USE,
    ("fcall_ro", 0): _ANY_USE,
    ("getex", 0): "RW and UPDATE, for the deadline.",
    ("hgetex", 0): "RW and UPDATE, for the deadlines.",
    ("pfcount", 0): "RW, for the cached count, which replicas are told too.",
    ("set", 0): "RW and ACCESS, for GET.",
    ("sort", 1): _FROM_DATA,
    ("sort", 2): "For STORE, which may stand anywhere: 'unknown'.",
    ("sort_ro", 1): _FROM_DATA,
    ("xadd", 0): "UPDATE and not INSERT, for the trimming.",
}
"""Of key specifications that do not explain themselves: (command, which of them)."""


def flags(entry: Command) -> list[str]:
    """The flags, with `movablekeys` where the key positions cannot be read off first, last and step."""
    shown = set(entry.flags) - {MAY_REPLICATE}  # which redis-server keeps to itself
    if any(not isinstance(spec, KeySpec) or "incomplete" in spec.flags for spec in entry.keys):
        shown.add(MOVABLE_KEYS)
    return sorted(shown)


def key_range(entry: Command) -> tuple[int, int, int]:
    """First key, last key and step of the fixed positions; zeros when there are none."""
    fixed = [spec for spec in entry.keys if isinstance(spec, KeySpec)]
    if not fixed:
        return 0, 0, 0
    first = fixed[0]
    last = first.last
    for spec in fixed[1:]:
        if spec.step == 1 and last >= 0 and spec.first == last + 1:
            last = spec.last
    return first.first, last, first.step


def _spec_reply(spec: KeySpec | NumKeys | Keyword | Custom, note: str | None, resp: int) -> bytes:
    begin: tuple[str, dict[str, bytes]]
    find: tuple[str, dict[str, bytes]]
    if isinstance(spec, KeySpec):
        last = spec.last if spec.last < 0 else spec.last - spec.first
        begin = "index", {"index": replies.integer(spec.first)}
        find = "range", _range(last, spec.step)
    elif isinstance(spec, NumKeys):
        begin = "index", {"index": replies.integer(spec.count_at)}
        find = "keynum", {
            "keynumidx": replies.ZERO, "firstkey": replies.ONE, "keystep": replies.ONE,
        }
    elif isinstance(spec, Keyword) and not spec.pick_last:
        begin = "keyword", {"keyword": replies.bulk(spec.word), "startfrom": replies.integer(spec.start)}
        find = "range", _range(spec.last, spec.step, spec.limit)
    else:
        begin = find = "unknown", {}
    notes = {} if note is None else {"notes": replies.text(note)}
    return replies.string_map({
        **notes,
        "flags": replies.set_reply([replies.simple(flag) for flag in spec.flags], resp),
        "begin_search": _typed(begin, resp),
        "find_keys": _typed(find, resp),
    }, resp)


def _range(last: int, step: int, limit: int = 0) -> dict[str, bytes]:
    return {"lastkey": replies.integer(last), "keystep": replies.integer(step), "limit": replies.integer(limit)}


def _typed(described: tuple[str, dict[str, bytes]], resp: int) -> bytes:
    kind, fields = described
    return replies.string_map({"type": replies.text(kind), "spec": replies.string_map(fields, resp)}, resp)


def _info(entry: Command, resp: int) -> bytes:
    first, last, step = key_range(entry)
    return replies.array([
        replies.text(entry.full_name),
        replies.integer(entry.arity),
        replies.set_reply([replies.simple(flag) for flag in flags(entry)], resp),
        replies.integer(first),
        replies.integer(last),
        replies.integer(step),
        replies.set_reply([replies.simple(f"@{name}") for name in categories(entry)], resp),
        replies.array([replies.text(tip) for tip in entry.tips]),
        replies.array([
            _spec_reply(spec, _NOTES.get((entry.full_name, at)), resp) for at, spec in enumerate(entry.keys)
        ]),
        replies.array([_info(one, resp) for one in entry.subcommands.values()]),
    ])


def named(ctx: Context, name: bytes) -> Command | None:
    """A command by its full name: `get`, `client|kill`."""
    parent, _, leaf = name.lower().partition(b"|")
    found = ctx.server.table.find(parent)
    if found is None or not leaf:
        return found
    return found.subcommands.get(leaf)


def top_level(ctx: Context) -> list[Command]:
    return list(ctx.server.table.commands.values())


@command("COMMAND", arity=-1, flags=DESCRIBES, group="server", since="2.8.13", tips=UNORDERED,
         categories=("connection",), summary="Describes every command.", complexity="O(N) in the number of commands")
def command_(ctx: Context) -> bytes:
    return _every(ctx)


def _every(ctx: Context) -> bytes:
    return replies.array([_info(entry, ctx.resp) for entry in top_level(ctx)])


@command("COMMAND COUNT", arity=2, flags=DESCRIBES, group="server", since="2.8.13", categories=("connection",),
         summary="Counts the commands.")
def command_count(ctx: Context) -> bytes:
    return replies.integer(len(ctx.server.table.commands))


@command("COMMAND INFO", arity=-2, flags=DESCRIBES, group="server", since="2.8.13", tips=UNORDERED,
         categories=("connection",), summary="Describes the named commands: arity, flags, keys, categories.",
         complexity="O(N) in the number of names", syntax="[command-name...]")
def command_info(ctx: Context, *names: bytes) -> bytes:
    if not names:
        return _every(ctx)
    found = [named(ctx, name) for name in names]
    return replies.array([ctx.null if entry is None else _info(entry, ctx.resp) for entry in found])


@command("COMMAND LIST", arity=-2, flags=DESCRIBES, group="server", since="7.0.0", tips=UNORDERED,
         categories=("connection",), summary="Names the commands, all or those that pass a filter.",
         complexity="O(N) in the number of commands",
         syntax="[FILTERBY (MODULE module-name | ACLCAT category | PATTERN pattern:pattern)]")
def command_list(ctx: Context, *options: bytes) -> bytes:
    if not options:
        return replies.bulk_array([entry.full_name.encode() for entry in ctx.server.table.every()])
    if len(options) != 3 or options[0].upper() != b"FILTERBY":
        raise SyntaxFault
    passes = _filter(options[1].upper(), options[2])
    return replies.bulk_array([entry.full_name.encode() for entry in ctx.server.table.every() if passes(entry)])


def _filter(kind: bytes, wanted: bytes) -> Callable[[Command], bool]:
    if kind == b"MODULE":
        return lambda entry: False
    if kind == b"ACLCAT":
        category = wanted.decode("utf-8", "replace").lower()
        return lambda entry: category in categories(entry)
    if kind == b"PATTERN":
        return lambda entry: matches(wanted, entry.full_name.encode(), nocase=True)
    raise SyntaxFault


def _keys_of(ctx: Context, arguments: tuple[bytes, ...]) -> list[tuple[bytes, tuple[str, ...]]]:
    """(key, its flags) of the command line `arguments`."""
    entry = ctx.server.table.find(arguments[0])
    line = list(arguments)
    if entry is not None and entry.subcommands and len(line) > 1:
        entry = entry.subcommands.get(line[1].lower())
    if entry is None:
        raise CommandError("ERR Invalid command specified")
    if all("not_key" in spec.flags for spec in entry.keys):
        raise CommandError("ERR The command has no key arguments")
    if not entry.minimum <= len(line) <= entry.maximum:
        raise CommandError("ERR Invalid number of arguments specified for command")
    if not entry.key_positions(line):
        raise CommandError("ERR Invalid arguments specified for command")
    return [(line[at], flags_in(entry.name, line, spec.flags)) for spec in entry.keys for at in spec.positions(line)]


@command("COMMAND GETKEYS", arity=-3, flags=DESCRIBES, group="server", since="2.8.13", categories=("connection",),
         summary="Names the keys in a command line.", complexity="O(N) in the number of arguments",
         syntax="command [arg...]")
def command_getkeys(ctx: Context, *arguments: bytes) -> bytes:
    return replies.bulk_array([key for key, _ in _keys_of(ctx, arguments)])


@command("COMMAND GETKEYSANDFLAGS", arity=-3, flags=DESCRIBES, group="server", since="7.0.0",
         categories=("connection",), summary="Names the keys in a command line, and what happens to them.",
         complexity="O(N) in the number of arguments", syntax="command [arg...]")
def command_getkeysandflags(ctx: Context, *arguments: bytes) -> bytes:
    return replies.array([
        replies.array([replies.bulk(key), replies.set_reply([replies.simple(one) for one in names], ctx.resp)])
        for key, names in _keys_of(ctx, arguments)
    ])


@command("COMMAND HELP", arity=2, flags=DESCRIBES, group="server", since="5.0.0", categories=("connection",),
         summary="Lists the subcommands.")
def command_help(_ctx: Context) -> bytes:
    return replies.help_text("COMMAND", [
        ("(no subcommand)", "Every command, described."),
        ("COUNT", "How many commands there are."),
        ("DOCS [<command-name> ...]", "Documentation of commands."),
        ("GETKEYS <full-command>", "The keys in a command line."),
        ("GETKEYSANDFLAGS <full-command>", "The keys, and what happens to them."),
        ("INFO [<command-name> ...]", "Arity, flags, keys and categories of commands."),
        ("LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]", "Names of commands."),
    ])


