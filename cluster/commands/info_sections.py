"""The sections of INFO: each a function from the server to its fields, in redis-server's names."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cluster.acl.request import AUTH, CHANNEL, COMMAND, KEY
from cluster.command_times import shown_percentiles
from cluster.commands.client_memory import clients_memory
from cluster.process import cpu_seconds, system_memory_bytes
from cluster.replication.facts import replication_facts
from cluster.version import REDIS_VERSION, VERSION

if TYPE_CHECKING:
    from cluster.config.store import Configuration
    from cluster.server import Server
    from cluster.stats import Rate

Fields = Iterator[tuple[str, object]]

_NEVER = (
    "io_threaded_reads_processed", "io_threaded_writes_processed", "reply_buffer_shrinks", "reply_buffer_expands",
    "active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses",
    "total_active_defrag_time", "current_active_defrag_time",
)  # fmt: skip
"""What does not happen in this node, so that its count is 0: one thread serves, and nothing is moved in memory."""
_DENIALS = {"auth": AUTH, "cmd": COMMAND, "key": KEY, "channel": CHANNEL}
_UNITS = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def human_bytes(size: int) -> str:
    """1.50M as INFO prints it."""
    for unit, letter in _UNITS:
        if size >= unit:
            return f"{size / unit:.2f}{letter}"
    return f"{size}B"


def _server(server: Server) -> Fields:
    config = server.config
    up = max(0, (server.clock_ms() - server.started_ms) // 1000)
    yield "redis_version", REDIS_VERSION
    yield "redis_git_sha1", "00000000"
    yield "redis_git_dirty", 0
    yield "redis_build_id", "0"
    yield "redis_mode", server.mode
    yield "server_name", "cluster-node"
    yield "cluster_node_version", VERSION
    yield "os", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "arch_bits", 64
    yield "monotonic_clock", "POSIX clock_gettime"
    yield "multiplexing_api", "epoll"
    yield "python_version", platform.python_version()
    yield "process_id", server.shell.process_id
    yield "process_supervised", "no"
    yield "run_id", server.run_id
    yield "tcp_port", config.port or config.tls_port
    yield "server_time_usec", server.clock_ms() * 1000
    yield "uptime_in_seconds", up
    yield "uptime_in_days", up // 86400
    yield "hz", config.hz
    yield "configured_hz", config.hz
    yield "lru_clock", server.clock_ms() // 1000 & 0xFFFFFF
    yield "executable", sys.executable
    yield "config_file", config.file_path
    yield "io_threads_active", 0
    yield from _listeners(config)


def _listeners(config: Configuration) -> Fields:
    """Where clients connect, as redis-server 7.2 shows it; a name ends in the number among those there are."""
    places = []
    addresses = "".join(f",bind={address}" for address in config.bind)
    if config.port:
        places.append(f"name=tcp{addresses},port={config.port}")
    if config.unixsocket:
        places.append(f"name=unix,bind={config.unixsocket}")
    if config.tls_port:
        places.append(f"name=tls{addresses},port={config.tls_port}")
    for number, place in enumerate(places):
        yield f"listener{number}", place


def _clients(server: Server) -> Fields:
    ordinary = [one for one in server.clients.values() if not one.is_replica_link]
    yield "connected_clients", len(ordinary)
    yield "cluster_connections", len(server.bus.links()) if server.bus is not None else 0
    yield "maxclients", server.config.maxclients
    yield "client_recent_max_input_buffer", max((one.parser.pending_bytes for one in ordinary), default=0)
    yield "client_recent_max_output_buffer", max((one.out_bytes for one in ordinary), default=0)
    yield "blocked_clients", server.waiting.clients
    yield "tracking_clients", server.tracking.clients
    yield "pubsub_clients", server.pubsub.clients
    yield "clients_in_timeout_table", server.waiting.timed_clients
    yield "total_blocking_keys", len(server.waiting.by_key)
    yield "total_blocking_keys_on_nokey", server.waiting.watchful_keys


def _memory(server: Server) -> Fields:
    memory = server.memory
    used, resident, taken = memory.used, memory.resident_bytes(), memory.taken_bytes
    dataset = memory.dataset_bytes
    total = system_memory_bytes()
    backlog = server.replication.backlog_bytes
    yield from _sized("used_memory", used)
    yield from _sized("used_memory_rss", resident)
    yield from _sized("used_memory_peak", memory.peak_bytes)
    yield "used_memory_peak_perc", f"{100 * used / max(1, memory.peak_bytes):.2f}%"
    yield "used_memory_overhead", max(0, used - dataset)
    yield "used_memory_startup", memory.startup_bytes
    yield "used_memory_dataset", dataset
    yield "used_memory_dataset_perc", f"{100 * dataset / max(1, used - memory.startup_bytes, dataset):.2f}%"
    yield from _sized("total_system_memory", total)
    scripts, functions = server.scripts, server.functions
    of_scripts, of_functions = scripts.runner.memory_bytes, functions.runner.memory_bytes
    yield from _sized("used_memory_lua", of_scripts)
    yield "used_memory_vm_eval", of_scripts
    yield "used_memory_scripts_eval", scripts.cached_bytes
    yield "number_of_cached_scripts", scripts.count
    yield "number_of_functions", functions.libraries.function_count
    yield "number_of_libraries", len(functions.libraries.by_name)
    yield "used_memory_vm_functions", of_functions
    yield from _sized("used_memory_vm_total", of_scripts + of_functions)
    yield "used_memory_functions", functions.memory_bytes
    yield from _sized("used_memory_scripts", scripts.cached_bytes + functions.memory_bytes)
    yield from _sized("maxmemory", server.config.maxmemory)
    yield "maxmemory_policy", server.config.maxmemory_policy
    yield "rss_overhead_ratio", f"{resident / max(1, taken):.2f}"  # the program's share
    yield "rss_overhead_bytes", resident - taken
    yield "mem_fragmentation_ratio", f"{taken / max(1, used):.2f}"
    yield "mem_fragmentation_bytes", taken - used
    yield "mem_not_counted_for_evict", memory.exempt_bytes
    yield "mem_replication_backlog", backlog
    yield "mem_total_replication_buffers", backlog
    ordinary, replicas = clients_memory(server)
    yield "mem_clients_slaves", replicas
    yield "mem_clients_normal", ordinary
    yield "mem_cluster_links", link_bytes(server)
    yield "mem_aof_buffer", server.persistence.aof.buffered_bytes
    yield "mem_allocator", "pymalloc"
    yield "active_defrag_running", 0
    yield "lazyfree_pending_objects", server.lazy_free.pending_objects
    yield "lazyfreed_objects", server.lazy_free.freed_objects


def link_bytes(server: Server) -> int:
    """What waits to be sent to other nodes."""
    return sum(link.queued_bytes for link in server.bus.links()) if server.bus is not None else 0


def _sized(name: str, size: int) -> Fields:
    yield name, size
    yield f"{name}_human", human_bytes(size)


def _persistence(server: Server) -> Fields:
    yield "loading", int(server.loading)
    link = server.replication.link
    yield "async_loading", int(link is not None and link.is_loading)
    yield from server.persistence.info()


def _stats(server: Server) -> Fields:
    stats = server.stats
    ctx = server.ctx
    yield "total_connections_received", stats.connections
    yield "total_commands_processed", sum(one.calls for one in server.table.every())
    yield "instantaneous_ops_per_sec", round(stats.commands_rate.per_second)
    yield "total_net_input_bytes", stats.input_bytes
    yield "total_net_output_bytes", stats.output_bytes
    yield "total_net_repl_input_bytes", stats.replication_input_bytes
    yield "total_net_repl_output_bytes", stats.replication_output_bytes
    yield "instantaneous_input_kbps", _kilobytes(stats.input_rate)
    yield "instantaneous_output_kbps", _kilobytes(stats.output_rate)
    yield "instantaneous_input_repl_kbps", _kilobytes(stats.replication_input_rate)
    yield "instantaneous_output_repl_kbps", _kilobytes(stats.replication_output_rate)
    yield "rejected_connections", stats.rejected_connections
    yield "sync_full", stats.full_syncs
    yield "sync_partial_ok", stats.partial_syncs_ok
    yield "sync_partial_err", stats.partial_syncs_err
    yield "expired_subkeys", stats.expired_fields
    yield "expired_keys", stats.expired_keys
    yield "expired_stale_perc", "0.00"
    yield "expired_time_cap_reached_count", stats.expired_time_cap_reached
    yield "expire_cycle_cpu_milliseconds", stats.expiry_ns // 1_000_000
    yield "evicted_keys", stats.evicted_keys
    yield "evicted_clients", stats.evicted_clients
    yield "total_eviction_exceeded_time", (stats.eviction_exceeded_us + server.memory.exceeding_us) // 1000
    yield "current_eviction_exceeded_time", server.memory.exceeding_us // 1000
    yield "keyspace_hits", ctx.hits
    yield "keyspace_misses", ctx.misses
    yield "pubsub_channels", len(server.pubsub.channels.listeners)
    yield "pubsub_patterns", len(server.pubsub.patterns.listeners)
    yield "pubsubshard_channels", len(server.pubsub.shard_channels.listeners)
    yield "latest_fork_usec", stats.last_fork_usec
    yield "total_forks", stats.forks
    yield "migrate_cached_sockets", stats.migrate_sockets
    yield "slave_expires_tracked_keys", stats.own_keys
    yield "tracking_total_keys", server.tracking.keys
    yield "tracking_total_items", server.tracking.items
    yield "tracking_total_prefixes", server.tracking.prefixes
    for short, reason in _DENIALS.items():
        yield f"acl_access_denied_{short}", stats.denied.get(reason, 0)
    yield "unexpected_error_replies", 0
    yield "total_error_replies", stats.error_replies
    yield "dump_payload_sanitizations", stats.payload_checks
    yield "total_reads_processed", stats.reads
    yield "total_writes_processed", stats.writes
    yield from dict.fromkeys(_NEVER, 0).items()
    yield "client_query_buffer_limit_disconnections", stats.input_limit_disconnections
    yield "client_output_buffer_limit_disconnections", stats.output_limit_disconnections


def _kilobytes(rate: Rate) -> str:
    return f"{rate.per_second / 1024:.2f}"


def _replication(server: Server) -> Fields:
    yield from replication_facts(server, server.replication)


def _cpu(_server: Server) -> Fields:
    system, user = cpu_seconds(resource.RUSAGE_SELF)
    children_system, children_user = cpu_seconds(resource.RUSAGE_CHILDREN)
    yield "used_cpu_sys", f"{system:.6f}"
    yield "used_cpu_user", f"{user:.6f}"
    yield "used_cpu_sys_children", f"{children_system:.6f}"
    yield "used_cpu_user_children", f"{children_user:.6f}"
    thread_system, thread_user = cpu_seconds(resource.RUSAGE_THREAD)
    yield "used_cpu_sys_main_thread", f"{thread_system:.6f}"
    yield "used_cpu_user_main_thread", f"{thread_user:.6f}"


def _modules(_server: Server) -> Fields:
    yield from ()


def _commandstats(server: Server) -> Fields:
    for one in server.table.every():
        if one.calls or one.rejected or one.failed:
            usec = one.spent_ns / 1000
            yield f"cmdstat_{one.full_name}", (
                f"calls={one.calls},usec={int(usec)},usec_per_call={usec / max(1, one.calls):.2f},"
                f"rejected_calls={one.rejected},failed_calls={one.failed}"
            )


def _errorstats(server: Server) -> Fields:
    for code, count in server.stats.errors.items():
        yield f"errorstat_{code}", f"count={count}"


def _latencystats(server: Server) -> Fields:
    if server.config.latency_tracking:
        for one in server.table.every():
            times = server.times.of(one)
            if times is not None:
                shown = shown_percentiles(times, server.config.latency_tracking_info_percentiles)
                yield f"latency_percentiles_usec_{one.full_name}", shown


def _cluster(server: Server) -> Fields:
    yield "cluster_enabled", int(server.cluster_enabled)


def _keyspace(server: Server) -> Fields:
    for db in server.databases:
        if keys := len(db):
            shown = f"keys={keys},expires={db.volatile_count()},avg_ttl={_average_ttl(server, db.index)}"
            yield f"db{db.index}", f"{shown},subexpiry={len(db.fields)}"


def _average_ttl(server: Server, index: int) -> int:
    """Mean of the first deadlines found; a full pass is not worth a figure nobody relies on."""
    found = []
    for deadlines in server.databases[index].deadlines:
        if deadlines:
            found.append(max(0, next(iter(deadlines.values())) - server.ctx.now_ms))
            if len(found) == 64:
                break
    return sum(found) // len(found) if found else 0


SECTIONS: dict[str, tuple[str, Callable[[Server], Fields]]] = {
    "server": ("Server", _server),
    "clients": ("Clients", _clients),
    "memory": ("Memory", _memory),
    "persistence": ("Persistence", _persistence),
    "stats": ("Stats", _stats),
    "replication": ("Replication", _replication),
    "cpu": ("CPU", _cpu),
    "modules": ("Modules", _modules),
    "commandstats": ("Commandstats", _commandstats),
    "errorstats": ("Errorstats", _errorstats),
    "latencystats": ("Latencystats", _latencystats),
    "cluster": ("Cluster", _cluster),
    "keyspace": ("Keyspace", _keyspace),
}
DEFAULT = tuple(name for name in SECTIONS if name not in ("commandstats", "latencystats"))
"""What INFO without a section shows."""


def render(server: Server, names: list[str]) -> str:
    """The text of the sections `names`, in the order of the table."""
    parts = []
    for name, (title, fields) in SECTIONS.items():
        if name in names:
            body = "".join(f"{key}:{value}\r\n" for key, value in fields(server))
            parts.append(f"# {title}\r\n{body}")
    return "\r\n".join(parts)
