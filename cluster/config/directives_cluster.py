"""The table of directives, part: the cluster, security, and the lines of a file that are no values."""

from __future__ import annotations

from cluster.config.checks import address_check, host_name_check, human_name_check
from cluster.config.compound import Lines
from cluster.config.directive import ACCEPTED, Directive, Section
from cluster.config.values import INT_MAX, LONG_MAX, ULONG_MAX, Choice, Integer, Memory, Text, YesNo

PORT = Integer(0, 65535)

CLUSTER = Section(
    "Cluster",
    [
        Directive(
            name="cluster-enabled", kind=YesNo(), default="no", immutable=True, about="the node is one of a cluster",
        ),
        Directive(
            name="cluster-config-file", kind=Text(), default="nodes.conf", immutable=True,
            about="the file in which the node keeps its view of the cluster",
        ),
        Directive(
            name="cluster-node-timeout", kind=Integer(0, LONG_MAX), default="15000",
            about="milliseconds of silence after which a node is held to be down",
        ),
        Directive(
            name="cluster-port", kind=PORT, default="0", immutable=True, about="the port of the bus; 0 is port + 10000"
        ),
        Directive(
            name="cluster-replica-validity-factor", alias="cluster-slave-validity-factor", kind=Integer(), default="10",
            about="node timeouts after which a replica's data is too old for a failover; 0: never",
        ),
        Directive(
            name="cluster-migration-barrier", kind=Integer(), default="1",
            about="replicas a primary keeps before one moves to an orphaned primary",
        ),
        Directive(
            name="cluster-allow-replica-migration", kind=YesNo(), default="yes", about="replicas may move on their own"
        ),
        Directive(
            name="cluster-require-full-coverage", kind=YesNo(), default="yes",
            about="the cluster is down while a slot has no owner",
        ),
        Directive(
            name="cluster-replica-no-failover", alias="cluster-slave-no-failover", kind=YesNo(), default="no",
            about="this replica never starts a failover by itself",
        ),
        Directive(
            name="cluster-allow-reads-when-down", kind=YesNo(), default="no",
            about="reads go on while the cluster is down",
        ),
        Directive(
            name="cluster-allow-pubsubshard-when-down", kind=YesNo(), default="yes",
            about="sharded pub/sub goes on while the cluster is down",
        ),
        Directive(
            name="cluster-link-sendbuf-limit", kind=Memory(0, ULONG_MAX), default="0",
            about="bytes a link of the bus may leave unsent; 0: no limit of its own",
        ),
        Directive(
            name="cluster-announce-ip", kind=Text(address_check), default="",
            about="the address told to clients and nodes",
        ),
        Directive(name="cluster-announce-port", kind=PORT, default="0", about="the port told to them"),
        Directive(name="cluster-announce-bus-port", kind=PORT, default="0", about="the bus port told to nodes"),
        Directive(
            name="cluster-announce-tls-port", kind=PORT, default="0", about="the TLS port told to them, of a proxy, say"
        ),
        Directive(
            name="cluster-announce-hostname", kind=Text(host_name_check), default="",
            about="the host name told to clients",
        ),
        Directive(
            name="cluster-announce-human-name", kind=Text(human_name_check), default="",
            about="the name of the node in logs",
        ),
        Directive(
            name="cluster-preferred-endpoint-type", kind=Choice(("ip", "hostname", "unknown-endpoint")), default="ip",
            about="what clients are redirected to",
        ),
        Directive(
            name="cluster-secret", kind=Text(any_byte=True), default="", immutable=True, hidden=True,
            about="the secret with which frames of the bus are authenticated (not a directive of Redis)",
        ),
        Directive(
            name="cluster-secret-file", kind=Text(), default="", immutable=True, hidden=True,
            about="the file that holds it (not a directive of Redis)",
        ),
        Directive(
            name="cluster-fast-failover", kind=YesNo(), default="yes", hidden=True,
            about="a refused connection starts a failover at once (not a directive of Redis)",
        ),
        Directive(
            name="cluster-write-acks", kind=Integer(0, INT_MAX), default="0", hidden=True,
            about="clients hear of a write after so many replicas have it (not a directive of Redis)",
        ),
        Directive(
            name="cluster-busy-limit", kind=Integer(0, LONG_MAX), default="60000", hidden=True,
            about="milliseconds after which a node that is busy with one command counts as stuck, and the others may "
                  "fail it over; 0: never (not a directive of Redis)",
        ),
    ],
)  # fmt: skip

SECURITY = Section(
    "Security",
    [
        Directive(name="requirepass", kind=Text(any_byte=True), default="", about="the password of the default user"),
        Directive(
            name="aclfile", kind=Text(), default="", immutable=True,
            about="the file that holds the users, for ACL LOAD and ACL SAVE",
        ),
        Directive(
            name="acl-pubsub-default", kind=Choice(("allchannels", "resetchannels")), default="resetchannels",
            about="the channels a new user may use",
        ),
        Directive(
            name="acllog-max-len", kind=Integer(0, LONG_MAX), default="128",
            about="entries ACL LOG keeps",
        ),
    ],
)  # fmt: skip

LINES = Section(
    "Lines of a file that CONFIG does not know",
    [
        Directive(
            name="rename-command", kind=Lines(2, 2), default="", adds_up="loading", unlisted=True,
            about="a command gets another name, or with \"\" none",
        ),
        Directive(
            name="user", kind=Lines(1), default="", adds_up="loading", unlisted=True,
            about="a user and its rules, as ACL SETUSER takes them",
        ),
        Directive(
            name="loadmodule", kind=Lines(1), default="", adds_up="loading", unlisted=True, effect=ACCEPTED,
            about="a module: refused",
        ),
        Directive(
            name="sentinel", kind=Lines(1), default="", adds_up="loading", unlisted=True,
            about="a line of Sentinel's file",
        ),
        *(
            Directive(name=name, kind=Text(), default="", unlisted=True, effect=ACCEPTED, about="gone since Redis 7")
            for name in ("list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands")
        ),
    ],
)  # fmt: skip
