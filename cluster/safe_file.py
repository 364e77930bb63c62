"""Writing a file so that it is complete or absent: temporary name, fsync, rename, fsync of the directory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_safely(path: Path, chunks: Iterable[bytes], *, mode: int = 0o644) -> int:
    """Replace `path` as a whole; the bytes written. Raises OSError, and then the old file is still there."""
    handle, temporary = tempfile.mkstemp(prefix=f"temp-{path.name}.", dir=path.parent)
    written = 0
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                written += file.write(chunk)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return written
