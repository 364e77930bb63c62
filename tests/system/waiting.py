"""Waiting for a condition, with a deadline: what stands in place of a sleep."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_S = 0.02
_MOST_EXTENSIONS = 5


def wait_until(
    condition: Callable[[], object],
    deadline_s: float,
    what: str | Callable[[], str],
    *,
    moving: Callable[[], object] | None = None,
) -> float:
    """Wait until `condition()` is true; the seconds it took. Fails with `what` when the deadline passes first.

    An OSError counts as 'not yet': a server that is starting or ending refuses and closes connections. Time in which
    this process had no processor does not count: the server will have had none, either.

    moving: something that changes as long as it gets on, if slowly, on a machine that is busy with other things. The
        deadline begins anew with each change, up to some times.
    """
    start = began = time.monotonic()
    last: OSError | None = None
    seen = moving() if moving is not None else None
    while True:
        try:
            if condition():
                return time.monotonic() - start
            last = None
        except OSError as error:
            last = error
        now = time.monotonic()
        if moving is not None and seen != (seen := moving()) and now - start < _MOST_EXTENSIONS * deadline_s:
            began = now
        if now - began > deadline_s:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {now - start:.0f} s: {text}" + (f" ({last})" if last else ""))
        time.sleep(_POLL_S)
        began += time.monotonic() - now - _POLL_S
