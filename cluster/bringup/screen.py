"""What the bring-up shows: progress and a table, in colours on a terminal and as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cluster.bringup.formation import Report
from cluster.bringup.look import Row

_PLAIN_WIDTH = 160
"""No terminal has a width: wide enough that no row of the table is broken."""

_BORDER_WIDTH = 3
_LEAST_ID = 8
"""So much of an id is left at least; the first characters tell nodes apart."""


class Screen:
    def __init__(self) -> None:
        console = Console(highlight=False, soft_wrap=True)
        self._terminal = console.is_terminal
        self._out = console if self._terminal else Console(highlight=False, soft_wrap=True, width=_PLAIN_WIDTH)
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        self._out.print(text, markup=False)

    def error(self, text: str) -> None:
        self._errors.print(f"bring-up: {text}", markup=False, style="red" if self._terminal else "")

    @contextmanager
    def steps(self, names: Sequence[str]) -> Iterator[Steps]:
        """Show the steps of a start; each is begun by `Steps.begin`."""
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[doing]}"),
        )  # fmt: skip
        with Progress(*columns, console=self._out, transient=True, disable=not self._terminal) as progress:
            yield Steps(self, progress, names, plain=not self._terminal)

    def table(self, title: str, rows: Sequence[Row]) -> None:
        self._out.print(nodes_table(title, rows, self._out.width, terminal=self._terminal))


def nodes_table(title: str, rows: Sequence[Row], width: int, *, terminal: bool) -> Table:
    """The nodes, a row each, in a frame and under the title on a terminal."""
    table = Table(title=title if terminal else None, box=box.ROUNDED if terminal else None)
    for heading, wide in _widths(rows, width).items():
        table.add_column(heading, no_wrap=heading != "slots", width=wide)
    for row in rows:
        style = "red" if row.state != "up" else None if row.role == "primary" else "cyan"
        table.add_row(row.address, row.role, row.slots, row.replicates, row.node_id, row.state, style=style)
    return table


def _widths(rows: Sequence[Row], width: int) -> dict[str, int]:
    """By heading. On a narrow terminal ids are cut off and slots take several lines; all else has to be seen."""
    widths = {
        "node": _longest(row.address for row in rows),
        "role": _longest(row.role for row in rows),
        "slots": _longest(row.slots for row in rows),
        "replica of": _longest(row.replicates for row in rows),
        "id": _longest(row.node_id for row in rows),
        "state": _longest(row.state for row in rows),
    }
    widths = {heading: max(wide, len(heading)) for heading, wide in widths.items()}
    excess = sum(widths.values()) + len(widths) * _BORDER_WIDTH + 1 - width
    least = {"id": _LEAST_ID, "slots": max(len("slots"), _longest(word for row in rows for word in row.slots.split()))}
    for heading, fewest in least.items():
        spare = max(0, min(excess, widths[heading] - fewest))
        widths[heading] -= spare
        excess -= spare
    return widths


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


class Steps:
    """The progress of a start. Without a terminal each step is one line when it begins."""

    def __init__(self, screen: Screen, progress: Progress, names: Sequence[str], *, plain: bool) -> None:
        self._screen = screen
        self._progress = progress
        self._plain = plain
        self._task = progress.add_task("", total=len(names), doing="")
        self._names = list(names)
        self._begun = 0

    def begin(self) -> Report:
        """The next step; returns what to call with the detail of it."""
        name = self._names[self._begun]
        self._progress.update(self._task, description=name, completed=self._begun, doing="")
        self._begun += 1
        if self._plain:
            self._screen.line(f"{name} ...")
        return self._detail

    def _detail(self, text: str) -> None:
        self._progress.update(self._task, doing=text)
