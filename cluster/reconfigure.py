"""What a changed directive sets going: CONFIG SET's effects on the running node, and the ones of the start.

A directive that is simply read when it matters (timeout, hz, client-query-buffer-limit …) needs nothing here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import tls
from cluster.config.directives import DIRECTIVES
from cluster.config.errors import ConfigError
from cluster.config.files import change_directory, read_users, rewrite_configuration, write_users
from cluster.config.store import Configuration
from cluster.config.values import BadValue
from cluster.descriptors import provide
from cluster.keyspace import encodings
from cluster.network.listeners import ListenError, listen_tcp, open_listeners

if TYPE_CHECKING:
    from cluster.commands.registry import CommandTable
    from cluster.log import Log
    from cluster.network.reactor import Reactor
    from cluster.server import Server

_CLUSTER_PREFIX = "cluster-"
_OF_PORTS = ("port", "tls-port", "tls-cluster", "tls-replication")
"""What else the other nodes of a cluster are told, or where to find a primary."""


def rename_commands(table: CommandTable, config: Configuration) -> None:
    """Carry out rename-command. Raises ConfigError."""
    for (old, new), line in zip(config.rename_command, config.lines("rename-command"), strict=True):
        try:
            table.rename(old, new)
        except KeyError:
            raise ConfigError("No such command in rename-command", line.place, line.line) from None
        except ValueError:
            raise ConfigError("Target command name already exists", line.place, line.line) from None


def follow_configuration(server: Server, reactor: Reactor, log: Log) -> None:
    """Carry out what the configuration says now, and again whenever CONFIG SET changes it."""
    config = server.config
    memory = partial(_limit_memory, server, log)

    def level(_config: Configuration) -> None:
        log.level = config.loglevel

    def bulk_limit(_config: Configuration) -> None:
        for client in server.clients.values():
            client.parser.bulk_limit_bytes = config.proto_max_bulk_len

    def backlog(_config: Configuration) -> None:
        server.replication.resize_backlog(config.repl_backlog_size)

    def cluster(_config: Configuration) -> None:
        if server.bus is not None:
            server.bus.configure()

    provide_files(server)
    memory(config)
    server.replication.write_acks.configure()
    server.key_events.configure(config)
    config.on_change(["dir"], change_directory)
    config.on_change(["maxclients"], provide)
    follow_rights(server)
    config.on_change(["maxmemory", "maxmemory-policy", "replica-ignore-maxmemory"], memory)
    config.on_change(["notify-keyspace-events"], server.key_events.configure)
    for name in ("min-replicas-to-write", "min-replicas-max-lag", "replica-read-only"):
        config.on_change([name], lambda _: server.refresh_road())
    config.on_change(["cluster-write-acks"], lambda _: server.replication.write_acks.configure())
    config.on_change(["replica-serve-stale-data"], lambda _: server.replication.link_changed())
    config.on_change(["loglevel"], level)
    config.on_change(["proto-max-bulk-len"], bulk_limit)
    config.on_change(["port", "tls-port", "bind"], partial(_listen_anew, reactor))
    config.on_change(["repl-backlog-size"], backlog)
    config.on_change([*(one.name for one in DIRECTIVES if one.name.startswith(_CLUSTER_PREFIX)), *_OF_PORTS], cluster)
    # Last, for nothing that can still be refused may follow: files that were good may be no more.
    config.on_change(tls.DIRECTIVES, partial(_renew_tls, server))


def follow_rights(server: Server) -> None:
    """Let the users be what the configuration says of them."""
    server.config.on_change(["requirepass"], lambda _: server.access.take_password())
    server.config.on_change(["acl-pubsub-default"], lambda _: server.access.configure())


def provide_files(server: Server) -> None:
    """Let commands write the configuration, and read and write the users' file."""
    config = server.config

    def rewrite() -> None:
        rewrite_configuration(config, server.access.lines_to_rewrite())

    server.shell.rewrite_configuration = rewrite
    server.shell.read_users = partial(read_users, config)
    server.shell.write_users = partial(write_users, config)


def _limit_memory(server: Server, log: Log, config: Configuration) -> None:
    memory = server.memory
    memory.configure()
    if config.maxmemory and memory.limited_bytes > config.maxmemory:
        log(
            "warning", f"maxmemory ({config.maxmemory}) is less than what is used already ({memory.limited_bytes}): "
            "keys are evicted, or writes refused, as maxmemory-policy says."
        )
    server.refresh_observed()
    server.refresh_road()


def keep_encodings(server: Server) -> None:
    """See to it that a change of thresholds (`hash-max-listpack-entries` …) leaves what is there as it is."""
    config = server.config
    thresholds = encodings.picture(config)

    def changed(_config: Configuration) -> None:
        nonlocal thresholds
        before, thresholds = thresholds, encodings.picture(config)
        encodings.settle(server.databases, before)

    config.on_change([name.replace("_", "-") for name in encodings.Picture._fields], changed)


def _renew_tls(server: Server, _config: Configuration) -> None:
    """Take the certificates for those who connect from now on; or refuse the change."""
    try:
        server.tls.load()
    except tls.TlsError as error:
        server.log("warning", str(error))
        raise BadValue("Unable to update TLS configuration. Check server logs.") from None


def _listen_anew(reactor: Reactor, config: Configuration) -> None:
    """Move to the new addresses; when they cannot be had, stay on the old ones and refuse the change."""
    # The old sockets go first: a new address may hold an old one ('*' and 127.0.0.1), and Linux allows no two of these.
    before = reactor.tcp_addresses()
    reactor.replace_listeners([])
    try:
        listeners = open_listeners(config, unix=False)
    except ListenError as error:
        again = [listen_tcp(host, port, config.tcp_backlog, tls=tls) for host, port, tls in before]
        reactor.replace_listeners([one for one in again if one is not None])
        raise BadValue(f"Unable to listen on this port or address ({error})") from None
    reactor.replace_listeners(listeners)
