"""The files of a configuration: the only part of it that opens anything."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from pathlib import Path


def read_text(path: str) -> str:
    """A file, or standard input for ``-``. Bytes that are no UTF-8 become surrogates. Raises OSError."""
    if path == "-":
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def expand(pattern: str) -> list[str]:
    """The files an include names, sorted; a pattern that matches none is none, a plain name is itself."""
    if glob.has_magic(pattern):
        return sorted(glob.glob(pattern))
    return [pattern]


def write_safely(path: str, text: str) -> None:
    """Replace a file as a whole: temporary file beside it, fsync, rename, fsync of the directory. Raises OSError."""
    target = Path(path)
    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
    handle, temporary = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
