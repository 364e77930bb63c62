"""A forked process that writes a snapshot: for BGSAVE, and for a replica's full synchronisation.

The child shares the parent's memory as of one moment, writes, and leaves by `_exit`. It keeps nothing else of the
parent: a descriptor that lived on in it would hold the lock on nodes.conf, take connections nobody answers, and keep
closed ones from ending. It dies with its parent, so that the next start finds ports and files free.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from traceback import format_exc

from cluster.safe_file import write_safely

PR_SET_PDEATHSIG = 1
FIRST_OWN_DESCRIPTOR = 3
"""Below it are the standard ones, where the log may go."""
MOST_DESCRIPTORS = 1 << 20
"""Closed where the system names no limit."""


class SnapshotChild:
    """The parent's view of one child. A caller polls until it hears how the child ended, or stops it."""

    def __init__(
        self,
        path: Path,
        chunks: Callable[[], Iterable[bytes]],
        log: Callable[[str, str], None],
        scratch: str = "temp-{pid}.rdb",
        *,
        pipe: int = -1,
        sync_every: int = 0,
    ) -> None:
        """Fork; the child writes `chunks()` to `path`, as a whole or not at all. Raises OSError if it can't be.

        scratch: the name of the file meanwhile, with the child's process id.
        pipe: a descriptor to write them to instead, as they are made; no file is touched then.
        sync_every: bytes after which the file is synced, see write_safely.
        """
        self._log = log
        self._pipe = pipe
        self._sync_every = sync_every
        parent = os.getpid()
        prctl = _prctl()
        self.pid = os.fork()
        self.exit_code: int | None = None
        """As of subprocess: 0 after success, -N after signal N; None while it is at work."""
        self._temporary = path.with_name(scratch.format(pid=self.pid or os.getpid()))
        if self.pid == 0:
            status = 1
            try:
                _leave_behind(parent, prctl, pipe)
                self._write(path, chunks)
                status = 0
            finally:
                os._exit(status)

    def _write(self, path: Path, chunks: Callable[[], Iterable[bytes]]) -> None:
        try:
            if self._pipe >= 0:
                _write_to_pipe(self._pipe, chunks())
            else:
                write_safely(path, chunks(), temporary=self._temporary, sync_every=self._sync_every)
        except OSError as error:
            self._log("warning", f"Write error saving DB on disk: {error.strerror}")
            raise
        except Exception:
            self._log("warning", f"=== BUG: writing {path} failed: {format_exc()}")
            raise

    def poll(self) -> bool:
        """Whether it has ended; `exit_code` says how."""
        if self.exit_code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._ended(status)
        return self.exit_code is not None

    def stop(self) -> None:
        """End it, unless it has ended by itself; when this returns it writes no more."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._ended(os.waitpid(self.pid, 0)[1])

    def _ended(self, status: int) -> None:
        self.exit_code = os.waitstatus_to_exitcode(status)
        self._temporary.unlink(missing_ok=True)


def _prctl() -> Callable[..., int] | None:
    """Linux's prctl(2), looked up before the fork: afterwards another thread's lock may be held for ever."""
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    return found


def _write_to_pipe(pipe: int, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(pipe, rest) :]


def _leave_behind(parent: int, prctl: Callable[..., int] | None, kept: int) -> None:
    """In the child: let go of all that is the parent's, but for the descriptor `kept`."""
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it was gone before that
        os._exit(1)
    gc.disable()  # a socket that was collected now would close a descriptor that is the file's by then
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: our parent decides what becomes of us
        signal.signal(number, signal.SIG_IGN)
    most = os.sysconf("SC_OPEN_MAX")
    end = most if most > 0 else MOST_DESCRIPTORS
    if kept >= FIRST_OWN_DESCRIPTOR:
        os.closerange(FIRST_OWN_DESCRIPTOR, kept)
        os.closerange(kept + 1, end)
    else:
        os.closerange(FIRST_OWN_DESCRIPTOR, end)
