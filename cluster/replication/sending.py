"""Sending a replica what is kept for it, as fast as its connection takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.replication.replicas import Replica
    from cluster.server import Server

PIECE_BYTES = 256 * 1024
AHEAD_BYTES = 1 << 20
"""How much may wait in a connection before the next piece is read."""
POLL_SECONDS = 0.005


async def let_go_out(server: Server, replicas: Sequence[Replica], ahead: int = AHEAD_BYTES) -> None:
    """Until their connections have taken all but `ahead` bytes; who takes nothing for repl-timeout is given up."""
    server.shell.end_batch()
    await trio.lowlevel.checkpoint()
    for replica in replicas:
        session = replica.session
        left, since_ms = session.out_bytes, server.clock_ms()
        while session.out_bytes > ahead and not session.closing:
            await trio.sleep(POLL_SECONDS)
            now = server.clock_ms()
            if session.out_bytes != left:
                left, since_ms = session.out_bytes, now
            elif now - since_ms > server.config.repl_timeout * 1000:
                phase = "streaming sync" if replica.online else "full sync"
                server.log("warning", f"Disconnecting timedout replica ({phase}): {replica.name}")
                server.kill(session)


async def send_held(server: Server, replica: Replica) -> None:
    """Until so little of the stream is held for it that the rest can go out at once. Raises OSError."""
    ahead = min(AHEAD_BYTES, replica.most_unread // 2)
    while replica.held is not None and len(replica.held) > ahead and not replica.session.closing:
        replica.session.send(replica.held.take(min(PIECE_BYTES, ahead)))
        await let_go_out(server, [replica], ahead)


async def catch_up(server: Server, replica: Replica) -> None:
    """Let a replica that follows too slowly make up for it."""
    server.log("notice", f"Replica {replica.name} does not keep up: the stream is held for it")
    try:
        await let_go_out(server, [replica], replica.most_unread // 2)
        await send_held(server, replica)
        if not replica.session.closing:
            replica.release()
    except OSError as error:
        server.log("warning", f"Disconnecting replica {replica.name}: what is held for it can't be read: {error}")
        server.kill(replica.session)
        return
    if not replica.session.closing:
        server.shell.end_batch()
        server.log("notice", f"Replica {replica.name} has caught up")
