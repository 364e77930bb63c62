"""The files of a configuration: the only part of it that opens anything."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.config.directives import BY_NAME
from cluster.config.errors import RewriteError
from cluster.config.rewrite import rewrite
from cluster.config.store import Configuration
from cluster.config.values import BadValue
from cluster.safe_file import write_safely


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


def write_text(path: str, text: str) -> None:
    """Replace a file as a whole, its permissions kept. Raises OSError."""
    _write(path, text.encode("utf-8", "surrogateescape"))


def _write(path: str, data: bytes) -> None:
    target = Path(path)
    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
    write_safely(target, [data], mode=mode)


def read_users(config: Configuration) -> bytes:
    """The aclfile's text. Raises OSError."""
    return Path(config.aclfile).read_bytes()


def write_users(config: Configuration, text: bytes) -> None:
    """Replace the aclfile. Raises OSError."""
    _write(config.aclfile, text)


def enter_directory(config: Configuration, *, create: bool, paths_from_start: Sequence[str] = ()) -> None:
    """Go to `dir`, as Redis does: every relative path starts there from now on. Raises ConfigError.

    `create`: make it when it is not there (the node's own directory; one that a redis.conf names must be there).
    `paths_from_start`: directives whose path is meant from here, not from there.
    """
    for name in paths_from_start:
        path = getattr(config, BY_NAME[name].attribute)
        if path:
            config.replace(name, str(Path(path).absolute()))
    if config.file_path:
        config.file_path = str(Path(config.file_path).absolute())
    try:
        if create:
            Path(config.dir).mkdir(parents=True, exist_ok=True)
        os.chdir(config.dir)
    except OSError as error:
        raise config.error("dir", f"can't use directory '{config.dir}': {error.strerror}") from None
    config.replace("dir", str(Path.cwd()))


def change_directory(config: Configuration) -> None:
    """What CONFIG SET dir sets going. Raises BadValue."""
    try:
        os.chdir(config.dir)
    except OSError as error:
        raise BadValue(error.strerror) from None
    config.replace("dir", str(Path.cwd()))


def rewrite_configuration(config: Configuration, users: Sequence[str] | None = None) -> None:
    """CONFIG REWRITE. `users`: what the `user` lines are to be; None to leave them. Raises RewriteError."""
    if not config.file_path:
        raise RewriteError("ERR The server is running without a config file")
    path = Path(config.file_path)
    if path.exists() and not path.is_file():  # The new file would take the place of a device, a pipe, a directory.
        raise RewriteError(f"ERR Rewriting config file: {path} is not a regular file")
    try:
        text = read_text(config.file_path) if path.exists() else ""
        write_text(config.file_path, rewrite(text, config, None if users is None else {"user": users}))
    except OSError as error:
        raise RewriteError(f"ERR Rewriting config file: {error.strerror}") from None
