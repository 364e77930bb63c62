"""What sessions see of a sentinel: a server without data, and behind it whoever runs the core."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from cluster.commands.context import Context
from cluster.commands.registry import CommandTable
from cluster.config.store import Configuration
from cluster.errors import CommandError
from cluster.pause import HeldCommands
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.events import Effect
from cluster.sentinel.names import Names
from cluster.sentinel.operators import Refused
from cluster.sentinel.scripts import ScriptQueue
from cluster.sentinel.state import State
from cluster.server import LogSink, Server


class Host(Protocol):
    """Whoever runs the core, as commands see it. `clock_ms` is the core's clock."""

    core: SentinelCore
    scripts: ScriptQueue
    names: Names
    waiting_for_names: HeldCommands
    clock_ms: Callable[[], int]

    def carry_out(self, effects: Sequence[Effect]) -> bool:
        """False when something could not be written to disk."""


class SentinelServer(Server):
    """It has one database, which stays empty: a session has to have one selected."""

    host: Host

    def __init__(
        self,
        config: Configuration,
        table: CommandTable,
        *,
        clock_ms: Callable[[], int],
        rng: random.Random,
        log: LogSink,
        run_id: str,
    ) -> None:
        databases = config.databases
        config.replace("databases", 1)
        super().__init__(config, table, clock_ms=clock_ms, rng=rng, log=log, run_id=run_id)
        config.replace("databases", databases)
        self.mode = "sentinel"


def host_of(ctx: Context) -> Host:
    return cast("SentinelServer", ctx.server).host


def state_of(ctx: Context) -> State:
    """The core's state, to be looked at as of now."""
    host = host_of(ctx)
    host.core.state.now = host.clock_ms()
    return host.core.state


def operate(ctx: Context, operation: Callable[[State], None]) -> None:
    """Carry out what an operator wants; raises the error to answer."""
    host = host_of(ctx)
    try:
        effects = host.core.operate(host.clock_ms(), operation)
    except Refused as refusal:
        host.carry_out(host.core.state.out)  # what it did before
        raise CommandError(str(refusal)) from None
    if not host.carry_out(effects):
        raise CommandError("ERR Failed to save config file. Check server logs.")
