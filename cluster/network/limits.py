"""Output limits: how much a client may leave unread, by its class (client-output-buffer-limit)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.config.compound import OutputLimit

if TYPE_CHECKING:
    from cluster.config.store import Configuration
    from cluster.network.session import Session


BEFORE_LOGIN_BYTES = 1024
"""What a client that has not logged in may leave unread: it is to be sent errors only."""


def client_class(session: Session) -> str:
    """'normal', 'replica' or 'pubsub'."""
    if session.is_replica_link:
        return "replica"
    return "normal" if session.subscribed is None else "pubsub"


def output_limit(config: Configuration, session: Session) -> OutputLimit:
    """What this client may leave unread. A replica may always lag by the backlog: cut off, it would be sent no less."""
    if not session.authenticated:
        return OutputLimit(BEFORE_LOGIN_BYTES, 0, 0)
    limit: OutputLimit = config.client_output_buffer_limit[client_class(session)]
    if session.is_replica_link:
        least = config.repl_backlog_size
        return OutputLimit(
            max(limit.hard_bytes, least) if limit.hard_bytes else 0,
            max(limit.soft_bytes, least) if limit.soft_bytes else 0,
            limit.soft_seconds,
        )
    return limit


def cut_off_text(config: Configuration, session: Session, kept: int) -> str:
    """The log's line about a client that has left too much unread."""
    text = f"Client {session.address} scheduled to be closed ASAP for overcoming of output buffer limits."
    if not session.is_replica_link:
        return text
    return (
        f"{text} This replica is {kept} bytes behind; when it comes again it can continue only if repl-backlog-size "
        f"({config.repl_backlog_size}) still covers that, else it needs a full sync. If this happens often, raise "
        "client-output-buffer-limit replica and repl-backlog-size, or look at its network and disk."
    )


__all__ = ["OutputLimit", "client_class", "cut_off_text", "output_limit"]
