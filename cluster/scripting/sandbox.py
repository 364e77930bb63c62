"""A Lua state: one for all scripts of a node, made at the first of them, and one for its functions.

The sandbox itself is Lua (`lua/sandbox.lua`): it takes away what leads out, and hands back a few entry points.
Between it and Python only strings, numbers and booleans cross. No Python object is ever seen by a script, no table of
a script by Python, and no exception goes from one to the other: a longjmp through Python's frames would be the end.

Memory: Lua may take `MEMORY_BYTES`. Where it fails within a script that is an error like any other. Where Python hands
over a value it would not be, so values are only handed over while a good part is left (`ROOM_BYTES`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha1
from importlib.resources import files
from typing import Any
from weakref import ref

from lupa import lua51

from cluster.errors import CommandError

MEMORY_BYTES = 512 * 1024 * 1024
ROOM_BYTES = MEMORY_BYTES * 6 // 10
"""More than this is not used by what is handed to Lua: its tables of strings double when they are full."""
LIBRARIES = ("replies", "redis", "cjson", "cmsgpack", "bit", "struct", "tail_calls")
ARGUMENTS_AT_ONCE = 1000
"""What Lua's stack takes without a question."""

ARGUMENT_BYTES = 64
"""What Lua takes for a string beside its text."""

# What a script has come to, as sandbox.run says it.
STRING, NUMBER, NIL, BOOLEAN, FAILED, ENCODED = 0, 1, 2, 3, 5, 6

Host = Mapping[str, Any]
OUT_OF_MEMORY = "ERR not enough memory"


def _refuse_attribute(_object: object, _name: object, _setting: bool) -> None:
    raise AttributeError("not in here")


def _source(name: str) -> bytes:
    return files(__package__).joinpath("lua", f"{name}.lua").read_bytes()


def digest(source: bytes) -> bytes:
    """What a script is called by."""
    return sha1(source, usedforsecurity=False).hexdigest().encode()


def weakly(method: Any) -> Callable[..., Any]:
    """The bound `method`, without keeping its object alive: nobody collects a cycle that leads through Lua. (A
    WeakMethod does the same, and takes twice as long to call.)"""
    where, function = ref(method.__self__), method.__func__
    return lambda *values: function(where(), *values)


class Sandbox:
    """`host`: the functions that the Lua side is given, by name. They must not keep the sandbox alive (`weakly`).
    `of_functions`: functions live in it."""

    def __init__(self, host: Host, *, of_functions: bool = False) -> None:
        self._runtime = lua51.LuaRuntime(
            encoding=None, source_encoding="latin-1", attribute_filter=_refuse_attribute, register_eval=False,
            register_builtins=False, unpack_returned_tuples=True, max_memory=MEMORY_BYTES,
        )  # fmt: skip
        self._fed: list[bytes] = []
        self._fed_at = 0
        functions = {name.encode(): value for name, value in host.items()}
        functions[b"take"] = weakly(self._take)
        entry = self._runtime.execute(_source("sandbox"), self._runtime.table_from(functions), name=b"=sandbox")
        for library in (*LIBRARIES, "functions") if of_functions else LIBRARIES:
            entry[b"add"](library.encode(), _source(library))
        self._sethook, self._tick, self._instructions = entry[b"seal"]()
        self._arm()
        self._load: Callable[..., Any] = entry[b"load"]
        self._load_library: Callable[..., Any] = entry[b"load_library"]
        self._loaded: Callable[..., Any] = entry[b"loaded"]
        self._forget: Callable[..., Any] = entry[b"forget"]
        self._run: Callable[..., Any] = entry[b"run"]
        self._last_error: Callable[..., Any] = entry[b"last_error"]

    def _arm(self) -> None:
        """Let the host's tick be called now and then. Not by way of Lua: of a script that was ended, every instruction
        fails, until this."""
        self._sethook(self._tick, b"", self._instructions)

    @property
    def memory_bytes(self) -> int:
        used: int = self._runtime.get_memory_used(total=True)
        return used

    def has_room(self, size: int) -> bool:
        """Whether a value of `size` bytes may be handed to Lua now."""
        used: int = self._runtime.get_memory_used()
        return used + size < ROOM_BYTES

    def _make_room(self, size: int) -> None:
        if not self.has_room(size):
            self._runtime.gccollect()
            if not self.has_room(size):
                raise CommandError(OUT_OF_MEMORY)

    def load(self, sha: bytes, source: bytes) -> None:
        """Compile a script under its name. Raises CommandError with what is wrong with it."""
        self._make_room(3 * len(source))
        wrong: bytes | None = self._load(sha, source)
        if wrong is not None:
            text = wrong.decode("utf-8", "surrogateescape")
            raise CommandError(f"ERR Error compiling script (new function): {text}")

    def load_library(self, code: bytes, first: int) -> None:
        """Run a library's code; the host's `register` is called with each of its functions, numbered from `first` on.
        Raises CommandError, and there may be functions then that nobody needs."""
        self._make_room(3 * len(code))
        try:
            wrong: bytes | None = self._load_library(code, first)
        except lua51.LuaError:
            self._arm()
            wrong = self._loaded(False, None)
        if wrong is not None:
            raise CommandError(f"ERR {wrong.decode('utf-8', 'surrogateescape')}")

    def forget(self, which: bytes | int) -> None:
        """A script, or the function of a number."""
        self._forget(which)

    def run(self, which: bytes | int, resp: int, keys: tuple[bytes, ...], arguments: tuple[bytes, ...]) -> Any:
        """Run a script that was loaded, or a function that was registered, for a client of `resp`: (one of the kinds
        above, what belongs to it …)."""
        given = len(keys) + len(arguments)
        size = sum(map(len, keys)) + sum(map(len, arguments)) + ARGUMENT_BYTES * given
        if not self.has_room(size):
            self._make_room(size)
        try:
            if given <= ARGUMENTS_AT_ONCE:
                return self._run(which, resp, len(keys), False, given, *keys, *arguments)
            self._fed, self._fed_at = [*keys, *arguments], 0
            return self._run(which, resp, len(keys), True, given)
        except lua51.LuaError:
            self._fed = []
            self._arm()
            return self._last_error()

    def _take(self, most: int) -> tuple[bytes, ...]:
        """The next arguments of a script that was given very many."""
        at = self._fed_at
        self._fed_at = at + min(most, ARGUMENTS_AT_ONCE)
        taken = tuple(self._fed[at : self._fed_at])
        if self._fed_at >= len(self._fed):
            self._fed = []
        return taken
