"""`cluster-node`: read the command line, prepare the process, run one node."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from cluster.access import configured_users
from cluster.cli import fatal_line, parse_command_line
from cluster.commands import all_commands
from cluster.commands.registry import CommandTable
from cluster.config.errors import ConfigError
from cluster.config.files import enter_directory, expand, read_text
from cluster.config.store import Configuration
from cluster.descriptors import TooFewDescriptors, provide_at_start
from cluster.log import Log
from cluster.node import Node
from cluster.reconfigure import rename_commands

if TYPE_CHECKING:
    from cluster.sentinel.process import Sentinel

GC_THRESHOLDS = (500, 1, 2_000_000)
"""The old generation is hardly ever visited, since the data holds no cycles. The young ones are small: a pass looks at
every reference in the containers they hold, and with (50000, 20) clients waited for 300 ms once in a million hashes."""


def main() -> None:
    sys.exit(run(sys.argv))


def main_of_sentinel() -> None:
    """`cluster-sentinel FILE` is `cluster-node FILE --sentinel`."""
    sys.exit(run(["cluster-sentinel", *sys.argv[1:]]))


def run(argv: list[str]) -> int:
    """The process's exit status."""
    try:
        options = parse_command_line(argv[1:], read_text, expand, argv[0])
        if options.config is None:
            with suppress(BrokenPipeError):  # `cluster-node --help | head`
                print(options.show, flush=True)
            return 0
        config = options.config
        commands = _commands_of_a_sentinel() if options.sentinel else all_commands()
        rename_commands(commands, config)
        configured_users(config, commands)  # so that what is wrong with them is told here
        enter_directory(config, create=options.create_directory, paths_from_start=options.paths_from_start)
    except ConfigError as error:
        print(fatal_line(error), file=sys.stderr)
        return 1
    log = Log(config.logfile, config.loglevel)
    try:
        log.check()
    except OSError as error:
        print(f"Can't open the log file {config.logfile}: {error.strerror}", file=sys.stderr)
        return 1
    if config.daemonize:
        _daemonize()
    try:
        provide_at_start(config, log)
    except TooFewDescriptors as error:
        log("warning", str(error))
        return 1
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        node = _sentinel(config, commands, log) if options.sentinel else Node(config, commands, log)
    except ConfigError as error:
        print(fatal_line(error), file=sys.stderr)
        return 1
    gc.freeze()
    status = trio.run(node.run)
    gc.freeze()  # or the interpreter would look for cycles in all of the data before it ends
    return status


def _commands_of_a_sentinel() -> CommandTable:
    from cluster.sentinel.table import sentinel_commands  # here, so that a node does not start the later for it

    return sentinel_commands()


def _sentinel(config: Configuration, commands: CommandTable, log: Log) -> Sentinel:
    from cluster.sentinel.process import Sentinel

    return Sentinel(config, commands, log)


def _daemonize() -> None:
    """Go on in a child without a terminal; the parent ends."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


if __name__ == "__main__":
    main()
