"""The table of directives, part: snapshots, the append-only file, and replication."""

from __future__ import annotations

from cluster.config.checks import file_name_check
from cluster.config.compound import PrimaryAddress, SavePoints
from cluster.config.directive import ACCEPTED, Directive, Section
from cluster.config.values import INT_MAX, INT_MIN, LONG_MAX, Choice, Integer, Memory, Text, YesNo

SMALLEST_BACKLOG = 16 * 1024
PORT = Integer(0, 65535)

SNAPSHOTS = Section(
    "Snapshots",
    [
        Directive(
            name="save", kind=SavePoints(), default="3600 1 300 100 60 10000", adds_up="loading",
            about="when a snapshot is due: pairs of seconds and changes",
        ),
        Directive(
            name="stop-writes-on-bgsave-error", kind=YesNo(), default="yes", about="no writes after a snapshot failed"
        ),
        Directive(
            name="bgsave-method", kind=Choice(("fork", "in-process")), default="fork", hidden=True,
            about="who writes snapshots in the background: a child that is forked, or the process itself beside its "
            "other work, where there is no memory to spare (docs/performance.md; not a directive of Redis)",
        ),
        Directive(name="rdbcompression", kind=YesNo(), default="yes", about="long strings are compressed with LZF"),
        Directive(
            name="rdbchecksum", kind=YesNo(), default="yes", immutable=True, about="snapshots end with their CRC-64"
        ),
        Directive(
            name="sanitize-dump-payload", kind=Choice(("no", "yes", "clients")), default="no", effect=ACCEPTED,
            about="payloads are always checked in full",
        ),
        Directive(
            name="rdb-save-incremental-fsync", kind=YesNo(), default="yes",
            about="snapshots are synced every 4 MB, so that the disk has not everything to take at the end",
        ),
        Directive(
            name="rdb-key-save-delay", kind=Integer(INT_MIN, INT_MAX), default="0", hidden=True,
            about="microseconds for which the writer of a snapshot rests before each key; negative: one before so many",
        ),
        Directive(
            name="key-load-delay", kind=Integer(INT_MIN, INT_MAX), default="0", hidden=True,
            about="microseconds to rest for each key loaded, from a file or a primary; negative: one behind so many",
        ),
        Directive(
            name="loading-process-events-interval-bytes", kind=Integer(1024), default="2097152", hidden=True,
            about="bytes of a snapshot between two looks at the clients while it is loaded at the start",
        ),
    ],
)  # fmt: skip

APPEND_ONLY = Section(
    "Append-only file",
    [
        Directive(name="appendonly", kind=YesNo(), default="no", about="every write is logged"),
        Directive(
            name="appendfilename", kind=Text(file_name_check("appendfilename")), default="appendonly.aof",
            immutable=True, about="the beginning of the names of its files",
        ),
        Directive(
            name="appenddirname", kind=Text(file_name_check("appenddirname", what="dirname")), default="appendonlydir",
            immutable=True, about="the directory of its files",
        ),
        Directive(
            name="appendfsync", kind=Choice(("everysec", "always", "no")), default="everysec",
            about="when it is synced",
        ),
        Directive(
            name="no-appendfsync-on-rewrite", kind=YesNo(), default="no",
            about="no fsync while a rewrite is at work",
        ),
        Directive(
            name="auto-aof-rewrite-percentage", kind=Integer(), default="100",
            about="growth that starts a rewrite; 0: none",
        ),
        Directive(
            name="auto-aof-rewrite-min-size", kind=Memory(), default="64mb",
            about="size from which it may start",
        ),
        Directive(
            name="aof-load-truncated", kind=YesNo(), default="yes",
            about="a torn end is cut off at the start",
        ),
        Directive(
            name="aof-use-rdb-preamble", kind=YesNo(), default="yes",
            about="a rewrite begins with a snapshot",
        ),
        Directive(
            name="aof-timestamp-enabled", kind=YesNo(), default="no", about="the file has timestamps",
        ),
        Directive(
            name="aof-rewrite-incremental-fsync", kind=YesNo(), default="yes", effect=ACCEPTED,
            about="one fsync at the end",
        ),
        Directive(
            name="aof-disable-auto-gc", kind=YesNo(), default="no", about="old files of it are kept",
        ),
    ],
)  # fmt: skip

REPLICATION = Section(
    "Replication",
    [
        Directive(
            name="replicaof", alias="slaveof", kind=PrimaryAddress(), default="", immutable=True,
            about="the primary to follow, outside a cluster",
        ),
        Directive(name="masterauth", kind=Text(any_byte=True), default="", about="the password for the primary"),
        Directive(name="masteruser", kind=Text(any_byte=True), default="", about="the user for the primary"),
        Directive(
            name="replica-serve-stale-data", alias="slave-serve-stale-data", kind=YesNo(), default="yes",
            about="a replica without its primary answers reads",
        ),
        Directive(
            name="replica-read-only", alias="slave-read-only", kind=YesNo(), default="yes",
            about="clients cannot write to a replica",
        ),
        Directive(
            name="repl-diskless-sync", kind=YesNo(), default="yes",
            about="a full sync of more than 5000 keys or 4 MB is sent as it is made, not written to a file first",
        ),
        Directive(
            name="repl-diskless-sync-delay", kind=Integer(), default="5",
            about="seconds for which such a full sync waits for more replicas",
        ),
        Directive(
            name="repl-diskless-sync-max-replicas", kind=Integer(), default="0",
            about="so many replicas are not waited for any longer; 0: any number is",
        ),
        Directive(
            name="repl-diskless-load", kind=Choice(("disabled", "on-empty-db", "swapdb")), default="disabled",
            about="a snapshot that comes is kept in a file until it is loaded; else in memory. The old data are served "
            "until then in any case",
        ),
        Directive(
            name="repl-ping-replica-period", alias="repl-ping-slave-period", kind=Integer(1), default="10",
            about="seconds between a primary's pings",
        ),
        Directive(name="repl-timeout", kind=Integer(1), default="60", about="seconds of silence that end a link"),
        Directive(
            name="repl-disable-tcp-nodelay", kind=YesNo(), default="no",
            about="the stream goes in fewer packets, and later",
        ),
        Directive(
            name="repl-backlog-size", kind=Memory(1, clamp_low=SMALLEST_BACKLOG), default="1mb",
            about="bytes of the stream kept for partial syncs",
        ),
        Directive(
            name="repl-backlog-ttl", kind=Integer(0, LONG_MAX), default="3600",
            about="seconds without replicas until it is freed; 0: never",
        ),
        Directive(
            name="replica-priority", alias="slave-priority", kind=Integer(), default="100",
            about="for Sentinel: the lowest is promoted first, 0 never",
        ),
        Directive(
            name="propagation-error-behavior", kind=Choice(("ignore", "panic", "panic-on-replicas")), default="ignore",
            effect=ACCEPTED, about="a replica logs a command of the stream that fails, and goes on",
        ),
        Directive(
            name="replica-ignore-disk-write-errors", kind=YesNo(), default="no", effect=ACCEPTED,
            about="a replica whose disk fails goes on, and logs it",
        ),
        Directive(
            name="replica-announced", kind=YesNo(), default="yes", about="Sentinel is told of this replica"
        ),
        Directive(name="min-replicas-to-write", alias="min-slaves-to-write", kind=Integer(), default="0",
                  about="writes are refused with fewer good replicas"),
        Directive(name="min-replicas-max-lag", alias="min-slaves-max-lag", kind=Integer(), default="10",
                  about="seconds of lag up to which a replica is good"),
        Directive(name="replica-announce-ip", alias="slave-announce-ip", kind=Text(), default="",
                  about="the address a replica says it has"),
        Directive(name="replica-announce-port", alias="slave-announce-port", kind=PORT, default="0",
                  about="the port a replica says it has"),
        Directive(name="replica-ignore-maxmemory", alias="slave-ignore-maxmemory", kind=YesNo(), default="yes",
                  about="a replica leaves eviction to its primary"),
        Directive(name="replica-lazy-flush", alias="slave-lazy-flush", kind=YesNo(), default="no",
                  about="INFO counts what a full sync replaces as freed in the background"),
        Directive(name="rdb-del-sync-files", kind=YesNo(), default="no",
                  about="files of full syncs are deleted where neither save points nor an append-only file are set"),
    ],
)  # fmt: skip
