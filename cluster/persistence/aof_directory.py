"""The directory of an append-only file: its manifest on disk, and the files the manifest names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.persistence.aof_file import AppendFile, Disk, Syncer
from cluster.persistence.aof_manifest import Manifest, ManifestError, old_file, parse
from cluster.safe_file import make_directory, sync_directory, write_safely

if TYPE_CHECKING:
    from cluster.config.store import Configuration

RDB_MAGIC = b"REDIS"


class AofError(Exception):
    """An append-only file that cannot be read; the message is for the log, and the server does not start."""


class AofDirectory:
    """`manifest` is what is on disk."""

    def __init__(
        self, config: Configuration, log: Callable[[str, str], None], syncer: Syncer, disk: Disk
    ) -> None:
        self._config = config
        self._log = log
        self._syncer = syncer
        self._disk = disk
        self.manifest = Manifest()

    @property
    def path(self) -> Path:
        return Path(self._config.dir) / self._config.appenddirname

    @property
    def prefix(self) -> str:
        return self._config.appendfilename

    @property
    def _manifest_path(self) -> Path:
        return self.path / f"{self.prefix}.manifest"

    @property
    def temporary_increment(self) -> Path:
        """Where writes go until the first base is there, without which no manifest may name them."""
        return self.path / f"temp-{self.prefix}.incr"

    # -- at the start ----------------------------------------------------------------------------------------

    def read(self) -> None:
        """Find out what is there. An append-only file of one part, as before Redis 7, is moved in. Raises AofError."""
        try:
            if self.path.is_dir() and self._manifest_path.exists():
                self.manifest = parse(self._manifest_path.read_text("utf-8", "surrogateescape"))
                if self._is_half_moved():
                    self._move_in()
            elif self._is_old():
                self.save(old_file(self.prefix))
                self._move_in()
            elif self.path.is_dir():
                self._leave_strangers()
        except ManifestError as error:
            self._log("warning", "*** FATAL AOF MANIFEST FILE ERROR ***")
            if error.number:
                self._log("warning", f"Reading the manifest file, at line {error.number}")
                self._log("warning", f">>> '{error.line}'")
            raise AofError(error.cause) from None
        except OSError as error:
            raise AofError(f"Fatal error: can't open the AOF manifest file {self._manifest_path.name} for reading: "
                           f"{error.strerror}") from None

    def _is_old(self) -> bool:
        old = Path(self._config.dir) / self.prefix
        return old.is_file() and (not self.path.is_dir() or not self._has_files())

    def _has_files(self) -> bool:
        return any(entry.startswith(f"{self.prefix}.") or entry == self.prefix for entry in os.listdir(self.path))

    def _is_half_moved(self) -> bool:
        """Whether the process died between the manifest that names the file of old and the file's move."""
        return (
            self.manifest.render() == old_file(self.prefix).render()
            and not (self.path / self.prefix).exists()
            and (Path(self._config.dir) / self.prefix).is_file()
        )

    def _move_in(self) -> None:
        old = Path(self._config.dir) / self.prefix
        try:
            old.rename(self.path / self.prefix)
            sync_directory(self.path)
        except OSError as error:
            raise AofError(f"Error trying to move the old AOF file {self.prefix} into dir {self.path.name}: "
                           f"{error.strerror}") from None
        self._log("notice", f"Successfully migrated an old-style AOF file ({self.prefix}) into the AOF directory "
                            f"({self.path.name}).")

    def _leave_strangers(self) -> None:
        """Files that no manifest names are not loaded, and none of ours may take the place of one."""
        numbers = [int(found[1]) for name in os.listdir(self.path) if (found := self._numbered.fullmatch(name))]
        if numbers:
            self._log("warning", f"The AOF manifest file {self._manifest_path.name} doesn't exist, but "
                                 f"{self.path.name} has {len(numbers)} AOF files. They are left alone, and not loaded.")
            self.manifest = Manifest(last_base=max(numbers), last_increment=max(numbers))

    @property
    def _numbered(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.prefix) + r"\.(\d{1,18})\.(?:base\.(?:rdb|aof)|incr\.aof)")

    def size_of(self, name: str) -> int:
        """Raises AofError when the file is missing."""
        try:
            return (self.path / name).stat().st_size
        except OSError as error:
            raise AofError(f"Unable to obtain the AOF file {name} length. stat: {error.strerror}") from None

    # -- changes ---------------------------------------------------------------------------------------------

    def save(self, manifest: Manifest) -> None:
        """Have that manifest instead, on disk first. Raises OSError, and then the old one holds; if that could not be
        put back either, `holds` says so."""
        try:
            make_directory(self.path)
            self._write(manifest)
        except OSError:
            if self.holds(manifest):  # it has the name, but that may not be on disk
                with suppress(OSError):
                    self._write(self.manifest)
            raise
        self.manifest = manifest

    def _write(self, manifest: Manifest) -> None:
        if not manifest.to_load:
            self._manifest_path.unlink(missing_ok=True)
            sync_directory(self.path)
            return
        sync_directory(self.path)  # the names of its files are to be there before it is
        temporary = self.path / f"temp-{self.prefix}.manifest"
        text = manifest.render().encode("utf-8", "surrogateescape")
        write_safely(self._manifest_path, [text], temporary=temporary)

    def holds(self, manifest: Manifest) -> bool:
        """Whether a process that started now would find that one."""
        try:
            return self._manifest_path.read_text("utf-8", "surrogateescape") == manifest.render()
        except OSError:
            return False

    def open(self, path: Path, *, anew: bool) -> AppendFile:
        """`anew`: a file that no manifest names yet. Raises OSError."""
        make_directory(self.path)
        return AppendFile(path, self._disk, anew=anew)

    def delete_history(self) -> None:
        """Delete what a rewrite has made superfluous, unless it is to be kept."""
        gone = self.manifest.history
        if not gone or self._config.aof_disable_auto_gc:
            return
        for file in gone:
            self._log("notice", f"Removing the history file {file.name} in the background")
            self.delete(self.path / file.name)
        try:
            self.save(self.manifest.without_history())
        except OSError as error:  # it is tried again after the next rewrite
            self._log("warning", f"Can't write the AOF manifest file: {error.strerror}")

    def delete(self, path: Path) -> None:
        """Delete a file that may be large, without waiting for that."""
        self._syncer.do(lambda: path.unlink(missing_ok=True))
