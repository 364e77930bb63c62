"""MEMORY DOCTOR's words: what of the figures is out of the ordinary, and what may help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cluster.commands.client_memory import clients_memory

if TYPE_CHECKING:
    from cluster.server import Server

SMALL_BYTES = 5 << 20
"""Of so few data nothing can be said."""
PEAK_RATIO = 1.5
RESIDENT_RATIO = 1.4
CLIENT_BYTES = 200 << 10
REPLICA_BYTES = 10 << 20
MANY_SCRIPTS = 1_000


def memory_advice(server: Server) -> str:
    """One line for each finding."""
    if server.memory.dataset_bytes < SMALL_BYTES:
        quiet = "There is little data yet, too little to tell whether its memory is well used."
    else:
        quiet = "Nothing unusual to report about memory."
    return "".join(f"{line}\n" for line in list(_findings(server)) or [quiet])


def _findings(server: Server) -> Iterator[str]:
    memory = server.memory
    used = max(1, memory.used)
    if memory.is_over:
        yield "The data does not fit maxmemory: raise it, or choose a maxmemory-policy that evicts."
    if memory.dataset_bytes >= SMALL_BYTES:
        if memory.peak_bytes > used * PEAK_RATIO:
            yield (
                f"Peak: the most there was is {memory.peak_bytes / used:.1f} times what is used now. The process may "
                "not have given all of it back; MEMORY PURGE asks for that."
            )
        if memory.taken_bytes > used * RESIDENT_RATIO:
            yield (
                f"Resident memory: the system counts {memory.taken_bytes / used:.1f} times what is used. Free "
                "blocks lie between those in use, or a child's snapshot has had pages copied."
            )
    ordinary, replicas = clients_memory(server)
    followers = sum(session.is_replica_link for session in server.clients.values())
    if ordinary > CLIENT_BYTES * max(1, len(server.clients) - followers):
        yield (
            "Clients: they hold more than 200 KB each on average. CLIENT LIST shows who (tot-mem, omem, qbuf); "
            "client-output-buffer-limit and maxmemory-clients bound it."
        )
    if replicas > REPLICA_BYTES * max(1, followers):
        yield "Replicas: more than 10 MB is held for each. They, or the network, do not keep up with what is written."
    if server.scripts.count > MANY_SCRIPTS:
        yield (
            f"Scripts: {server.scripts.count} are kept. Give scripts their values as ARGV, so that their text is one "
            "and the same."
        )
