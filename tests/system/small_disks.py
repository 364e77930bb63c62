"""A disk of its own for a server, small enough to fill it up: a tmpfs in a mount namespace that a helper holds.

Nobody outside of the namespace sees the mount, and it goes with the helper, whatever becomes of the test.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.system.harness import USUAL, Harness, Server, tied_to_us

_MOUNT = 'mount -t tmpfs -o size="$2" none "$1" && echo mounted && exec cat'


class SmallDisk:
    """`mount_point`: where those within have it; `path`: the same as seen from here."""

    def __init__(self, holder: subprocess.Popen[str], mount_point: Path) -> None:
        self._holder = holder
        self.mount_point = mount_point
        self.path = Path(f"/proc/{holder.pid}/root{mount_point}")
        self._filler = self.path / "filler"

    def server(self, harness: Harness, directives: Mapping[str, str]) -> Server:
        """One that has its data there; its configuration and its log are elsewhere."""
        port = harness.free_port()
        given = {**USUAL, **directives, "dir": str(self.mount_point)}
        prefix = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={os.getcwd()}")
        server = harness.adopt(Server(harness.kind, harness.directory / str(port), port, given, prefix=prefix))
        server.start()
        return server

    def fill(self, *, but_bytes: int = 0) -> None:
        """Until nothing goes on it any more, or only so much."""
        with self._filler.open("ab", buffering=0) as file:
            for piece in (1 << 16, 1 << 12):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            file.truncate(file.tell() - but_bytes)

    def empty(self) -> None:
        self._filler.unlink()

    def files(self) -> set[str]:
        """What lies there but the filler."""
        found = {str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()}
        return found - {self._filler.name}


@contextmanager
def small_disk(directory: Path, size_bytes: int) -> Iterator[SmallDisk | str]:
    """Or why there can be none."""
    if os.geteuid() != 0:
        yield "mounting needs root"
        return
    directory.mkdir()
    command = [*tied_to_us(), "unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(directory), str(size_bytes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        try:
            if holder.stdout.readline() == "mounted\n":
                yield SmallDisk(holder, directory)
            else:
                yield f"nothing can be mounted here: {holder.stderr.read().strip()}"
        finally:
            holder.kill()
