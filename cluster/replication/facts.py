"""INFO replication, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.replication.role import Replication
    from cluster.server import Server


def replication_facts(server: Server, replication: Replication) -> Iterator[tuple[str, object]]:
    """The fields in redis-server's order."""
    now = server.clock_ms()
    config = server.config
    yield "role", "slave" if server.is_replica else "master"
    if replication.link is not None:
        yield from replication.link.info(now)
        yield "slave_priority", config.replica_priority
        yield "slave_read_only", int(config.replica_read_only)
        yield "replica_announced", int(config.replica_announced)
    yield "connected_slaves", len(replication.replicas)
    if config.min_replicas_to_write and config.min_replicas_max_lag:
        yield "min_slaves_good_slaves", replication.good_replicas(now)
    for number, replica in enumerate(replication.replicas.values()):
        lag = max(0, now - replica.acknowledged_ms) // 1000
        yield f"slave{number}", (
            f"ip={replica.ip},port={replica.port},state={replica.state},offset={replica.acknowledged},lag={lag}"
        )
    yield "master_failover_state", replication.failover.state
    yield "master_replid", replication.replid
    yield "master_replid2", replication.second_replid
    yield "master_repl_offset", replication.offset
    yield "second_repl_offset", replication.second_offset
    backlog = replication.backlog
    yield "repl_backlog_active", int(backlog is not None)
    yield "repl_backlog_size", config.repl_backlog_size
    yield "repl_backlog_first_byte_offset", backlog.first if backlog is not None else 0
    yield "repl_backlog_histlen", replication.backlog_bytes
