"""The reactor: one trio task that serves every client socket.

A trio task for each connection costs two thirds of the throughput (docs/architecture.md, 'The hot path'). So one
task owns an epoll of its own, sleeps until that epoll is readable, drains all sockets that are ready, lets the
server finish the batch (journal, waiting clients), sends the replies, and goes back to trio when trio has something
to do, so that the bus and the timers run between batches. While requests keep coming it sleeps without trio, as
long as nothing has come for that: a sleep in trio and the way back take as long as several requests (TrioNeeds).

The sockets are non-blocking. A send that takes only a part keeps the rest and asks epoll for writability; what is
kept is counted against client-output-buffer-limit. The session never sees a socket.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING

import trio

from cluster import errors
from cluster.network.connection import Connection
from cluster.network.greeter import Greeter
from cluster.network.limits import cut_off_text, output_limit
from cluster.network.listeners import Listener
from cluster.network.tls_connection import TlsConnection
from cluster.network.trio_needs import TrioNeeds
from cluster.network.tunnel import Tunnel
from cluster.network.unconfirmed import Unconfirmed

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.server import Server

READ_BYTES = 64 * 1024
EVENTS_PER_BATCH = 512
SLICE_NS = 1_000_000
"""How long batches may follow each other before trio has the turn it wants."""
LINGER_S = 0.002
"""How long the reactor waits for the next request before it does so by way of trio, which costs more."""
ACCEPTS_PER_EVENT = 64
SENT_PER_TURN_BYTES = 1024 * 1024
"""How much of what is kept for one client is sent before the others have a turn."""
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class Reactor:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._listeners: dict[int, Listener] = {}
        self._greeter = Greeter(server, self._epoll, self._welcome)
        self._withheld: dict[Connection, None] = {}
        self._unconfirmed = Unconfirmed()
        self._watched: dict[int, Callable[[], None]] = {}
        self._serving = False
        self._over_soft: dict[Connection, None] = {}  # who may not stay as far behind as it is
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        server.shell.wake = self._wake
        server.shell.watch = self._watch
        server.shell.unwatch = self._unwatch
        server.shell.hang_up = self.close_session
        server.shell.gather_output = _gather_output
        server.shell.let_go = self._let_go
        server.shell.drop_unconfirmed = lambda before_ms: self._unconfirmed.give_up(before_ms, self._close)
        server.shell.end_batch = lambda: self.finish_batch([])

    def listen(self, listener: Listener) -> None:
        """Serve clients of `listener` (bound, listening) from now on."""
        sock = listener.sock
        sock.setblocking(False)
        self._listeners[sock.fileno()] = listener
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def tcp_addresses(self) -> list[tuple[str, int, bool]]:
        """Where TCP clients are accepted, and whether they are to speak TLS."""
        every = [(one.sock.getsockname(), one.tls) for one in self._listeners.values() if not one.is_unix]
        return [(name[0], name[1], tls) for name, tls in every]

    def replace_listeners(self, listeners: list[Listener]) -> None:
        """Take these TCP listeners instead of those there are; a Unix socket stays."""
        for fd, listener in list(self._listeners.items()):
            if not listener.is_unix:
                self._epoll.unregister(fd)
                listener.sock.close()
                del self._listeners[fd]
        for listener in listeners:
            self.listen(listener)

    def unlisten(self) -> None:
        """Close all listening sockets."""
        for fd, listener in self._listeners.items():
            self._epoll.unregister(fd)
            listener.sock.close()
        self._listeners.clear()

    async def run(self) -> None:
        """Serve until cancelled."""
        fd = self._epoll.fileno()
        needs = TrioNeeds(fd)
        try:
            while True:
                if self._server.unfinished or self._server.pace.suspended is not None:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(fd)
                self._serve_while_busy(needs)
        finally:
            needs.close()
            self.close()

    def _serve_while_busy(self, needs: TrioNeeds) -> None:
        """Batch upon batch, until trio wants its turn or no request has come for a while."""
        until = perf_counter_ns() + SLICE_NS
        while True:
            if self.serve_batch() or self._server.unfinished:
                if self._server.pace.suspended is not None:
                    self._serve_beside_script()
                    return
                now = perf_counter_ns()
                if now >= until:
                    if needs.are_due():
                        return
                    until = now + SLICE_NS
            elif self._server.pace.suspended is not None:
                self._serve_beside_script()
                return
            elif not needs.sleep(LINGER_S):
                return

    def _serve_beside_script(self) -> None:
        """A turn of the script that is suspended, and what it led to. trio has its turn after each."""
        self._server.start_batch()
        self._server.pace.go_on()
        self.finish_batch([])

    def serve_batch(self) -> bool:
        """Handle what is ready now, and send what it led to. Whether there was anything."""
        server = self._server
        connections = self._connections
        events = self._epoll.poll(0, EVENTS_PER_BATCH)
        unfinished = server.take_unfinished()
        if not events and not unfinished:
            return False
        self._serving = True
        server.start_batch()
        others: list[int] = []
        touched: list[Connection] = []
        received = unread = 0
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                others.append(fd)
                continue
            if unfinished and connection.session in unfinished:
                continue  # it has enough to do; what it sends meanwhile may stay in the socket
            touched.append(connection)
            if not mask & _READABLE:
                unread += 1
                continue
            try:
                data = connection.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                data = b""
            if not data:
                self._close(connection)
                continue
            received += len(data)
            session = connection.session
            if not session.closing:
                try:
                    session.receive(data)
                except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
                    session.give_up()
        server.stats.input_bytes += received
        server.stats.reads += len(touched) - unread
        if unfinished:
            self._go_on(unfinished, touched)
        self.finish_batch(touched)
        self._serve_others(others)
        return True

    def _serve_others(self, fds: list[int]) -> None:
        """What is readable beside clients; and that is the end of the batch."""
        for fd in fds:
            self._serve_other(fd)
        if fds and self._greeter:
            self._greeter.serve(fds)
        self._serving = False
        if self._server.awake:
            self._wake()

    def _go_on(self, unfinished: Iterable[Session], touched: list[Connection]) -> None:
        """One more turn for those whose commands did not fit the last batch."""
        for session in unfinished:
            connection = session.transport
            if not isinstance(connection, Connection) or connection.fd < 0:
                continue
            touched.append(connection)
            session.resume()

    def finish_batch(self, touched: list[Connection]) -> None:
        """End the batch and send all output. Also called by timers, with no connection of their own."""
        woken = self._server.end_batch()
        if self._server.doubt.begun_within_batch():
            self._withheld.update(dict.fromkeys([*touched, *_connections(woken)]))
            self._server.doubt.settle()
            touched = [connection for connection in touched if connection.fd >= 0]
        if self._withheld:
            touched = [connection for connection in touched if connection not in self._withheld]
            woken = [one.session for one in _connections(woken) if one not in self._withheld]
        if self._server.confirms_writes:
            self._confirm([*touched, *_connections(woken)])
        sent_bytes = silent = 0
        for connection in touched:
            session = connection.session
            out = session.out
            if connection.pending or session.closing:
                silent += 1  # or it counts for itself
                self._write(connection)
            elif out:
                data = out[0] if len(out) == 1 else b"".join(out)
                out.clear()
                try:
                    sent = connection.send(data)
                except (BlockingIOError, InterruptedError):
                    sent = 0
                except OSError:
                    self._close(connection)
                    continue
                sent_bytes += sent
                session.total_out += sent
                if sent < len(data):
                    self._keep(connection, memoryview(data)[sent:])
            else:
                silent += 1
        self._server.stats.output_bytes += sent_bytes
        self._server.stats.writes += len(touched) - silent
        for connection in _connections(woken):
            if connection.fd >= 0:
                self._write(connection)

    def _let_go(self, trusted: bool) -> None:
        """What was withheld goes out; or its receivers are hung up on, so that they do not take it for done."""
        withheld, self._withheld = self._withheld, {}
        if trusted and self._server.confirms_writes:
            self._confirm(withheld)
        for connection in withheld:
            if trusted:
                self._write(connection)
            else:
                self._close(connection)

    def _confirm(self, connections: Iterable[Connection]) -> None:
        """Send what enough replicas have by now; what they do not have yet, these are not told."""
        acks = self._server.replication.write_acks
        self._unconfirmed.release(acks.confirmed, self._flush)
        if acks.outstanding:
            self._unconfirmed.hold(connections, acks.outstanding, self._server.ctx.now_ms)

    def close_session(self, session: Session) -> None:
        """Close a client's connection at once."""
        if isinstance(session.transport, Connection):
            self._close(session.transport)

    def close(self) -> None:
        self.unlisten()
        self._greeter.close()
        for connection in list(self._connections.values()):
            self._close(connection)
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1
            self._epoll.close()

    def drain_outputs(self) -> None:
        """Try once more to send what is kept (before a shutdown)."""
        for connection in list(self._connections.values()):
            if connection.pending or connection.session.out:
                self._write(connection, allowed=sys.maxsize)

    # -- one connection --------------------------------------------------------------------------------------

    def _serve_other(self, fd: int) -> None:
        if fd == self._wake_fd:
            os.eventfd_read(fd)
        elif fd in self._listeners:
            self._accept(self._listeners[fd])
        elif fd in self._watched and self._server.pace.suspended is None:
            self._watched[fd]()

    def _watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        self._watched[fd] = on_readable
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)

    def _unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None and not self._epoll.closed:
            self._epoll.unregister(fd)

    def _accept(self, listener: Listener) -> None:
        for _ in range(ACCEPTS_PER_EVENT):
            try:
                sock, peer = listener.sock.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._server.log("warning", f"Accepting client connection: {error.strerror}")
                return
            sock.setblocking(False)
            if not listener.tls:
                self._admit(sock, peer)
            elif len(self._server.clients) + len(self._greeter) < self._server.config.maxclients:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._greeter.begin(sock, peer)
            else:
                self._server.stats.rejected_connections += 1
                sock.close()  # there is no way yet to tell it why

    def _admit(self, sock: socket.socket, peer: object, tunnel: Tunnel | None = None) -> Connection | None:
        server = self._server
        refusal = self._refusal(sock, peer)
        if refusal is not None:
            self._refuse(sock, b"-" + refusal.encode() + b"\r\n", tunnel)
            return None
        if sock.family == socket.AF_UNIX:
            address = local = f"{server.config.unixsocket}:0"
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._keep_alive(sock, server.config.tcp_keepalive)
            address, local = _address(peer), _address(sock.getsockname())
        session = server.connect(address=address, local_address=local)
        if sock.family == socket.AF_UNIX:
            session.client_flags.add("unix")
        if tunnel is None:
            connection = Connection(sock, session)
        else:
            session.client_flags.add("tls")
            connection = TlsConnection(sock, session, tunnel, self._keep_writing)
        session.transport = connection
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN | select.EPOLLRDHUP)
        return connection

    def _welcome(self, sock: socket.socket, peer: object, tunnel: Tunnel, early: bytes) -> None:
        """A client whose handshake is done; `early` is what it has sent since."""
        connection = self._admit(sock, peer, tunnel)
        if connection is None or not early:
            return
        server = self._server
        server.start_batch()
        server.stats.input_bytes += len(early)
        try:
            connection.session.receive(early)
        except Exception:  # noqa: BLE001  (whatever it is, it is that one client's)
            connection.session.give_up()
        self.finish_batch([connection])

    def _refuse(self, sock: socket.socket, line: bytes, tunnel: Tunnel | None) -> None:
        server = self._server
        server.stats.rejected_connections += 1
        try:
            sock.send(line if tunnel is None else tunnel.seal(line) + tunnel.end())
        except OSError as error:
            server.log("verbose", f"Could not refuse a client: {error.strerror}")
        sock.close()

    def _refusal(self, sock: socket.socket, peer: object) -> str | None:
        server = self._server
        if len(server.clients) >= server.config.maxclients:
            return errors.MAXCLIENTS
        if server.config.protected_mode and server.access.default.needs_no_password and sock.family != socket.AF_UNIX:
            host = peer[0] if isinstance(peer, tuple) else ""
            if not (host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")):
                return errors.NOPERM_PROTECTED
        return None

    @staticmethod
    def _keep_alive(sock: socket.socket, seconds: int) -> None:
        if seconds <= 0:
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 3))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def _write(self, connection: Connection, allowed: int = SENT_PER_TURN_BYTES) -> None:
        if connection.fd < 0:
            return
        out = connection.session.out
        if out:
            connection.pending.extend(out)
            connection.pending_bytes += sum(map(len, out))
            out.clear()
        self._flush(connection, allowed)

    def _flush(self, connection: Connection, allowed: int = SENT_PER_TURN_BYTES) -> None:
        """Send what is kept; not what the session has to say since."""
        session = connection.session
        try:
            connection.flush(allowed, self._server.stats)
        except OSError:
            self._close(connection)
            return
        if connection.pending:
            self._keep_writing(connection)
        elif connection.writing:
            connection.writing = False
            connection.over_soft_since_ms = None
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLRDHUP)
        session.out_bytes = connection.pending_bytes
        if session.closing and not (connection.pending or session.out or connection.unconfirmed):
            self._close(connection)

    def _keep(self, connection: Connection, rest: memoryview) -> None:
        """What a send did not take."""
        if connection.fd >= 0:
            connection.pending.append(rest)
            connection.pending_bytes += len(rest)
            self._keep_writing(connection)

    def _keep_writing(self, connection: Connection) -> None:
        """Ask for writability, unless the client has reached its output limit."""
        server = self._server
        limit = output_limit(server.config, connection.session)
        now = server.ctx.now_ms
        kept = connection.pending_bytes
        over_soft = limit.soft_bytes and kept > limit.soft_bytes
        if not over_soft:
            connection.over_soft_since_ms = None
        elif connection.over_soft_since_ms is None:
            connection.over_soft_since_ms = now
            self._over_soft[connection] = None
        since = connection.over_soft_since_ms
        if (limit.hard_bytes and kept > limit.hard_bytes) or (
            since is not None and now - since > limit.soft_seconds * 1000
        ):
            server.log("warning", cut_off_text(server.config, connection.session, kept))
            server.stats.output_limit_disconnections += 1
            self._close(connection)
            return
        connection.session.out_bytes = kept
        server.client_eviction.grown(connection.session)
        if connection.fd >= 0 and not connection.writing:
            connection.writing = True
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLOUT)

    def check_limits(self) -> None:
        """Close those who have been over their soft limit, in a handshake, or waiting for replicas for too long."""
        if self._greeter:
            self._greeter.check_deadlines(self._server.clock_ms())
        if self._unconfirmed:
            self._unconfirmed.release(self._server.replication.write_acks.confirmed, self._flush)
            self._server.replication.write_acks.tick()
        for connection in list(self._over_soft):
            if connection.over_soft_since_ms is None or connection.fd < 0:
                del self._over_soft[connection]
            else:
                self._keep_writing(connection)

    def _close(self, connection: Connection) -> None:
        if connection.fd < 0:
            return
        self._connections.pop(connection.fd, None)
        self._epoll.unregister(connection.fd)
        connection.fd = -1
        connection.hang_up()
        self._server.disconnect(connection.session)

    def _wake(self) -> None:
        if self._wake_fd >= 0 and not self._serving:
            os.eventfd_write(self._wake_fd, 1)


def _gather_output(session: Session) -> None:
    connection = session.transport
    if isinstance(connection, Connection) and connection.sock.family != socket.AF_UNIX:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)


def _connections(sessions: list[Session]) -> list[Connection]:
    """Those of the sessions that have a socket here."""
    return [session.transport for session in sessions if isinstance(session.transport, Connection)]


def _address(name: object) -> str:
    if isinstance(name, tuple):
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "?:0"
