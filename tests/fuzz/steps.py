"""A bound on work that no machine's speed touches: the lines of the product's own code that an input has run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (f"{ROOT}/cluster/", f"{ROOT}/bus/")


class TooManySteps(BaseException):
    """No `except Exception` of the code that is tested catches it."""


def bounded(limit: int, work: Callable[[], T]) -> T:
    """`work()`; raises TooManySteps once it has run `limit` lines of the product."""
    left = limit

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left < 0:
                raise TooManySteps(f"more than {limit} lines")
        return line

    def call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(PRODUCT) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        return work()
    finally:
        sys.settrace(before)
