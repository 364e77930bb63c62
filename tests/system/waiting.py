"""Waiting for a condition, with a deadline: what stands in place of a sleep."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_S = 0.02


def wait_until(condition: Callable[[], object], deadline_s: float, what: str | Callable[[], str]) -> float:
    """Wait until `condition()` is true; the seconds it took. Fails with `what` when the deadline passes first.

    An OSError counts as 'not yet': a server that is starting or ending refuses and closes connections.
    """
    start = time.monotonic()
    last: OSError | None = None
    while True:
        try:
            if condition():
                return time.monotonic() - start
            last = None
        except OSError as error:
            last = error
        if time.monotonic() - start > deadline_s:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {deadline_s} s: {text}" + (f" ({last})" if last else ""))
        time.sleep(_POLL_S)
