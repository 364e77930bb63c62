"""The other side of the comparison: a real redis-server on a port of the system's choice."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from cluster.protocol.replies import request
from tests.differential.resp import Incomplete, Reply, decode
from tests.system.waiting import wait_until

START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Connection:
    """To a redis-server on this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)
        self._data = b""

    def __call__(self, *arguments: bytes) -> Reply:
        """Send a command and wait for its reply."""
        return self.chunk(arguments)[0]

    def chunk(self, *commands: Sequence[bytes]) -> list[Reply]:
        """Send commands in one piece and wait for their replies."""
        self._socket.sendall(b"".join(map(request, commands)))
        return [self._reply() for _ in commands]

    def _reply(self) -> Reply:
        while True:
            try:
                reply, end = decode(self._data)
            except Incomplete:
                received = self._socket.recv(1 << 16)
                if not received:
                    raise ConnectionError("redis-server closed the connection") from None
                self._data += received
            else:
                self._data = self._data[end:]
                return reply

    def close(self) -> None:
        self._socket.close()


class Oracle(Connection):
    """A redis-server without persistence, and one connection to it. `program`: another one than Debian's."""

    def __init__(self, directory: Path, *options: str, program: str | None = None) -> None:
        program = program or shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is needed for this test: install Debian's redis-server")
        self.port = free_port()
        self._log = (directory / "redis-server.log").open("wb")
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(directory),
             "--enable-debug-command", "yes", *options],
            stdout=self._log, stderr=self._log,
        )
        wait_until(self._is_there, START_SECONDS, "redis-server is there")
        super().__init__(self.port)

    def _is_there(self) -> bool:
        assert self._process.poll() is None, "redis-server ended while starting"
        socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS).close()
        return True

    def another(self) -> Connection:
        """A further connection to it."""
        return Connection(self.port)

    def close(self) -> None:
        super().close()
        self._process.terminate()
        self._process.wait(START_SECONDS)
        self._log.close()

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
