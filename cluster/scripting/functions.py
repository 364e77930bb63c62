"""Functions: named scripts that are part of the data. They come in libraries, each the code that registers them, which
is run when the library is loaded, and which is what files and replicas get.

All libraries live in one Lua state, and a function keeps between its calls what its library keeps in local variables.
What libraries there are is a `Libraries`. A change makes another, and takes its place when all of it went well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cluster.config.quoting import split_words
from cluster.errors import CommandError
from cluster.scripting.runner import Runner
from cluster.scripting.script import Function

NO_METADATA = "ERR Missing library metadata"
BAD_METADATA = "ERR Invalid library metadata"
BAD_NAME = (
    "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
)
NO_LIBRARY = "ERR Library not found"
NO_FUNCTION = "ERR Function not found"
LIBRARY_BYTES = 128
FUNCTION_BYTES = 96
"""What a library and a function take beside their texts."""
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    name: bytes
    code: bytes
    functions: tuple[Function, ...]

    @property
    def memory_bytes(self) -> int:
        named = sum(FUNCTION_BYTES + len(function.name) for function in self.functions)
        return LIBRARY_BYTES + len(self.name) + len(self.code) + named


class Libraries:
    """Some libraries by name, and their functions by name, in lower case."""

    def __init__(self, libraries: Iterable[Library] = ()) -> None:
        self.by_name = {library.name: library for library in libraries}
        self._functions: dict[bytes, Function] = {}
        for library in self.by_name.values():
            for function in library.functions:
                self._functions.setdefault(function.name.lower(), function)

    def find(self, name: bytes) -> Function | None:
        return self._functions.get(name) or self._functions.get(name.lower())

    @property
    def function_count(self) -> int:
        return sum(len(library.functions) for library in self.by_name.values())

    def check_new(self, name: bytes) -> None:
        if name in self.by_name:
            raise CommandError(f"ERR Library '{_shown(name)}' already exists")

    def without(self, name: bytes) -> Libraries:
        return Libraries(library for library in self.by_name.values() if library.name != name)

    def joined(self, others: Iterable[Library], *, replace: bool = False) -> Libraries:
        """These and the others. Raises CommandError where they do not go together."""
        others = list(others)
        if not replace:
            for library in others:
                if library.name in self.by_name:
                    raise CommandError(f"ERR Library {_shown(library.name)} already exists")
        names = {library.name for library in others}
        joined = Libraries(library for library in self.by_name.values() if library.name not in names)
        for library in others:
            for function in library.functions:
                if joined.find(function.name) is not None:
                    raise CommandError(f"ERR Function {_shown(function.name)} already exists")
            joined = Libraries([*joined.by_name.values(), library])
        return joined


class Functions:
    """The libraries of a node. `runner` runs their functions."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.libraries = Libraries()
        self._next_number = 1

    @property
    def codes(self) -> list[bytes]:
        """What there is, as files and replicas get it."""
        return [library.code for library in self.libraries.by_name.values()]

    @property
    def memory_bytes(self) -> int:
        return sum(library.memory_bytes for library in self.libraries.by_name.values())

    def find(self, name: bytes) -> Function:
        function = self.libraries.find(name)
        if function is None:
            raise CommandError(NO_FUNCTION)
        return function

    def load(self, code: bytes, *, replace: bool = False, limited: bool = True) -> bytes:
        """FUNCTION LOAD: the name of the library. Raises CommandError."""
        loaded = self.loaded_into(self.libraries, code, replace=replace, limited=limited)
        self.adopt(loaded)
        return next(reversed(loaded.by_name))

    def loaded_into(
        self, libraries: Libraries, code: bytes, *, replace: bool = False, limited: bool = False
    ) -> Libraries:
        """`libraries` and one more, its last; they are adopted later, or `drop`ped. Raises CommandError.

        limited: it is stopped when its code takes too long.
        """
        name, body = parse_header(code)
        if not replace:
            libraries.check_new(name)
        functions = self.runner.load_library(body, self._next_number, limited=limited)
        self._next_number += len(functions)
        try:
            if not functions:
                raise CommandError("ERR No functions registered")
            return libraries.joined([Library(name, code, tuple(functions))], replace=replace)
        except CommandError:
            self.runner.forget(functions)
            raise

    def drop(self, libraries: Libraries) -> None:
        """`libraries` will not be adopted."""
        kept = set(self.libraries.by_name.values())
        for library in libraries.by_name.values():
            if library not in kept:
                self.runner.forget(list(library.functions))

    def adopt(self, libraries: Libraries) -> None:
        """From now on there are `libraries`, and no others."""
        before, self.libraries = self.libraries, libraries
        self.drop(before)

    def delete(self, name: bytes) -> None:
        if name not in self.libraries.by_name:
            raise CommandError(NO_LIBRARY)
        self.adopt(self.libraries.without(name))

    def flush(self) -> None:
        self.adopt(Libraries())

    def restore(self, codes: list[bytes], policy: bytes, *, limited: bool) -> None:
        """FUNCTION RESTORE, all or nothing. `policy`: APPEND, REPLACE or FLUSH. Raises CommandError."""
        restored = Libraries()
        try:
            for code in codes:
                restored = self.loaded_into(restored, code, limited=limited)
            libraries = restored
            if policy != b"FLUSH":
                libraries = self.libraries.joined(restored.by_name.values(), replace=policy == b"REPLACE")
        except CommandError:
            self.drop(restored)
            raise
        self.adopt(libraries)


def parse_header(code: bytes) -> tuple[bytes, bytes]:
    """(the name that the first line gives the library, the code with that line blank). Raises CommandError."""
    if not code.startswith(b"#!"):
        raise CommandError(NO_METADATA)
    line, newline, rest = code.partition(b"\n")
    if not newline:
        raise CommandError(BAD_METADATA)
    words = split_words(_shown(line))
    if not words:
        raise CommandError(BAD_METADATA)
    engine, *options = words
    name: str | None = None
    for option in options:
        if option[:5].lower() != "name=":
            raise CommandError(f"ERR Invalid metadata value given: {option}")
        if name is not None:
            raise CommandError("ERR Invalid metadata value, name argument was given multiple times")
        name = option[5:]
    if name is None:
        raise CommandError("ERR Library name was not given")
    if not _NAME.fullmatch(name):
        raise CommandError(BAD_NAME)
    if engine[2:].lower() != "lua":
        raise CommandError(f"ERR Engine '{engine[2:]}' not found")
    return name.encode(), b"\n" + rest


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
