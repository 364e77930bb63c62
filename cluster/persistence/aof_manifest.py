"""The manifest of an append-only file: which files it is made of, in redis-server's text.

A line names one file: ``file appendonly.aof.2.base.rdb seq 2 type b``. There is at most one base (b), which holds the
dataset as of one moment; the increments (i) hold what was written since, in the order of their numbers; history (h) is
what a rewrite has made superfluous and nobody has deleted yet. A manifest is a value: each step gives a new one, which
counts once it is on disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cluster.config.quoting import quote_if_needed, split_words

BASE, INCREMENT, HISTORY = "b", "i", "h"
LONGEST_LINE = 1022
"""redis-server reads lines into a buffer of 1024 bytes."""
_EMPTY = "Found an empty AOF manifest"
_FORMAT = "Invalid AOF manifest file format"


class ManifestError(Exception):
    """What is wrong with a manifest, and in which line (0: with none in particular)."""

    def __init__(self, cause: str, number: int = 0, line: str = "") -> None:
        super().__init__(f"{cause} (line {number}: '{line}')" if number else cause)
        self.cause = cause
        self.number = number
        self.line = line


@dataclass(frozen=True, slots=True)
class File:
    """One file, by its name in the directory of the append-only file."""

    name: str
    sequence: int
    kind: str

    @property
    def line(self) -> str:
        return f"file {quote_if_needed(self.name)} seq {self.sequence} type {self.kind}\n"


@dataclass(frozen=True, slots=True)
class Manifest:
    base: File | None = None
    increments: tuple[File, ...] = ()
    history: tuple[File, ...] = ()
    last_base: int = 0
    """The highest number that any base has had."""
    last_increment: int = 0

    @property
    def to_load(self) -> tuple[File, ...]:
        """The files in the order in which they must be read."""
        return (*self._bases, *self.increments)

    @property
    def _bases(self) -> tuple[File, ...]:
        return () if self.base is None else (self.base,)

    def render(self) -> str:
        return "".join(file.line for file in (*self._bases, *self.history, *self.increments))

    def with_base(self, prefix: str, suffix: str) -> tuple[Manifest, File]:
        """A further base, `suffix` rdb or aof; what was there before it becomes history. Nothing has come since."""
        file = File(f"{prefix}.{self.last_base + 1}.base.{suffix}", self.last_base + 1, BASE)
        gone = (*self.history, *(replace(one, kind=HISTORY) for one in self.to_load))
        return replace(self, base=file, increments=(), history=gone, last_base=file.sequence), file

    def with_increment(self, prefix: str) -> tuple[Manifest, File]:
        """A further increment: writes go there from now on."""
        file = File(f"{prefix}.{self.last_increment + 1}.incr.aof", self.last_increment + 1, INCREMENT)
        return replace(self, increments=(*self.increments, file), last_increment=file.sequence), file

    def rewritten(self, prefix: str, suffix: str) -> tuple[Manifest, File]:
        """A new base holds all but what the last increment holds."""
        last = self.increments[-1:]
        manifest, file = replace(self, increments=self.increments[:-1]).with_base(prefix, suffix)
        return replace(manifest, increments=last), file

    def without_history(self) -> Manifest:
        return replace(self, history=())


def old_file(name: str) -> Manifest:
    """The manifest by which the one file of earlier versions becomes a base."""
    return Manifest(base=File(name, 1, BASE), last_base=1)


def parse(text: str) -> Manifest:
    """Raises ManifestError."""
    manifest = Manifest()
    lines = text.split("\n")
    unfinished = lines.pop()
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            continue
        if len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise ManifestError("The AOF manifest file contains too long line")
        try:
            manifest = _with(manifest, _parse_line(line))
        except ValueError as error:
            raise ManifestError(str(error), number, line) from None
    if unfinished:
        raise ManifestError("The AOF manifest file contains too long line")
    if not lines:
        raise ManifestError(_EMPTY)
    return manifest


def _parse_line(line: str) -> File:
    """Raises ValueError with the text that redis-server has for it. Unknown pairs of words are passed over."""
    words = split_words(line.strip(" \t\r\n"))
    if words is None or len(words) < 6 or len(words) % 2:
        raise ValueError(_FORMAT)
    found = {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}
    name, sequence, kind = found.get("file", ""), found.get("seq", ""), found.get("type", "")
    if "/" in name:
        raise ValueError("File can't be a path, just a filename")
    if not name or "\0" in name or not sequence.isdecimal() or not int(sequence) or not kind:
        raise ValueError(_FORMAT)
    if kind[0] not in (BASE, INCREMENT, HISTORY):
        raise ValueError("Unknown AOF file type")
    return File(name, int(sequence), kind[0])


def _with(manifest: Manifest, file: File) -> Manifest:
    if file.kind == BASE:
        if manifest.base is not None:
            raise ValueError("Found duplicate base file information")
        return replace(manifest, base=file, last_base=file.sequence)
    if file.kind == HISTORY:
        return replace(manifest, history=(*manifest.history, file))
    if file.sequence <= manifest.last_increment:
        raise ValueError("Found a non-monotonic sequence number")
    return replace(manifest, increments=(*manifest.increments, file), last_increment=file.sequence)
