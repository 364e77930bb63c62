"""Output limits: how much a client may leave unread, by its class (client-output-buffer-limit)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.config.compound import OutputLimit

if TYPE_CHECKING:
    from cluster.network.session import Session


def client_class(session: Session) -> str:
    """'normal', 'replica' or 'pubsub'."""
    if session.is_replica_link:
        return "replica"
    return "normal" if session.subscribed is None else "pubsub"


__all__ = ["OutputLimit", "client_class"]
