"""The table of directives, part: sockets, clients, TLS, the process and its log."""

from __future__ import annotations

from cluster.config.checks import file_name_check, title_template_check
from cluster.config.compound import Addresses, OutputLimits, ScoreAdjustments, ShutdownOptions
from cluster.config.directive import ACCEPTED, Directive, Section
from cluster.config.values import UINT_MAX, Choice, Integer, Memory, MemoryOrPercent, Octal, Text, YesNo

PORT = Integer(0, 65535)
GUARDED = Choice(("no", "yes", "local"))
MEGABYTE = 1024 * 1024

_NO_THREADS = "one thread serves the clients"
_NO_CPU_LISTS = "the operating system places the process"

NETWORK = Section(
    "Network",
    [
        Directive(name="bind", kind=Addresses(), default="* -::*", about="the addresses to listen on"),
        Directive(name="port", kind=PORT, default="6379", about="the port for clients; 0 is none"),
        Directive(
            name="tcp-backlog", kind=Integer(), default="511", immutable=True, about="length of the accept queue",
        ),
        Directive(
            name="unixsocket", kind=Text(), default="", immutable=True, about="path of a Unix socket to listen on too"
        ),
        Directive(
            name="unixsocketperm", kind=Octal(), default="0", immutable=True, about="its permissions, in octal; 0 keeps"
        ),
        Directive(
            name="timeout", kind=Integer(), default="0", about="seconds until an idle client is closed; 0: never",
        ),
        Directive(
            name="tcp-keepalive", kind=Integer(), default="300", about="seconds between keepalive probes; 0: none",
        ),
        Directive(
            name="protected-mode", kind=YesNo(), default="yes",
            about="without a password, clients from other hosts are refused",
        ),
        Directive(
            name="enable-protected-configs", kind=GUARDED, default="no", immutable=True,
            about="who may set protected directives: no one, all, or local clients",
        ),
        Directive(
            name="enable-debug-command", kind=GUARDED, default="no", immutable=True,
            about="who may use DEBUG: no one, all, or local clients",
        ),
        Directive(
            name="enable-module-command", kind=GUARDED, default="no", immutable=True,
            about="who may call MODULE; modules cannot be loaded all the same",
        ),
        Directive(
            name="bind-source-addr", kind=Text(), default="",
            about="the address that a sentinel's connections come from; for a node's the system chooses one",
        ),
        Directive(
            name="socket-mark-id", kind=Integer(0, UINT_MAX), default="0", immutable=True, effect=ACCEPTED,
            about="sockets are not marked",
        ),
    ],
)

CLIENTS = Section(
    "Clients",
    [
        Directive(
            name="maxclients", kind=Integer(1, UINT_MAX), default="10000", about="connections beyond this are refused"
        ),
        Directive(
            name="client-output-buffer-limit", kind=OutputLimits(), adds_up="always",
            default="normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
            about="what a client of a class may leave unread: hard limit, soft limit and its seconds",
        ),
        Directive(
            name="client-query-buffer-limit", kind=Memory(MEGABYTE), default="1gb",
            about="bytes of a request not yet whole; more closes the client",
        ),
        Directive(
            name="proto-max-bulk-len", kind=Memory(MEGABYTE), default="512mb", about="the longest single argument"
        ),
        Directive(
            name="maxmemory-clients", kind=MemoryOrPercent(), default="0",
            about="what clients may hold together before the largest are disconnected; 0: no limit",
        ),
        Directive(
            name="tracking-table-max-keys", kind=Integer(0, 2**63 - 1), default="1000000",
            about="keys remembered for client-side caching",
        ),
        Directive(name="max-new-connections-per-cycle", kind=Integer(1, 1000), default="10", hidden=True,
                  effect=ACCEPTED, about="all that wait are accepted"),
        Directive(name="max-new-tls-connections-per-cycle", kind=Integer(1, 1000), default="1", hidden=True,
                  about="so many handshakes of TLS go on before other clients have their turn"),
    ],
)  # fmt: skip

TLS = Section(
    "TLS",
    [
        Directive(name="tls-port", kind=PORT, default="0", about="the port for clients that speak TLS; 0 is none"),
        Directive(
            name="tls-cluster", kind=YesNo(), default="no",
            about="the bus speaks TLS, nodes show each other their certificates, and MIGRATE speaks it to them",
        ),
        Directive(
            name="tls-replication", kind=YesNo(), default="no",
            about="the connection to the primary is TLS; so are those of a sentinel",
        ),
        Directive(
            name="tls-auth-clients", kind=Choice(("no", "yes", "optional")), default="yes",
            about="whether clients have to show a certificate, or may",
        ),
        Directive(name="tls-cert-file", kind=Text(), default="", volatile=True,
                  about="this node's certificate, and those between it and the authority's (PEM)"),
        Directive(name="tls-key-file", kind=Text(), default="", volatile=True, about="its private key (PEM)"),
        Directive(
            name="tls-key-file-pass", kind=Text(any_byte=True), default="", about="what the key is encrypted with",
        ),
        Directive(name="tls-client-cert-file", kind=Text(), default="", volatile=True,
                  about="a certificate of its own where this node is the client; else it shows tls-cert-file"),
        Directive(name="tls-client-key-file", kind=Text(), default="", volatile=True, about="its private key"),
        Directive(
            name="tls-client-key-file-pass", kind=Text(any_byte=True), default="", about="what that is encrypted with",
        ),
        Directive(name="tls-ca-cert-file", kind=Text(), default="", volatile=True,
                  about="the certificates of the authorities that others' certificates come from (PEM)"),
        Directive(name="tls-ca-cert-dir", kind=Text(), default="", volatile=True,
                  about="a directory of these, named by their hashes"),
        Directive(name="tls-protocols", kind=Text(), default="",
                  about="of TLSv1 TLSv1.1 TLSv1.2 TLSv1.3 those that are spoken; empty is TLSv1.2 and TLSv1.3"),
        Directive(name="tls-ciphers", kind=Text(), default="",
                  about="ciphers for TLSv1.2 and below, by OpenSSL's names"),
        Directive(name="tls-ciphersuites", kind=Text(), default="", effect=ACCEPTED,
                  about="Python's ssl leaves those of TLSv1.3 to OpenSSL"),
        Directive(name="tls-prefer-server-ciphers", kind=YesNo(), default="no",
                  about="the order of tls-ciphers decides, not that of the client"),
        Directive(name="tls-dh-params-file", kind=Text(), default="", volatile=True,
                  about="parameters for DHE ciphers, which are not offered without"),
        Directive(name="tls-session-caching", kind=YesNo(), default="yes",
                  about="clients are given tickets by which they can go on with a session"),
        Directive(name="tls-session-cache-size", kind=Integer(), default="20480", effect=ACCEPTED,
                  about="Python's ssl leaves that to OpenSSL; tickets are kept by the clients"),
        Directive(name="tls-session-cache-timeout", kind=Integer(), default="300", effect=ACCEPTED,
                  about="Python's ssl leaves that to OpenSSL"),
    ],
)  # fmt: skip

PROCESS = Section(
    "Process and log",
    [
        Directive(name="daemonize", kind=YesNo(), default="no", immutable=True,
                  about="run in the background; the nodes of scripts/bring-up, which watches them, do not"),
        Directive(
            name="supervised", kind=Choice(("upstart", "systemd", "auto", "no")), default="no", immutable=True,
            effect=ACCEPTED, about="the process stays in front, which every supervisor understands",
        ),
        Directive(name="pidfile", kind=Text(), default="", immutable=True, about="where the process id is written"),
        Directive(
            name="loglevel", kind=Choice(("debug", "verbose", "notice", "warning", "nothing")),
            default="notice", about="the least important lines that are logged",
        ),
        Directive(name="logfile", kind=Text(), default="", immutable=True, about="the log; empty is standard output"),
        Directive(
            name="syslog-enabled", kind=YesNo(), default="no", immutable=True, effect=ACCEPTED,
            about="there is no syslog; the log goes to logfile or standard output",
        ),
        Directive(
            name="syslog-ident", kind=Text(), default="redis", immutable=True, effect=ACCEPTED,
            about="see syslog-enabled",
        ),
        Directive(
            name="syslog-facility", kind=Choice(("user", *(f"local{number}" for number in range(8)))), default="local0",
            immutable=True, effect=ACCEPTED, about="see syslog-enabled",
        ),
        Directive(
            name="crash-log-enabled", kind=YesNo(), default="yes", effect=ACCEPTED,
            about="a failure is logged with its traceback in any case",
        ),
        Directive(
            name="crash-memcheck-enabled", kind=YesNo(), default="yes", effect=ACCEPTED, about="memory is not tested"
        ),
        Directive(
            name="always-show-logo", kind=YesNo(), default="no", immutable=True, effect=ACCEPTED,
            about="there is no logo",
        ),
        Directive(
            name="set-proc-title", kind=YesNo(), default="yes", immutable=True, effect=ACCEPTED,
            about="the process keeps its command line",
        ),
        Directive(
            name="proc-title-template", kind=Text(title_template_check), default="{title} {listen-addr} {server-mode}",
            effect=ACCEPTED, about="the process keeps its command line",
        ),
        Directive(
            name="hz", kind=Integer(clamp_low=1, clamp_high=500), default="10", about="background rounds per second"
        ),
        Directive(
            name="dynamic-hz", kind=YesNo(), default="yes", effect=ACCEPTED, about="hz does not depend on the clients"
        ),
        Directive(
            name="shutdown-timeout", kind=Integer(), default="10", about="seconds a stopping primary waits for replicas"
        ),
        Directive(
            name="shutdown-on-sigint", kind=ShutdownOptions(), default="default", about="how SIGINT shuts down"
        ),
        Directive(
            name="shutdown-on-sigterm", kind=ShutdownOptions(), default="default", about="how SIGTERM shuts down"
        ),
        Directive(name="io-threads", kind=Integer(1, 128), default="1", immutable=True, effect=ACCEPTED,
                  about=_NO_THREADS),
        Directive(name="io-threads-do-reads", kind=YesNo(), default="no", immutable=True, effect=ACCEPTED,
                  about=_NO_THREADS),
        *(
            Directive(name=f"{name}_cpulist", kind=Text(), default="", immutable=True, effect=ACCEPTED,
                      about=_NO_CPU_LISTS)
            for name in ("server", "bio", "aof_rewrite", "bgsave")
        ),
        Directive(
            name="oom-score-adj", kind=Choice(("no", "yes", "absolute"), {"relative": "yes"}), default="no",
            effect=ACCEPTED, about="the kernel's score is left alone",
        ),
        Directive(
            name="oom-score-adj-values", kind=ScoreAdjustments(), default="0 200 800", effect=ACCEPTED,
            about="see oom-score-adj",
        ),
        Directive(
            name="disable-thp", kind=YesNo(), default="yes", immutable=True, effect=ACCEPTED,
            about="huge pages are left to the operating system",
        ),
        Directive(name="ignore-warnings", kind=Text(), default="", effect=ACCEPTED, about="there are none to ignore"),
        Directive(
            name="watchdog-period", kind=Integer(), default="0", hidden=True, effect=ACCEPTED,
            about="there is no watchdog",
        ),
        Directive(name="locale-collate", kind=Text(), default="", effect=ACCEPTED, about="text sorts by code point"),
    ],
)  # fmt: skip

FILES = Section(
    "Directory",
    [
        Directive(
            name="dir", kind=Text(), default=".", protected=True,
            about="the directory of the data; relative paths start there",
        ),
        Directive(
            name="dbfilename", kind=Text(file_name_check("dbfilename", empty=True)), default="dump.rdb", protected=True,
            about="the name of the snapshot",
        ),
    ],
)  # fmt: skip
