"""The values of a configuration with their types: one attribute a directive, in the order of the table.

They are declared here so that mypy knows them and a misspelt name is found before it runs; a test holds this list and
the table of directives to be the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster.config.compound import OutputLimit, SavePoint


class Attributes:
    """Annotations only; `Configuration` sets every one."""

    # Network
    bind: tuple[str, ...]
    port: int
    tcp_backlog: int
    unixsocket: str
    unixsocketperm: int
    timeout: int
    tcp_keepalive: int
    protected_mode: bool
    enable_protected_configs: str
    enable_debug_command: str
    enable_module_command: str
    bind_source_addr: str
    socket_mark_id: int

    # Clients
    maxclients: int
    client_output_buffer_limit: Mapping[str, OutputLimit]
    client_query_buffer_limit: int
    proto_max_bulk_len: int
    maxmemory_clients: int
    tracking_table_max_keys: int
    max_new_connections_per_cycle: int
    max_new_tls_connections_per_cycle: int

    # TLS
    tls_port: int
    tls_cluster: bool
    tls_replication: bool
    tls_auth_clients: str
    tls_cert_file: str
    tls_key_file: str
    tls_key_file_pass: str
    tls_client_cert_file: str
    tls_client_key_file: str
    tls_client_key_file_pass: str
    tls_ca_cert_file: str
    tls_ca_cert_dir: str
    tls_protocols: str
    tls_ciphers: str
    tls_ciphersuites: str
    tls_prefer_server_ciphers: bool
    tls_dh_params_file: str
    tls_session_caching: bool
    tls_session_cache_size: int
    tls_session_cache_timeout: int

    # Process and log
    daemonize: bool
    supervised: str
    pidfile: str
    loglevel: str
    logfile: str
    syslog_enabled: bool
    syslog_ident: str
    syslog_facility: str
    crash_log_enabled: bool
    crash_memcheck_enabled: bool
    always_show_logo: bool
    set_proc_title: bool
    proc_title_template: str
    hz: int
    dynamic_hz: bool
    shutdown_timeout: int
    shutdown_on_sigint: tuple[str, ...]
    shutdown_on_sigterm: tuple[str, ...]
    io_threads: int
    io_threads_do_reads: bool
    server_cpulist: str
    bio_cpulist: str
    aof_rewrite_cpulist: str
    bgsave_cpulist: str
    oom_score_adj: str
    oom_score_adj_values: tuple[int, ...]
    disable_thp: bool
    ignore_warnings: str
    watchdog_period: int
    locale_collate: str

    # Directory
    dir: str
    dbfilename: str

    # Security
    requirepass: str
    aclfile: str
    acl_pubsub_default: str
    acllog_max_len: int

    # Memory and expiry
    databases: int
    maxmemory: int
    maxmemory_policy: str
    maxmemory_samples: int
    maxmemory_eviction_tenacity: int
    lfu_log_factor: int
    lfu_decay_time: int
    active_expire_effort: int
    lazyfree_lazy_eviction: bool
    lazyfree_lazy_expire: bool
    lazyfree_lazy_server_del: bool
    lazyfree_lazy_user_del: bool
    lazyfree_lazy_user_flush: bool
    activerehashing: bool
    activedefrag: bool
    active_defrag_ignore_bytes: int
    active_defrag_threshold_lower: int
    active_defrag_threshold_upper: int
    active_defrag_cycle_min: int
    active_defrag_cycle_max: int
    active_defrag_max_scan_fields: int
    jemalloc_bg_thread: bool

    # Encodings
    hash_max_listpack_entries: int
    hash_max_listpack_value: int
    list_max_listpack_size: int
    list_compress_depth: int
    set_max_intset_entries: int
    set_max_listpack_entries: int
    set_max_listpack_value: int
    zset_max_listpack_entries: int
    zset_max_listpack_value: int
    hll_sparse_max_bytes: int
    stream_node_max_bytes: int
    stream_node_max_entries: int

    # Events, latency and scripts
    notify_keyspace_events: str
    slowlog_log_slower_than: int
    slowlog_max_len: int
    latency_monitor_threshold: int
    latency_tracking: bool
    latency_tracking_info_percentiles: tuple[float, ...]
    busy_reply_threshold: int
    lua_enable_deprecated_api: bool

    # Snapshots
    save: tuple[SavePoint, ...]
    stop_writes_on_bgsave_error: bool
    bgsave_method: str
    rdbcompression: bool
    rdbchecksum: bool
    sanitize_dump_payload: str
    rdb_save_incremental_fsync: bool
    rdb_key_save_delay: int
    key_load_delay: int
    loading_process_events_interval_bytes: int

    # Append-only file
    appendonly: bool
    appendfilename: str
    appenddirname: str
    appendfsync: str
    no_appendfsync_on_rewrite: bool
    auto_aof_rewrite_percentage: int
    auto_aof_rewrite_min_size: int
    aof_load_truncated: bool
    aof_use_rdb_preamble: bool
    aof_timestamp_enabled: bool
    aof_rewrite_incremental_fsync: bool
    aof_disable_auto_gc: bool

    # Replication
    replicaof: tuple[str, int] | None
    masterauth: str
    masteruser: str
    replica_serve_stale_data: bool
    replica_read_only: bool
    repl_diskless_sync: bool
    repl_diskless_sync_delay: int
    repl_diskless_sync_max_replicas: int
    repl_diskless_load: str
    repl_ping_replica_period: int
    repl_timeout: int
    repl_disable_tcp_nodelay: bool
    repl_backlog_size: int
    repl_backlog_ttl: int
    replica_priority: int
    propagation_error_behavior: str
    replica_ignore_disk_write_errors: bool
    replica_announced: bool
    min_replicas_to_write: int
    min_replicas_max_lag: int
    replica_announce_ip: str
    replica_announce_port: int
    replica_ignore_maxmemory: bool
    replica_lazy_flush: bool
    rdb_del_sync_files: bool

    # Cluster
    cluster_enabled: bool
    cluster_config_file: str
    cluster_node_timeout: int
    cluster_port: int
    cluster_replica_validity_factor: int
    cluster_migration_barrier: int
    cluster_allow_replica_migration: bool
    cluster_require_full_coverage: bool
    cluster_replica_no_failover: bool
    cluster_allow_reads_when_down: bool
    cluster_allow_pubsubshard_when_down: bool
    cluster_link_sendbuf_limit: int
    cluster_announce_ip: str
    cluster_announce_port: int
    cluster_announce_bus_port: int
    cluster_announce_tls_port: int
    cluster_announce_hostname: str
    cluster_announce_human_name: str
    cluster_preferred_endpoint_type: str
    cluster_secret: str
    cluster_secret_file: str
    cluster_fast_failover: bool
    cluster_write_acks: int
    cluster_busy_limit: int

    # Lines of a file that CONFIG does not know
    rename_command: tuple[tuple[str, ...], ...]
    user: tuple[tuple[str, ...], ...]
    loadmodule: tuple[tuple[str, ...], ...]
    sentinel: tuple[tuple[str, ...], ...]
    list_max_ziplist_entries: str
    list_max_ziplist_value: str
    lua_replicate_commands: str
