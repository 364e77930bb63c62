"""The command table: what a command is, and how the modules' functions become one.

The decorator only attaches a description to the function; `build_table` gathers them from the modules it is
given, so importing a command module has no effect. The one table is the source for arity, flags, key positions,
ACL categories and documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cluster.commands.keys import NO_KEYS, Keys, KeySpec, NumKeys, uses

if TYPE_CHECKING:
    from cluster.server import Server

Handler = Callable[..., bytes | None]
"""(ctx, *arguments behind the name) → the encoded reply, or None when there is none now (blocked, reply off)."""

Varying = Callable[["Server", "Command", list[bytes]], frozenset[str]]
"""(server, the command, the line) → the flags that hold for this line."""

# Flags, named as COMMAND INFO prints them.
WRITE = "write"
READONLY = "readonly"
DENYOOM = "denyoom"
ADMIN = "admin"
PUBSUB = "pubsub"
NOSCRIPT = "noscript"
BLOCKING = "blocking"
LOADING = "loading"
STALE = "stale"
SKIP_SLOWLOG = "skip_slowlog"
ASKING = "asking"
FAST = "fast"
NO_AUTH = "no_auth"
MAY_REPLICATE = "may_replicate"
NO_MULTI = "no_multi"
MOVABLE_KEYS = "movablekeys"
ALLOW_BUSY = "allow_busy"
NO_MANDATORY_KEYS = "no_mandatory_keys"
SKIP_MONITOR = "skip_monitor"
NO_ASYNC_LOADING = "no_async_loading"

# How the session may run a command (`Command.road`): all but the last go straight from the table to the handler.
ROAD_KEY, ROAD_KEYS, ROAD_NO_KEY, ROAD_ROUTED = range(4)


class Command:
    """One command or subcommand. Attributes the session reads for each request come first."""

    __slots__ = (
        "arity", "calls", "categories", "complexity", "counted_ns", "counts", "deprecated", "failed", "flags",
        "full_name", "group", "handler", "key_uses", "keys", "maximum", "minimum", "name", "own_effects", "rejected",
        "road", "since", "spent_ns", "step", "subcommands", "summary", "syntax", "takes_imports", "tips", "varying",
        "writes",
    )

    def __init__(
        self,
        name: str,
        handler: Handler | None,
        *,
        arity: int,
        flags: Iterable[str],
        keys: Keys,
        group: str,
        since: str,
        summary: str,
        categories: Iterable[str] = (),
        tips: Iterable[str] = (),
        own_effects: bool = False,
        parent: str | None = None,
        complexity: str = "O(1)",
        syntax: str = "",
        deprecated: tuple[str, str] | None = None,
        varying: Varying | None = None,
    ) -> None:
        self.name = name.lower()
        self.full_name = f"{parent.lower()}|{self.name}" if parent else self.name
        self.handler = handler
        self.arity = arity
        self.minimum = abs(arity)
        self.maximum = arity if arity > 0 else 1 << 30
        self.flags = frozenset(flags)
        self.keys = keys
        self.key_uses = uses(keys)
        self.group = group
        self.since = since
        self.summary = summary
        self.categories = frozenset(categories)
        self.tips = tuple(tips)
        self.complexity = complexity
        self.syntax = syntax
        self.deprecated = deprecated
        self.own_effects = own_effects
        self.varying = varying
        self.subcommands: dict[bytes, Command] = {}
        self.calls = 0
        self.spent_ns = 0
        self.counts: dict[int, int] = {}  # by bucket, and the time they took: those calls that `command_times` counts
        self.counted_ns = 0
        self.rejected = 0
        self.failed = 0
        self.takes_imports = ASKING in self.flags  # runs in a slot that is on its way here
        self.writes = WRITE in self.flags
        self.step = 1  # from one key to the next
        self.road = self._road()

    def _road(self) -> int:
        plain = not (self.flags & {BLOCKING, ADMIN, NO_AUTH, NO_MULTI}) and BLOCKING not in self.categories
        publishes = PUBSUB in self.flags and FAST in self.flags
        plain = plain and (publishes or PUBSUB not in self.flags)
        if self.subcommands or self.handler is None:
            return ROAD_ROUTED
        if len(self.keys) == 1 and plain:
            spec = self.keys[0]
            if isinstance(spec, KeySpec) and spec.first == 1 and spec.last in (1, -1):
                self.step = spec.step
                return ROAD_KEY if spec.last == 1 else ROAD_KEYS
        if not self.keys and plain and (publishes or not self.flags & {WRITE, MAY_REPLICATE}):
            return ROAD_NO_KEY
        return ROAD_ROUTED

    def flags_for(self, server: Server, arguments: list[bytes]) -> frozenset[str]:
        """The flags that hold for this line of it."""
        return self.flags if self.varying is None else self.varying(server, self, arguments)

    def key_positions(self, arguments: list[bytes]) -> list[int]:
        """Positions of all keys in the whole command `arguments` (name first). None at all where a number of keys is
        wrong: such a line goes to no other node, its error is answered here."""
        found: list[int] = []
        for spec in self.keys:
            positions = spec.positions(arguments)
            if not positions and isinstance(spec, NumKeys):
                return []
            found += positions
        return found


def command(
    name: str,
    *,
    arity: int,
    flags: Iterable[str] = (),
    keys: Keys = NO_KEYS,
    group: str,
    since: str,
    summary: str,
    categories: Iterable[str] = (),
    tips: Iterable[str] = (),
    own_effects: bool = False,
    complexity: str = "O(1)",
    syntax: str = "",
    deprecated: tuple[str, str] | None = None,
    varying: Varying | None = None,
) -> Callable[[Handler], Handler]:
    """Describe the decorated function as the command `name`; ``"CONFIG GET"`` is a subcommand.

    arity: as in COMMAND INFO: the name counts (and a subcommand's too), negative means 'at least'.
    own_effects: the handler calls `ctx.propagate` itself; otherwise a write that changed something is journaled
    as it was sent.
    categories: those that neither flags nor group imply.
    syntax: the arguments, in the notation of `cluster.commands.syntax`.
    deprecated: since when, and what to use instead.
    varying: says which flags hold, where they are not the same for each line.
    """

    def attach(handler: Handler) -> Handler:
        parent, _, leaf = name.rpartition(" ")
        described = Command(
            leaf, handler, arity=arity, flags=flags, keys=keys, group=group, since=since, summary=summary,
            categories=categories, tips=tips, own_effects=own_effects, parent=parent or None, complexity=complexity,
            syntax=syntax, deprecated=deprecated, varying=varying,
        )
        existing: list[Command] = getattr(handler, "commands", [])
        existing.append(described)
        handler.commands = existing  # type: ignore[attr-defined]
        return handler

    return attach


def container(
    name: str, *, group: str, since: str, summary: str, arity: int = -2, flags: Iterable[str] = ()
) -> Command:
    """A command that only holds subcommands: a module-level constant of the module that defines those."""
    return Command(name, None, arity=arity, flags=flags, keys=NO_KEYS, group=group, since=since, summary=summary,
                   complexity="Depends on the subcommand.")


class CommandTable:
    """Commands by name. `by_bytes` is the hot look-up: names as sent, lower and upper case, others learnt."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self.commands: dict[str, Command] = {}
        self.by_bytes: dict[bytes, Command] = {}
        self.plain: dict[bytes, Command] = {}  # those of `by_bytes` that may go straight to their handler
        self.fast: dict[bytes, Command] = {}  # those of them that a client may send so: all, or those that write not
        self.original = sorted(commands, key=lambda entry: "|" in entry.full_name)
        """All commands and subcommands, whatever rename-command does to them."""
        for one in self.original:
            self._add(one)
        self._find_fast()

    def _find_fast(self) -> None:
        self.plain = {name: entry for name, entry in self.by_bytes.items() if entry.road != ROAD_ROUTED}
        self.fast = self.plain

    def take_writes(self, taken: bool) -> None:
        """Whether clients may write. Where not, all else still goes the fast road."""
        if taken is not (self.fast is self.plain):
            self.fast = self.plain if taken else {name: one for name, one in self.plain.items() if not one.writes}

    def _add(self, entry: Command) -> None:
        if "|" in entry.full_name:
            parent = self.commands[entry.full_name.partition("|")[0]]
            parent.subcommands[entry.name.encode()] = entry
            parent.road = ROAD_ROUTED
            return
        self.commands[entry.name] = entry
        self.by_bytes[entry.name.encode()] = entry
        self.by_bytes[entry.name.upper().encode()] = entry

    def find(self, name: bytes) -> Command | None:
        """Any spelling of a top-level name."""
        return self.by_bytes.get(name) or self.by_bytes.get(name.lower())

    def every(self) -> list[Command]:
        """All commands and subcommands."""
        return [one for entry in self.commands.values() for one in (entry, *entry.subcommands.values())]

    def rename(self, name: str, new_name: str) -> None:
        """rename-command: under `new_name` from now on, or gone when that is empty.

        KeyError: no such command; ValueError: `new_name` is that of another, which would be lost.
        """
        entry = self.commands[name.lower()]
        if self.commands.get(new_name.lower(), entry) is not entry:
            raise ValueError(new_name)
        del self.commands[name.lower()]
        self.by_bytes = {key: value for key, value in self.by_bytes.items() if value is not entry}
        if new_name:
            self.commands[new_name.lower()] = entry
            self.by_bytes[new_name.lower().encode()] = entry
            self.by_bytes[new_name.upper().encode()] = entry
        self._find_fast()


class Narrowed:
    """What `fast` is of a table, for clients who may send some commands only so: those of the full names `names`."""

    __slots__ = ("_followed", "fast", "names")

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.fast: dict[bytes, Command] = {}
        self._followed: dict[bytes, Command] = self.fast

    def follow(self, table: CommandTable) -> None:
        """The table's may have changed."""
        if self._followed is not table.fast:
            self._followed = table.fast
            self.fast = {typed: one for typed, one in table.fast.items() if one.full_name in self.names}


def described_in(module: ModuleType) -> list[Command]:
    """The commands whose functions `module` defines, and its containers."""
    found: list[Command] = []
    for value in vars(module).values():
        if isinstance(value, Command):
            found.append(value)
        elif getattr(value, "__module__", None) == module.__name__:
            found.extend(getattr(value, "commands", ()))
    return found


def build_table(modules: Iterable[ModuleType]) -> CommandTable:
    """A fresh table (counters at zero) of all commands of `modules`."""
    return CommandTable(_copy(entry) for module in modules for entry in described_in(module))


def _copy(entry: Command) -> Command:
    parent = entry.full_name.rpartition("|")[0] or None
    values: dict[str, Any] = {
        key: getattr(entry, key)
        for key in ("arity", "flags", "keys", "group", "since", "summary", "categories", "tips", "own_effects",
                    "complexity", "syntax", "deprecated", "varying")
    }
    return Command(entry.name, entry.handler, parent=parent, **values)
