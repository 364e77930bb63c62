"""The bus's listening sockets, by redis.conf's rules for `bind`."""

from __future__ import annotations

import errno
import socket

import trio

LISTEN_BACKLOG = 511


class BusListenError(Exception):
    """The bus port cannot be had; one line."""


def open_listener(address: str, port: int) -> trio.SocketListener | None:
    """A listener; None for an optional address (with '-') that this host does not have. Raises BusListenError."""
    optional = address.startswith("-")
    host = address.removeprefix("-")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    host = {"*": "", "::*": ""}.get(host, host)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(LISTEN_BACKLOG)
    except (OSError, ValueError, TypeError) as fault:  # all but the first are for what is no name at all
        sock.close()
        error = fault if isinstance(fault, OSError) else OSError(errno.EINVAL, "Name or service not known")
        if optional and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        raise BusListenError(
            f"Could not create server TCP listening socket {host or '*'}:{port}: bind: {error.strerror}. "
            f"Failed listening on port {port} (cluster), aborting."
        ) from None
    sock.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
