"""A sentinel's process without a process of its own: connections, scripts and the file are real, the rest is here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Event

import pytest
import trio

from cluster.cli import parse_command_line
from cluster.config.files import expand, read_text
from cluster.log import Log
from cluster.sentinel import names
from cluster.sentinel.core import SAVE_AGAIN_MS
from cluster.sentinel.events import Persist
from cluster.sentinel.process import Sentinel
from cluster.sentinel.table import sentinel_commands
from tests.bus.sides import eventually
from tests.sentinel.parts import NAME


class Running:
    """A sentinel whose file has `lines`, over a primary at a port where a server of the test's own listens."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.folder = folder
        self.lines = lines
        self.peers: list[str] = []
        """From where it has connected to the primary."""
        self.sentinel: Sentinel

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.peers.append(stream.socket.getpeername()[0])
        async with stream:
            while await stream.receive_some():
                pass

    def run(self, play: Callable[[Running], Awaitable[None]]) -> None:
        """`play` it while it runs."""

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
                nursery.start_soon(trio.serve_listeners, self._serve, [listener])
                self._start(listener.socket.getsockname()[1])
                nursery.start_soon(self.sentinel.run)
                await play(self)
                nursery.cancel_scope.cancel()

        trio.run(main)

    def _start(self, port: int) -> None:
        conf = self.folder / "sentinel.conf"
        own = ["port 0", f"unixsocket {self.folder / 'socket'}", f"logfile {self.folder / 'log'}", "loglevel debug"]
        conf.write_text("\n".join([*own, f"sentinel monitor {NAME} 127.0.0.1 {port} 1", *self.lines, ""]))
        options = parse_command_line([str(conf), "--sentinel"], read_text, expand, "cluster-node")
        assert options.config is not None
        log = Log(options.config.logfile, options.config.loglevel)
        self.sentinel = Sentinel(options.config, sentinel_commands(), log)


def test_connections_come_from_bind_source_addr(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await eventually(lambda: len(running.peers) == 2)

    running = Running(tmp_path, "bind-source-addr 127.0.0.9")
    running.run(play)
    assert running.peers == ["127.0.0.9"] * 2


def test_a_script_that_takes_too_long_is_killed_and_tried_again(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)

    async def play(running: Running) -> None:
        running.sentinel.core.state.periods.script_max_runtime = 1
        await eventually(lambda: "-script-child" in running.log)
        (job,) = running.sentinel.scripts.jobs
        assert (job.pid, job.retries) == (None, 1)

    running = Running(tmp_path, f"sentinel notification-script {NAME} {script}")
    running.run(play)
    (told,) = [line for line in running.log.splitlines() if "-script-timeout" in line]
    pid = told.rpartition(" ")[2]
    assert told.endswith(f"-script-timeout {script} {pid}")
    assert f"-script-child {pid} 0 9" in running.log


def test_a_file_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await eventually(lambda: "Ready to accept" in running.log)
        conf, state = tmp_path / "sentinel.conf", running.sentinel.core.state
        text = conf.read_text()
        conf.unlink()
        (conf / "in the way").mkdir(parents=True)
        state.current_epoch = 7
        assert not running.sentinel.carry_out([Persist()])
        assert (state.unsaved, state.epoch_on_disk) == (True, 0)
        assert "WARNING: Sentinel was not able to save the new configuration on disk!!!: " in running.log
        (conf / "in the way").rmdir()
        conf.rmdir()
        conf.write_text(text)
        state.not_saved_ms -= SAVE_AGAIN_MS
        await eventually(lambda: not state.unsaved)
        assert state.epoch_on_disk == 7
        assert "sentinel current-epoch 7" in conf.read_text()

    Running(tmp_path).run(play)


def test_monitor_waits_for_a_name_and_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Event()

    def look_up(host: str) -> str | None:
        answered.wait(20)
        return "127.0.0.9" if host == "db.example" else None

    monkeypatch.setattr(names, "_look_up", look_up)

    async def play(running: Running) -> None:
        await eventually((tmp_path / "socket").exists)
        async with AsyncExitStack() as stack:
            first, second, other = [
                await stack.enter_async_context(await trio.open_unix_socket(tmp_path / "socket")) for _ in range(3)
            ]
            await first.send_all(b"SENTINEL MONITOR named db.example 6379 1\r\nSENTINEL MYID\r\n")
            await second.send_all(b"SENTINEL MONITOR nowhere nowhere.example 6379 1\r\n")
            await other.send_all(b"SENTINEL MONITOR bad bad.example 6379 0\r\n")
            await other.send_all(b"SENTINEL GET-MASTER-ADDR-BY-NAME named\r\n")
            with trio.fail_after(20):
                replies = b""
                while not replies.endswith(b"*-1\r\n"):
                    replies += await other.receive_some()
                assert replies == b"-ERR Quorum must be 1 or greater.\r\n*-1\r\n"
                primary = running.sentinel.core.state.primaries[NAME]
                primary.info = "role:master\r\nslave0:ip=db.example,port=7000\r\n"
                answered.set()
                assert (await first.receive_some()).startswith(b"+OK\r\n")
                assert await second.receive_some() == b"-ERR Invalid IP address or hostname specified\r\n"
                await other.send_all(b"SENTINEL GET-MASTER-ADDR-BY-NAME named\r\n")
                assert await other.receive_some() == b"*2\r\n$9\r\n127.0.0.9\r\n$4\r\n6379\r\n"

        assert list(primary.replicas) == ["127.0.0.9:7000"]

    Running(tmp_path, "sentinel resolve-hostnames yes").run(play)
