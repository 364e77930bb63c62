"""What runs in a Lua state, a script or a function, with what it says of itself; and one run of it."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.errors import CommandError

NO_WRITES, ALLOW_OOM, ALLOW_STALE, NO_CLUSTER, ALLOW_CROSS_SLOT = (
    "no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys",
)
FLAGS = (NO_WRITES, ALLOW_OOM, ALLOW_STALE, NO_CLUSTER, ALLOW_CROSS_SLOT)


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """`flags`: of its first line (``#!lua flags=…``); None for one without, to which the old rules apply."""

    sha: bytes
    source: bytes
    flags: frozenset[str] | None

    @property
    def which(self) -> bytes:
        """What Lua knows it by."""
        return self.sha

    @property
    def name(self) -> bytes:
        """What its errors call it."""
        return self.sha


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function of a library. `number`: what Lua knows it by."""

    number: int
    name: bytes
    flags: frozenset[str]
    description: bytes | None

    @property
    def which(self) -> int:
        return self.number


class Run:
    """One run of a script: what it may, and what it has done. `arguments`: the command that it was started with."""

    __slots__ = ("allows_cross_slot", "arguments", "out_of_memory", "read_only", "repl", "script", "slot", "written")

    def __init__(
        self, script: Script | Function, arguments: list[bytes], *, read_only: bool, out_of_memory: bool,
        slot: int | None,
    ) -> None:
        flags = script.flags
        self.script = script
        self.arguments = arguments
        self.read_only = read_only or (flags is not None and NO_WRITES in flags)
        self.out_of_memory = out_of_memory and (flags is None or ALLOW_OOM not in flags)
        self.allows_cross_slot = flags is None or ALLOW_CROSS_SLOT in flags
        self.slot = slot
        self.repl = 3  # redis.set_repl: whom its effects reach
        self.written = False

    @property
    def is_function(self) -> bool:
        return isinstance(self.script, Function)


def parse_shebang(source: bytes) -> tuple[frozenset[str] | None, bytes]:
    """(the flags of the first line, the code with that line blank). Raises CommandError."""
    if not source.startswith(b"#!"):
        return None, source
    line, newline, rest = source.partition(b"\n")
    if not newline:
        raise CommandError("ERR Invalid script shebang")
    engine, *options = line.split() or [line]
    if engine != b"#!lua":
        raise CommandError(f"ERR Unexpected engine in script shebang: {_shown(engine)}")
    flags: set[str] = set()
    for option in options:
        name, equals, value = option.partition(b"=")
        if not equals or name != b"flags":
            raise CommandError(f"ERR Unknown lua shebang option: {_shown(option)}")
        for flag in value.split(b",") if value else ():
            if _shown(flag) not in FLAGS:
                raise CommandError(f"ERR Unexpected flag in script shebang: {_shown(flag)}")
            flags.add(_shown(flag))
    return frozenset(flags), b"\n" + rest


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
