"""scripts/sentinel-demo: a primary, its replica, three sentinels; the primary fails, and the replica takes its place.

Everything is started from files as an operator would write them, and everything that is done is shown. The ports are
those of the tutorials: 6379 and 6380 for the servers, 5000 to 5002 for the sentinels; --offset moves all of them.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cluster.bringup.client import ReplyError, RespClient, info_fields

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "123456"
NAME = "myprimary"
PRIMARY, REPLICA, SENTINELS = 6379, 6380, (5000, 5001, 5002)
DEADLINE_S = 60.0
POLL_S = 0.1
SLEEP_S = 30

PRIMARY_CONF = """\
port {primary}
requirepass 123456
masterauth 123456
appendonly yes
appendfilename "primary.aof"
enable-debug-command local
"""
REPLICA_CONF = """\
port {replica}
replicaof 127.0.0.1 {primary}
masterauth 123456
requirepass 123456
"""
SENTINEL_CONF = """\
port {port}
sentinel monitor myprimary 127.0.0.1 {primary} 2
sentinel down-after-milliseconds myprimary 5000
sentinel failover-timeout myprimary 60000
sentinel auth-pass myprimary 123456
"""


class Failure(Exception):
    """The demonstration did not go as it should; str() says what was waited for."""


class Demo:
    def __init__(self, directory: Path, offset: int, sleeps: bool) -> None:
        self.directory = directory
        self.sleeps = sleeps
        self.primary, self.replica = PRIMARY + offset, REPLICA + offset
        self.sentinels = [port + offset for port in SENTINELS]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        self.check_ports()
        self.replicate()
        self.watch()
        before = time.monotonic()
        self.strike()
        self.follow_failover(before)
        self.come_back()

    # -- the steps -------------------------------------------------------------------------------------------

    def check_ports(self) -> None:
        for port in (self.primary, self.replica, *self.sentinels):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise Failure(f"port {port} is taken: give another --offset")

    def replicate(self) -> None:
        title("A primary and its replica")
        ports = {"primary": self.primary, "replica": self.replica}
        self.start(self.primary, "primary", PRIMARY_CONF.format(**ports))
        self.start(self.replica, "replica", REPLICA_CONF.format(**ports))
        self.until("the replica is in step", lambda: self.link_is_up(self.replica))
        with self.client(self.replica) as monitor:
            show(f"redis-cli -p {self.replica} monitor", monitor.call("MONITOR"))
            self.ask(self.primary, "SET", "foo", "bar")
            for _ in range(2):
                print(f"    {monitor.receive()}")
        self.ask(self.replica, "GET", "foo")

    def watch(self) -> None:
        title("Three sentinels")
        for number, port in enumerate(self.sentinels, start=1):
            text = SENTINEL_CONF.format(port=port, primary=self.primary)
            self.start(port, f"sentinel{number}", text, "--sentinel")
        self.until("the sentinels know each other and the replica", self.all_found)
        for words in (("SENTINEL", "MASTER", NAME), ("SENTINEL", "REPLICAS", NAME), ("SENTINEL", "SENTINELS", NAME)):
            self.ask(self.sentinels[0], *words)
        self.ask(self.sentinels[0], "SENTINEL", "CKQUORUM", NAME)
        self.ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)

    def strike(self) -> None:
        self.listener = RespClient("127.0.0.1", self.sentinels[0], timeout_s=DEADLINE_S)
        self.listener.call("PSUBSCRIBE", "*")
        if self.sleeps:
            title(f"The primary stands still: DEBUG SLEEP {SLEEP_S}")
            self.client(self.primary).send("DEBUG", "SLEEP", SLEEP_S)
        else:
            title("The primary is ended, as by Ctrl+C")
            self.processes[self.primary].send_signal(signal.SIGINT)
            self.processes[self.primary].wait()

    def follow_failover(self, begun: float) -> None:
        """Show what the first sentinel tells until it has another primary."""
        while True:
            message = self.listener.receive()
            if not isinstance(message, list) or message[0] != "pmessage":
                raise Failure(f"a message was to come, not {message!r}")
            print(f"    {time.monotonic() - begun:5.1f} s  {message[2]} {message[3]}")
            if message[2] == "+switch-master":
                break
        self.listener.close()
        self.until("all sentinels say so", lambda: all(self.named(port) == self.replica for port in self.sentinels))
        for port in self.sentinels:
            self.ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        self.ask(self.replica, "SET", "foo", "after the failover")

    def come_back(self) -> None:
        title("Who was the primary comes back, and is made a replica")
        if not self.sleeps:
            self.start(self.primary, "primary")
        self.until("it follows the new primary", lambda: self.link_is_up(self.primary))
        self.ask(self.primary, "GET", "foo")
        print(f"\n    what a sentinel keeps in {self.directory / 'sentinel1.conf'}:")
        for line in (self.directory / "sentinel1.conf").read_text().splitlines():
            print(f"    {line}")

    # -- means -----------------------------------------------------------------------------------------------

    def start(self, port: int, name: str, text: str = "", *switches: str) -> None:
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        conf = self.directory / f"{name}.conf"
        if text:
            conf.write_text(f"{text}dir {folder}\n")
            print(f"\n$ cat {name}.conf\n" + "".join(f"    {line}\n" for line in text.splitlines()), end="")
        print(f"$ cluster-node ./{name}.conf {' '.join(switches)}".rstrip())
        with (self.directory / f"{name}.log").open("ab") as log:
            command = [*_tied(), sys.executable, "-m", "cluster", str(conf), *switches]
            self.processes[port] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.until(f"{name} answers", lambda: self.answers(port))

    def answers(self, port: int) -> bool:
        if self.processes[port].poll() is not None:
            raise Failure(f"the process at port {port} has ended; its log is in {self.directory}")
        with self.client(port) as client:
            return client.call("PING") == "PONG"

    def client(self, port: int) -> RespClient:
        return RespClient("127.0.0.1", port, password="" if port in self.sentinels else PASSWORD)

    def ask(self, port: int, *words: str) -> object:
        with self.client(port) as client:
            reply = client.call(*words)
        show(f"redis-cli -p {port} {' '.join(words)}", reply)
        return reply

    def link_is_up(self, port: int) -> bool:
        with self.client(port) as client:
            return info_fields(client.text("INFO", "replication")).get("master_link_status") == "up"

    def named(self, sentinel: int) -> int:
        with self.client(sentinel) as client:
            address = client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(address[1]) if isinstance(address, list) else 0

    def all_found(self) -> bool:
        return all(self.found(port) for port in self.sentinels)

    def found(self, sentinel: int) -> bool:
        with self.client(sentinel) as client:
            flat = client.call("SENTINEL", "MASTER", NAME)
            assert isinstance(flat, list)
            facts = dict(zip(flat[::2], flat[1::2], strict=True))
            return (facts["num-slaves"], facts["num-other-sentinels"]) == ("1", str(len(self.sentinels) - 1))

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            with suppress(OSError, ReplyError):
                if condition():
                    return
            time.sleep(POLL_S)
        raise Failure(f"not within {DEADLINE_S:.0f} s: {what}; the logs are in {self.directory}")

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


def _tied() -> Sequence[str]:
    """A prefix under which a process ends when we do."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def title(text: str) -> None:
    print(f"\n== {text}")


def show(command: str, reply: object) -> None:
    print(f"$ {command}")
    _show(reply, "    ")


def _show(reply: object, indent: str) -> None:
    if not isinstance(reply, list):
        print(f"{indent}{reply}")
    elif reply and not isinstance(reply[0], list) and len(reply) > 2 and len(reply) % 2 == 0:
        for name, value in zip(reply[::2], reply[1::2], strict=True):
            print(f"{indent}{name}: {value}")
    else:
        for number, one in enumerate(reply, start=1):
            if isinstance(one, list):
                print(f"{indent}{number})")
                _show(one, indent + "  ")
            else:
                print(f"{indent}{number}) {one}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/sentinel-demo", description=__doc__)
    parser.add_argument("--offset", type=int, default=0, help="added to every port")
    parser.add_argument("--sleep", action="store_true", help=f"DEBUG SLEEP {SLEEP_S} instead of ending the primary")
    parser.add_argument("--keep", action="store_true", help="keep the files and logs")
    options = parser.parse_args()
    parent = ROOT / ".bench_tmp"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="sentinel-", dir=parent))
    demo = Demo(directory, options.offset, options.sleep)
    keep = options.keep
    try:
        demo.run()
    except (Failure, OSError, ReplyError) as error:
        print(f"sentinel-demo: {error}", file=sys.stderr)
        keep = True
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        demo.close()
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    print("\nThat was all: the processes are ended.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
