"""The one error of the bring-up: what went wrong, in one line a node."""

from __future__ import annotations


class BringUpError(Exception):
    """`lines` are for a person, one for each thing that is wrong; the exit status is 1."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
