"""What SENTINEL MASTER, REPLICAS, SENTINELS and INFO show: the state as names and values, in Redis's order."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.sentinel.state import (
    FAILURES,
    STAGES,
    DataServer,
    Instance,
    Peer,
    Primary,
    Replica,
    State,
)

Fields = Iterator[tuple[str, object]]


def flags(instance: Instance) -> str:
    """Comma-separated, as in ``s_down,slave,disconnected``."""
    found = ["s_down"] if instance.s_down else []
    if isinstance(instance, Primary) and instance.o_down:
        found.append("o_down")
    found.append(instance.kind)
    if instance.link.broken:
        found.append("disconnected")
    if isinstance(instance, Peer) and instance.says_down:
        found.append("master_down")
    if isinstance(instance, Primary):
        found += ["failover_in_progress"] if instance.failing_over else []
        found += ["force_failover"] if instance.forced else []
    if isinstance(instance, Replica):
        found += ["promoted"] if instance.promoted else []
        found += [f"reconf_{instance.reconfiguration}"] if instance.reconfiguration else []
    if instance.script_kill_sent:
        found.append("script_kill_sent")
    return ",".join(found)


def fields(s: State, instance: Instance) -> Fields:
    link = instance.link
    yield "name", instance.name
    yield "ip", s.shown(instance.address)
    yield "port", instance.address.port
    yield "runid", instance.run_id
    yield "flags", flags(instance)
    yield "link-pending-commands", link.pending
    yield "link-refcount", len(link.owners)
    if isinstance(instance, Primary) and instance.failing_over:
        yield "failover-state", STAGES[instance.stage]
    yield "last-ping-sent", s.now - link.ping_asked_ms if link.ping_asked_ms else 0
    yield "last-ok-ping-reply", s.now - link.last_available_ms
    yield "last-ping-reply", s.now - link.last_pong_ms
    if instance.s_down:
        yield "s-down-time", s.now - instance.s_down_since_ms
    if isinstance(instance, Primary) and instance.o_down:
        yield "o-down-time", s.now - instance.o_down_since_ms
    yield "down-after-milliseconds", instance.down_after_ms
    if isinstance(instance, DataServer):
        yield "info-refresh", s.now - instance.info_at_ms if instance.info_at_ms else 0
        yield "role-reported", instance.role
        yield "role-reported-time", s.now - instance.role_since_ms
    if isinstance(instance, Primary):
        yield from _of_primary(instance)
    elif isinstance(instance, Replica):
        yield from _of_replica(instance)
    elif isinstance(instance, Peer):
        yield "last-hello-message", s.now - instance.last_hello_ms
        yield "voted-leader", instance.leader or "?"
        yield "voted-leader-epoch", instance.leader_epoch


def _of_primary(primary: Primary) -> Fields:
    yield "config-epoch", primary.config_epoch
    yield "num-slaves", len(primary.replicas)
    yield "num-other-sentinels", len(primary.peers)
    yield "quorum", primary.quorum
    yield "failover-timeout", primary.failover_timeout_ms
    yield "parallel-syncs", primary.parallel_syncs
    if primary.notification_script:
        yield "notification-script", primary.notification_script
    if primary.client_reconfig_script:
        yield "client-reconfig-script", primary.client_reconfig_script


def _of_replica(replica: Replica) -> Fields:
    yield "master-link-down-time", replica.link_down_ms
    yield "master-link-status", "ok" if replica.link_up else "err"
    yield "master-host", replica.follows_host or "?"
    yield "master-port", replica.follows_port
    yield "slave-priority", replica.priority
    yield "slave-repl-offset", replica.offset
    yield "replica-announced", int(replica.announced)


def info(s: State, running_scripts: int, queued_scripts: int) -> Fields:
    """INFO's section."""
    yield "sentinel_masters", len(s.primaries)
    yield "sentinel_tilt", int(s.tilt)
    yield "sentinel_tilt_since_seconds", (s.now - s.tilt_since_ms) // 1000 if s.tilt else -1
    yield "sentinel_running_scripts", running_scripts
    yield "sentinel_scripts_queue_length", queued_scripts
    yield "sentinel_simulate_failure_flags", sum(1 << FAILURES.index(failure) for failure in s.failures)
    for number, primary in enumerate(s.primaries.values()):
        status = "odown" if primary.o_down else "sdown" if primary.s_down else "ok"
        yield f"master{number}", (
            f"name={primary.name},status={status},address={s.shown(primary.address)}:{primary.address.port},"
            f"slaves={len(primary.replicas)},sentinels={len(primary.peers) + 1}"
        )
