"""Log lines in redis-server's form, which tools read: ``PID:ROLE 23 Nov 2026 08:23:24.736 * message``.

A shell: it holds the open file. Its clock, process id and role are given, so that the form is testable.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import BinaryIO, Final

LEVELS: Final = {"debug": 0, "verbose": 1, "notice": 2, "warning": 3, "nothing": 4}
_MARKS: Final = {"debug": ".", "verbose": "-", "notice": "*", "warning": "#"}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

PRIMARY: Final = "M"
REPLICA: Final = "S"
CHILD: Final = "C"
SENTINEL: Final = "X"


def format_line(pid: int, role: str, at: time.struct_time, milliseconds: int, level: str, text: str) -> str:
    """One line; line breaks within `text` become visible escapes, so that no text can forge a line."""
    moment = f"{at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d} "
    moment += f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}.{milliseconds:03d}"
    safe = text.replace("\r", "\\r").replace("\n", "\\n")
    return f"{pid}:{role} {moment} {_MARKS[level]} {safe}\n"


class Log:
    """Called with (level, text). `path` '' is standard output; a file is opened anew for each line, as Redis does,
    so that it can be rotated under the running process. `role` gives one of the letters above; the node knows which.
    """

    def __init__(
        self,
        path: str = "",
        level: str = "notice",
        *,
        role: Callable[[], str] = lambda: PRIMARY,
        clock_ns: Callable[[], int] = time.time_ns,
        pid: Callable[[], int] = os.getpid,
        stream: BinaryIO | None = None,
    ) -> None:
        self.path = path
        self.role = role
        self._threshold = LEVELS[level]
        self._clock_ns = clock_ns
        self._pid = pid
        # Past Python's buffer, whose lock a forked child would find taken for ever if another thread was writing.
        self._stream = stream if stream is not None else getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)

    @property
    def level(self) -> str:
        return next(name for name, rank in LEVELS.items() if rank == self._threshold)

    @level.setter
    def level(self, name: str) -> None:
        self._threshold = LEVELS[name]

    def check(self) -> None:
        """Raise OSError if the file cannot be written: asked once, at the start."""
        if self.path:
            with open(self.path, "ab"):
                pass

    def __call__(self, level: str, text: str) -> None:
        if LEVELS[level] < self._threshold:
            return
        now_ns = self._clock_ns()
        at = time.localtime(now_ns // 1_000_000_000)
        line = format_line(self._pid(), self.role(), at, now_ns // 1_000_000 % 1000, level, text)
        self._write(line.encode("utf-8", "surrogateescape"))

    def _write(self, line: bytes) -> None:
        """A log that cannot be written (disk full, pipe closed) must not end the node: the line is lost."""
        try:
            if self.path:
                with open(self.path, "ab") as file:
                    file.write(line)
            else:
                self._stream.write(line)
                self._stream.flush()
        except (OSError, ValueError):
            return
