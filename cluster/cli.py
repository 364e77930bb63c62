"""The command line of cluster-node: what was asked for, as a value. Nothing is started and nothing printed here.

There are three ways to start. Without a file the node is one of a cluster, with a directory of its own; with a file,
or ``-``, everything means what it means to redis-server; with ``--config cluster.yaml`` the node is one of those the
YAML file describes. In each, further ``--directive value …`` come last and win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.config.errors import ConfigError
from cluster.config.redis_conf import Expand, ReadText, parse_file, parse_options
from cluster.config.store import Configuration, Setting
from cluster.version import REDIS_VERSION, VERSION

DEFAULT_PORT = 7000


@dataclass(frozen=True, slots=True)
class StartOptions:
    """`show`: text to print and end with status 0; else `config` is there. `sentinel`: start as a Sentinel.

    `create_directory`: `config.dir` is ours to make; a directory that a redis.conf names has to be there.
    """

    config: Configuration | None = None
    show: str = ""
    sentinel: bool = False
    create_directory: bool = False


def version_line() -> str:
    return f"cluster-node v={VERSION} (Redis {REDIS_VERSION} compatible)"


def parse_command_line(argv: Sequence[str], read: ReadText, expand: Expand) -> StartOptions:
    """`argv` without the program's name. Raises ConfigError with the one line to print before ending with 1."""
    if list(argv) in (["--version"], ["-v"]):
        return StartOptions(show=version_line())
    if list(argv) in (["--help"], ["-h"]):
        return StartOptions(show=version_line())
    if argv and (argv[0] == "-" or not argv[0].startswith("--")):
        settings = [*parse_file(argv[0], read, expand), *parse_options(argv[1:])]
        return StartOptions(config=Configuration(settings, file_path="" if argv[0] == "-" else argv[0]))
    return _without_file(list(parse_options(argv)))


def _without_file(given: list[Setting]) -> StartOptions:
    given.insert(0, Setting("cluster-enabled", ("yes",)))
    if not any(setting.name == "port" for setting in given):
        given.insert(0, Setting("port", (str(DEFAULT_PORT),)))
    config = Configuration(given)
    own_directory = not config.is_set("dir")
    if own_directory:
        config.replace("dir", f"./cluster-node-{config.port}")
    if config.cluster_enabled and config.replicaof is not None:
        raise ConfigError("replicaof directive not allowed in cluster mode", "command line")
    return StartOptions(config=config, create_directory=own_directory)
