"""The command line of cluster-node: what was asked for, as a value. Nothing is started and nothing printed here.

There are three ways to start. Without a file the node is one of a cluster, with a directory of its own; with a file,
or ``-``, everything means what it means to redis-server; with ``--config cluster.yaml`` the node is one of those the
YAML file describes. In each, further ``--directive value …`` come last and win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.cli_help import help_text, version_line
from cluster.config.errors import ConfigError
from cluster.config.redis_conf import (
    COMMAND_LINE,
    STANDARD_INPUT,
    Expand,
    ReadText,
    follow_includes,
    parse_file,
    parse_options,
)
from cluster.config.store import Configuration, Setting
from cluster.config.values import parse_integer
from cluster.version import REDIS_VERSION, VERSION

DEFAULT_PORT = 7000
_SENTINELS = ("redis-sentinel", "cluster-sentinel")
"""Under these names the program is a Sentinel."""
_SENTINEL_USUAL = (Setting("port", ("26379",)), Setting("protected-mode", ("no",)))
"""What is different for a Sentinel when its file says nothing of it."""
_NAMED_PATHS = (
    "logfile", "pidfile", "unixsocket", "aclfile", "cluster-secret-file", "tls-cert-file", "tls-key-file",
    "tls-client-cert-file", "tls-client-key-file", "tls-ca-cert-file", "tls-ca-cert-dir", "tls-dh-params-file",
)
"""A person who names one of these without a `dir` means it from where he stands."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """`show`: text to print and end with status 0; else `config` is there, and checked.

    `create_directory`: `config.dir` is ours to make; one that a redis.conf names has to be there.
    `paths_from_start`: directives whose relative paths do not begin in `dir`, but where the process was started.
    `sentinel`: start as a Sentinel, whose lines are `config.sentinel`.
    """

    config: Configuration | None = None
    show: str = ""
    sentinel: bool = False
    create_directory: bool = False
    paths_from_start: tuple[str, ...] = ()


def fatal_line(error: ConfigError) -> str:
    """What goes to stderr before the process ends with status 1; tools look for the words in the stars."""
    return f"*** FATAL CONFIG FILE ERROR (cluster-node {VERSION}, Redis {REDIS_VERSION}) *** {error}"


def parse_command_line(argv: Sequence[str], read: ReadText, expand: Expand, program: str = "") -> StartOptions:
    """`argv` without the program's name, which only matters when it says 'sentinel'. Raises ConfigError.

    `read` gives the text of a path (``-``: standard input), or raises OSError; `expand` the files of a pattern.
    """
    if list(argv) in (["--version"], ["-v"]):
        return StartOptions(show=version_line())
    if argv and argv[0] in ("--help", "-h"):
        return StartOptions(show=help_text())
    if "--config" in argv:
        return _from_yaml(list(argv), read, expand)
    return _from_conf(list(argv), read, expand, program)


def _from_conf(argv: list[str], read: ReadText, expand: Expand, program: str) -> StartOptions:
    file, stdin = "", False
    if argv and argv[0] != STANDARD_INPUT and not argv[0].startswith("--"):
        file = argv.pop(0)
    if STANDARD_INPUT in (argv[:1] + argv[-1:]):
        argv.remove(STANDARD_INPUT)
        stdin = True
    settings = list(parse_file(file, read, expand)) if file else []
    if stdin:
        settings += parse_file(STANDARD_INPUT, read, expand)
    given = list(follow_includes(parse_options(argv), read, expand))
    called = program.rpartition("/")[2]
    sentinel = any(name in called for name in _SENTINELS) or any(_is_switch(setting) for setting in given)
    given = [setting for setting in given if not _is_switch(setting)]
    _refuse_sentinel_lines(settings + given, sentinel)
    if sentinel:
        settings = [*_SENTINEL_USUAL, *settings]
    if file or stdin or sentinel:
        config = _build([*settings, *given], read, file)
        return StartOptions(config=config, sentinel=sentinel)
    return _without_file(given, read)


def _is_switch(setting: Setting) -> bool:
    return setting.name == "sentinel" and not setting.words


def _refuse_sentinel_lines(settings: Sequence[Setting], sentinel: bool) -> None:
    for setting in settings:
        if setting.name == "sentinel" and not sentinel:
            raise ConfigError("sentinel directive while not in sentinel mode", setting.place, setting.line)


def _without_file(given: list[Setting], read: ReadText) -> StartOptions:
    """A node of a cluster: what a person who types ``cluster-node --port 7000`` wants."""
    usual = [Setting("cluster-enabled", ("yes",)), Setting("port", (str(DEFAULT_PORT),))]
    config = _build([*usual, *given], read)
    if config.is_set("dir"):
        return StartOptions(config=config)
    config.replace("dir", f"./cluster-node-{config.main_port}")
    return StartOptions(config=config, create_directory=True, paths_from_start=_NAMED_PATHS)


def _from_yaml(argv: list[str], read: ReadText, expand: Expand) -> StartOptions:
    # Imported here, for PyYAML is a fifteenth of what a start takes, and most nodes have no such file.
    from cluster.config.yaml_config import node_settings, parse_cluster_yaml, pick_node

    path = _take(argv, "--config") or ""
    port = _number(_take(argv, "--port"), "--port")
    number = _number(_take(argv, "--node"), "--node")
    try:
        text = read(path)
    except OSError as error:
        raise ConfigError(f"can't open '{path}': {error.strerror}", "--config") from None
    plan = parse_cluster_yaml(text, path)
    settings = node_settings(plan, pick_node(plan, port=port, number=number))
    given = list(follow_includes(parse_options(argv), read, expand))
    _refuse_sentinel_lines(given, sentinel=False)
    return StartOptions(config=_build([*settings, *given], read), create_directory=True)


def _take(argv: list[str], option: str) -> str | None:
    """Remove an option of ours with its word, and return the word."""
    if option not in argv:
        return None
    at = argv.index(option)
    if at + 1 == len(argv):
        raise ConfigError("wrong number of arguments", COMMAND_LINE, option)
    word = argv[at + 1]
    del argv[at : at + 2]
    return word


def _number(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    number = parse_integer(text)
    if number is None:
        raise ConfigError(f"'{text}' is not a number", option)
    return number


def _build(settings: Sequence[Setting], read: ReadText, file: str = "") -> Configuration:
    config = Configuration(settings, file_path=file)
    config.check()
    if config.cluster_secret_file:
        try:
            secret = read(config.cluster_secret_file).strip()
        except OSError as error:
            cause = f"can't read '{config.cluster_secret_file}': {error.strerror}"
            raise config.error("cluster-secret-file", cause) from None
        if not secret:
            raise config.error("cluster-secret-file", f"'{config.cluster_secret_file}' is empty")
        config.replace("cluster-secret", secret)
    return config
