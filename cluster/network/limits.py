"""Output limits: how much a client may leave unread, by its class (client-output-buffer-limit)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cluster.network.session import Session


class OutputLimit(NamedTuple):
    """Closed at once over `hard_bytes`, and when over `soft_bytes` for `soft_seconds`; 0 is no limit."""

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


def client_class(session: Session) -> str:
    """'normal', 'replica' or 'pubsub'."""
    if session.is_replica_link:
        return "replica"
    return "pubsub" if session.subscriptions else "normal"
