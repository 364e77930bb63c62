"""The listening sockets of a node: bind, port, tls-port, tcp-backlog, unixsocket."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cluster.config.store import Configuration


class ListenError(Exception):
    """No socket to listen on; the message is the log line tools wait for."""


class Listener(NamedTuple):
    """A socket that is bound and listens. `tls`: who connects there is to speak TLS."""

    sock: socket.socket
    tls: bool = False

    @property
    def is_unix(self) -> bool:
        return self.sock.family == socket.AF_UNIX


def open_listeners(config: Configuration, *, unix: bool = True) -> list[Listener]:
    """All listeners that the configuration asks for. An address with '-' before it may be missing on this host."""
    listeners: list[Listener] = []
    try:
        for port, tls in ((config.port, False), (config.tls_port, True)):
            if port:
                listeners += _listen_everywhere(config, port, tls=tls)
        if config.unixsocket and unix:
            listeners.append(Listener(_listen_unix(config.unixsocket, config.unixsocketperm, config.tcp_backlog)))
    except BaseException:
        for listener in listeners:
            listener.sock.close()
        raise
    return listeners


def _listen_everywhere(config: Configuration, port: int, *, tls: bool) -> list[Listener]:
    listeners: list[Listener] = []
    try:
        for address in config.bind:
            found = listen_tcp(address, port, config.tcp_backlog, tls=tls)
            if found is not None:
                listeners.append(found)
    except BaseException:
        for listener in listeners:
            listener.sock.close()
        raise
    if not listeners:
        raise ListenError(f"Failed listening on port {port} ({'tls' if tls else 'tcp'}), aborting.")
    return listeners


def listen_tcp(address: str, port: int, backlog: int, *, tls: bool = False) -> Listener | None:
    """A listening socket, or None for an optional address this host does not have."""
    optional = address.startswith("-")
    host = address.removeprefix("-")
    if host == "*":
        host, family = "", socket.AF_INET
    elif host == "::*":
        host, family = "", socket.AF_INET6
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except (OSError, ValueError, TypeError) as fault:  # all but the first are for what is no name at all
        error = fault if isinstance(fault, OSError) else OSError(errno.EINVAL, "Name or service not known")
        if sock is not None:
            sock.close()
        if optional and not isinstance(error, PermissionError) and error.errno != 98:
            return None
        raise ListenError(
            f"Could not create server TCP listening socket {host or '*'}:{port}: bind: {error.strerror}. "
            f"Failed listening on port {port} ({'tls' if tls else 'tcp'}), aborting."
        ) from None
    return Listener(sock, tls)


def _listen_unix(path: str, permissions: int, backlog: int) -> socket.socket:
    target = Path(path)
    if target.exists() and stat.S_ISSOCK(target.stat().st_mode):
        target.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        if permissions:
            os.chmod(path, permissions)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ListenError(f"Failed opening Unix socket: bind: {error.strerror}") from None
    return sock
