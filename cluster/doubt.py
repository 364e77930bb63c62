"""What clients see of a node that stood still (SIGSTOP, a suspended machine, a long command): they wait for a moment.

The bus looks at its clock and decides whether the others may have replaced this node meanwhile (bus/doubt.py). Until
it knows, no write is carried out, and what was done in the batch within which the process stood still is not answered:
if the slots are another's now, those clients are hung up on, so that they do not take it for done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.doubt import STALL_MS

if TYPE_CHECKING:
    from cluster.server import Server

_CAUSE = "doubt"


class Doubt:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._active = False
        self._is_within = False  # something has been done that is not answered yet …
        self._has_begun = False  # … and meanwhile it became doubtful …
        self._is_vain = False  # … or turned out to be done in vain

    def look(self, now_ms: int, before_ms: int) -> None:
        """Find out before anything is done at `now_ms`; the clock was last looked at then."""
        if now_ms - before_ms > STALL_MS and self._server.bus is not None:
            self._server.bus.check_stall(now_ms)

    def look_within_batch(self) -> None:
        """The same after a command that took long: what comes next goes by what the cluster is by now."""
        if self._server.bus is not None:
            self._is_within = True
            self._server.bus.check_stall(self._server.clock_ms())
            self._is_within = False

    def begun_within_batch(self) -> bool:
        """Whether what this batch did may be done in vain: its replies are to be withheld, then `settle` asked."""
        server = self._server
        if server.clock_ms() - server.ctx.now_ms > STALL_MS:
            self.look_within_batch()
        begun = self._has_begun and self._active
        self._has_begun = False
        return begun or self._is_vain

    def settle(self) -> None:
        """What was withheld and is known to be in vain already is not answered at all."""
        if self._is_vain:
            self._is_vain = False
            self._server.shell.let_go(False)

    def start(self, end_ms: int) -> None:
        """No write is carried out until `end`, or that time."""
        self._has_begun = self._is_within
        self._active = True
        self._server.pause.start(_CAUSE, end_ms, writes_only=True)

    def end(self, *, trusted: bool) -> None:
        """`trusted`: the node has its slots, and what was withheld may go out."""
        self._active = False
        self._is_vain = self._is_within and self._has_begun and not trusted
        self._server.pause.stop(_CAUSE)
        self._server.shell.let_go(trusted)
