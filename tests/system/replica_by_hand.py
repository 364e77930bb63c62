"""A replica that does what the test says, and nothing by itself."""

from __future__ import annotations

import re
import socket
from typing import Self

from tests.system.pairs import DEADLINE_S


class ReplicaByHand:
    """A replica by hand, which reads when it is told to."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"REPLCONF capa psync2\r\n")
        assert self._file.readline() == b"+OK\r\n"
        self._socket.sendall(b"PSYNC ? -1\r\n")
        header = self._file.readline()
        self.offset = int(header.split()[2])
        found = re.match(rb"\$(\d+)", self._after_empty_lines())
        assert found is not None
        self._file.read(int(found[1]))

    def _after_empty_lines(self) -> bytes:
        while (line := self._file.readline()) == b"\n":
            pass
        return line

    def read_to(self, offset: int) -> bytes:
        data = self._file.read(offset - self.offset)
        self.offset = offset
        return data

    def read_question(self) -> bytes:
        """All that comes before the primary asks how much has arrived, and that."""
        data = b""
        while not data.endswith(b"GETACK\r\n$1\r\n*\r\n"):
            line = self._file.readline()
            assert line
            data += line
        self.offset += len(data)
        return data

    def acknowledge(self, offset: int | None = None) -> None:
        self._socket.sendall(b"REPLCONF ACK %d\r\n" % (self.offset if offset is None else offset))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()
