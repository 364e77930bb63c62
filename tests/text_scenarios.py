"""Text scenarios: a file of steps, and below each what came of it, as somebody has read and approved it.

A file is made of blocks with an empty line between them. A block is some lines of script, a line ``----``, and the
lines that this led to. Lines that begin with ``#`` are for the reader. With ``--rewrite-scenarios`` what is below the
``----`` is written anew, to be read in ``git diff`` and committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

SEPARATOR = "----"

Play = Callable[[Sequence[str]], Sequence[str]]
"""Carries out the lines of a block; what came of it, none of it an empty line."""


def scenario_files(folder: Path) -> list[object]:
    """What `pytest.mark.parametrize` takes for an argument named ``path``."""
    return [pytest.param(path, id=path.stem) for path in sorted(folder.glob("*.txt"))]


def check_scenario(path: Path, play: Play, *, rewrite: bool) -> None:
    """Play all blocks of a file; what comes of them must be what the file says, or is written there."""
    text = path.read_text()
    played = "\n".join("\n".join(lines) + "\n" for lines in _played(text, play))
    if rewrite:
        path.write_text(played)
    else:
        assert played == text, f"{path.name}: read the difference; --rewrite-scenarios takes it over"


def _played(text: str, play: Play) -> Iterator[list[str]]:
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n")
        script = lines[: lines.index(SEPARATOR)] if SEPARATOR in lines else lines
        story = play([line for line in script if not line.startswith("#")])
        yield [*script, SEPARATOR, *story] if story or SEPARATOR in lines else script
