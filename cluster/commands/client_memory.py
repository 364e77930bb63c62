"""What a client holds in memory, found out when somebody asks (CLIENT LIST, INFO, MEMORY STATS) and at no other time.

The bytes are counted as they are; what Python adds to them (the headers of objects, the tables of lists) by its own
word. The figures stand under redis-server's names, so tools can read them; they are this process's own, and so not the
numbers redis-server would show.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from cluster.keyspace.memory import Buffers
from cluster.replication.replicas import Replica

if TYPE_CHECKING:
    from cluster.network.session import Session
    from cluster.server import Server

_CHUNK_BYTES = sys.getsizeof(b"") + 8
"""What a piece of output costs beside its bytes: the header of the object and the place in the queue."""
_READER_BYTES = 1024
"""The C parser and its empty buffer, which Python cannot look into; an estimate."""


@dataclass(frozen=True, slots=True)
class ClientMemory:
    """In bytes, but for `chunks`, the pieces of output that the socket did not take yet."""

    query: int
    query_free: int
    arguments: int
    transaction: int
    replies: int
    """Made in this turn, and not given to the socket yet."""
    chunks: int
    unsent: int
    total: int


def client_memory(session: Session, arguments: int = 0) -> ClientMemory:
    """`arguments`: bytes of those of the command that it is running now."""
    query, free, begun = session.parser.memory()
    query += _sum_of_lengths(session.held)
    if session.wait is not None:
        arguments += _sum_of_lengths(session.wait.keys)
    transaction = 0
    if session.transaction is not None:
        for _, words in session.transaction.commands:
            transaction += sys.getsizeof(words) + sum(map(sys.getsizeof, words))
    made = _sum_of_lengths(session.out)
    pending: Sized = getattr(session.transport, "pending", ())
    held_chunks, held_bytes = session.replica.held_memory if isinstance(session.replica, Replica) else (0, 0)
    chunks = len(pending) + held_chunks
    unsent = session.out_bytes + held_bytes + chunks * _CHUNK_BYTES
    watched = sum(sys.getsizeof(where) + sys.getsizeof(where[1]) for where in session.watched)
    listening = 0
    if session.subscribed is not None:
        own = session.subscribed
        listening = sum(sys.getsizeof(name) for name in chain(own.channels, own.patterns, own.shard_channels))
    total = _bare(session) + query + free + arguments + begun + transaction + made + unsent + watched + listening
    return ClientMemory(query, free, arguments + begun, transaction, made, chunks, unsent, total)


def _sum_of_lengths(pieces: Iterable[bytes]) -> int:
    return sum(map(len, pieces))


def _bare(session: Session) -> int:
    """A client at rest."""
    parts = (session, session.parser, session.out, session.held, session.watched, session.client_flags,
             session.address, session.local_address, session.name, session.transport)  # fmt: skip
    return _READER_BYTES + sum(map(sys.getsizeof, parts))


def clients_memory(server: Server) -> tuple[int, int]:
    """(ordinary clients, replicas): what they hold altogether. Clients at rest are alike, and counted so: there may be
    thousands."""
    ordinary = replicas = bare = 0
    for session in server.clients.values():
        if session.is_replica_link:
            replicas += client_memory(session).total
        elif _is_at_rest(session):
            bare = bare or client_memory(session).total
            ordinary += bare
        else:
            ordinary += client_memory(session).total
    return ordinary, replicas


def buffers(server: Server) -> Buffers:
    """What clients, the backlog and the append-only file hold. As redis-server sees it, what replicas have not been
    sent beyond the backlog, and what is still to be written, would only grow by evicting."""
    ordinary, replicas = clients_memory(server)
    backlog = server.replication.backlog_bytes
    beyond = max(0, replicas - backlog)
    return Buffers(ordinary + replicas - beyond + backlog, beyond + server.persistence.aof.buffered_bytes)


def _is_at_rest(session: Session) -> bool:
    return not (
        session.out_bytes
        or session.out
        or session.held
        or session.watched
        or session.subscribed is not None
        or session.wait is not None
        or session.transaction is not None
        or session.parser.pending_bytes
    )
