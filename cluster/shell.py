"""What only the process can do, as the server may ask for it: one field a service, filled in by the node.

The defaults do nothing, so a server without a process around it (a test) is whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.network.session import Session


def _nothing(*_arguments: object) -> None:
    return None


@dataclass(slots=True)
class Shell:
    wake: Callable[[], None] = _nothing
    """A session has output although its socket was not readable."""
    watch: Callable[[int, Callable[[], None]], None] = _nothing
    """Call something whenever a file descriptor is readable."""
    unwatch: Callable[[int], None] = _nothing
    hurry_cron: Callable[[], None] = _nothing
    """A waiting client's deadline may be earlier than the next tick."""
    hang_up: Callable[[Session], None] = _nothing
    """Close a client's connection at once."""
    gather_output: Callable[[Session], None] = _nothing
    """Let the system gather small sends to this client into larger packets (no TCP_NODELAY)."""
    let_go: Callable[[bool], None] = _nothing
    """Send the replies that were withheld, or (False) hang up on those who wait for them."""
    drop_unconfirmed: Callable[[int], int] = lambda _before_ms: 0
    """Hang up on those whose replies have waited for replicas since that time or longer; how many."""
    end_batch: Callable[[], None] = _nothing
    """What was done outside a client's turn is over: journal it, and send what it led to."""
    request_shutdown: Callable[[frozenset[str]], None] = _nothing
    """Stop, with SHUTDOWN's words (save, nosave, now, force)."""
    abort_shutdown: Callable[[], bool] = lambda: False
    """Whether a shutdown was under way, and is no more."""
    crash: Callable[[], None] = _nothing
    """End the process at once."""
    exit: Callable[[int], None] = _nothing
    """End the process at once, with that status: what has not been sent must not be sent."""
    stall: Callable[[float], None] = _nothing
    """Block the whole process for some seconds."""
    purge_memory: Callable[[], None] = _nothing
    rewrite_configuration: Callable[[], None] = _nothing
    """Write the configuration file; raises RewriteError."""
    read_users: Callable[[], bytes] = bytes
    """The text of the aclfile; raises OSError."""
    write_users: Callable[[bytes], None] = _nothing
    """Replace it; raises OSError."""
    random_bytes: Callable[[int], bytes] = os.urandom
    """For secrets: nobody can foresee them."""
    process_id: int = 0
    clock_us: Callable[[], int] = lambda: time.time_ns() // 1000
