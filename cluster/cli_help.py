"""What ``cluster-node --help`` and ``--version`` print."""

from __future__ import annotations

import textwrap

from cluster.config.directive import Directive
from cluster.config.directives import SECTIONS
from cluster.version import REDIS_VERSION, VERSION

_WIDTH = 100

_USAGE = """\
cluster-node {version}: a node of a Redis Cluster, compatible with Redis {redis}

Usage:
  cluster-node [--DIRECTIVE VALUE ...]                        a node of a cluster, with sensible defaults
  cluster-node FILE [--DIRECTIVE VALUE ...]                   what redis-server FILE would be
  cluster-node [FILE] [--DIRECTIVE VALUE ...] -               the same, more of the file from standard input
  cluster-node --config cluster.yaml --port PORT | --node N   one of the nodes of a YAML file
  cluster-node -h | --help                                    this text
  cluster-node -v | --version                                 the version

Without a FILE: cluster-enabled is yes, port is 7000, the bus is at port + 10000, and the data is in
./cluster-node-PORT, which is made; files named on the command line are meant from where it is typed, unless there is
a --dir to start from. With a FILE only the file counts: cluster-enabled is no unless it says yes.
With --config, --port or --node (counted from 1) tells which node this is.

Every directive can stand in a FILE as "name value", on the command line as --name value, and, if its line below
does not say "at start", in CONFIG SET at run time. Values: yes or no; numbers; memory sizes such as 64mb or 1gb
(1k is 1000 bytes, 1kb is 1024). What comes later wins; an unknown directive or a bad value ends the start with one
line on stderr and status 1. docs/directives.md says more about each.

Examples:
  cluster-node --port 7000
  cluster-node --port 7001 --dir /var/lib/node1 --maxmemory 256mb --maxmemory-policy allkeys-lru
  cluster-node /etc/redis/redis.conf --loglevel verbose
  echo "port 6380" | cluster-node - --save ""
  cluster-node --config cluster.yaml --port 7002
"""


def version_line() -> str:
    return f"cluster-node v={VERSION} compatible with Redis server v={REDIS_VERSION} bits=64"


def help_text() -> str:
    """The whole of --help: the usage, then every directive by section, with its default."""
    parts = [_USAGE.format(version=VERSION, redis=REDIS_VERSION)]
    for section in SECTIONS:
        shown = [directive for directive in section.directives if not directive.hidden or _is_ours(directive)]
        parts.append(f"{section.title}:\n" + "".join(_entry(directive) for directive in shown if directive.has_effect))
        idle = [directive.name for directive in shown if not directive.has_effect]
        if idle:
            parts.append(_fill(f"  Accepted without effect: {', '.join(idle)}", "    "))
    return "\n".join(parts)


def _is_ours(directive: Directive) -> bool:
    return directive.name in (
        "cluster-secret", "cluster-secret-file", "cluster-fast-failover", "cluster-write-acks", "cluster-busy-limit",
    )


def _entry(directive: Directive) -> str:
    default = "" if directive.unlisted else f" [{directive.default or 'none'}]"
    when = ", at start" if directive.immutable else ""
    head = f"  --{directive.name}{default}{when}"
    return _fill(f"{head}: {directive.about}", "        ")


def _fill(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False) + "\n"
