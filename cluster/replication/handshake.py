"""What a replica says before the stream: who it is, what it can, and from where on it wants to hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.keyspace.numbers import count_of
from cluster.replication.wire import LinkError, PrimaryWire

if TYPE_CHECKING:
    from cluster.replication.role import Replication
    from cluster.server import Server

_HARMLESS = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")
"""Refusals of the first PING: the password comes after it."""


class History(NamedTuple):
    """Where the snapshot that is to come stands."""

    replid: str
    offset: int


async def shake_hands(server: Server, wire: PrimaryWire) -> None:
    """PING, AUTH, REPLCONF. Raises LinkError when the primary will not have us."""
    config = server.config
    answer = await wire.ask(b"PING")
    if answer.startswith(b"-") and not answer.startswith(_HARMLESS):
        raise LinkError(f"Error reply to PING from master: {answer.decode('utf-8', 'replace')}")
    if config.masterauth:
        login = [config.masterauth.encode("utf-8", "surrogateescape")]
        if config.masteruser:
            login.insert(0, config.masteruser.encode("utf-8", "surrogateescape"))
        answer = await wire.ask(b"AUTH", *login)
        if answer.startswith(b"-"):
            raise LinkError(f"Unable to AUTH to MASTER: {answer.decode('utf-8', 'replace')}")
    port = config.replica_announce_port or config.announced_to_primary
    await wire.ask(b"REPLCONF", b"listening-port", b"%d" % port)
    if config.replica_announce_ip:
        await wire.ask(b"REPLCONF", b"ip-address", config.replica_announce_ip.encode())
    await wire.ask(b"REPLCONF", b"capa", b"eof", b"capa", b"psync2")


async def synchronize(server: Server, replication: Replication, wire: PrimaryWire, *, anew: bool) -> History | None:
    """PSYNC: None when the stream simply goes on, else the history of the snapshot to come. `anew`: do not ask for a
    continuation."""
    if replication.backlog is not None and not anew:
        wanted: tuple[bytes, ...] = (replication.replid.encode(), b"%d" % (replication.offset + 1))
        server.log("notice", f"Trying a partial resynchronization (request {replication.replid}:"
                             f"{replication.offset + 1}).")
    else:
        wanted = (b"?", b"-1")
    failover = replication.failover
    if failover.is_in_progress:
        wanted = (*wanted, b"FAILOVER")
    answer = (await wire.ask(b"PSYNC", *wanted)).decode("utf-8", "replace").split()
    if answer[:1] == ["+CONTINUE"]:
        replication.continue_as(answer[1] if len(answer) > 1 else replication.replid)
        failover.answered(accepted=True)
        server.log("notice", "Successful partial resynchronization with master.")
        return None
    offset = count_of(answer[2]) if answer[:1] == ["+FULLRESYNC"] and len(answer) == 3 else None
    if offset is not None:
        server.log("notice", f"Full resync from master: {answer[1]}:{answer[2]}")
        failover.answered(accepted=True)
        return History(answer[1], offset)
    failover.answered(accepted=False)
    raise LinkError(f"Unexpected reply to PSYNC from master: {' '.join(answer)}")
