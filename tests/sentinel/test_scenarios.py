"""Scenarios: what befalls a few servers and sentinels, and all that the sentinels tell of it.

A file holds a script, a line ``----``, and the story that it leads to. The words of a script are `Script`'s methods.
With SENTINEL_SCENARIOS=write in the environment the stories are written anew, to be read and committed.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from cluster.sentinel import operators
from tests.sentinel.parts import NAME
from tests.sentinel.world import World

FOLDER = Path(__file__).parent / "scenarios"
SEPARATOR = "----\n"


class Script:
    def __init__(self) -> None:
        self.world = World(1)
        self._begin = 0

    def do(self, line: str) -> None:
        word, *arguments = line.split()
        getattr(self, word.replace("-", "_"))(*arguments)

    def primary(self, port: str) -> None:
        self.world.server(int(port))

    def replica(self, port: str, of: str, priority: str = "100") -> None:
        self.world.server(int(port), int(of)).priority = int(priority)

    def sentinel(self, port: str, quorum: str, *more: str) -> None:
        lines = [one.replace("=", " ") for one in more]
        self.world.sentinel(int(port), *lines, quorum=int(quorum))

    def run(self, seconds: str) -> None:
        self.world.run(float(seconds))

    def kill(self, port: str) -> None:
        self.world.kill(int(port))

    def start(self, port: str) -> None:
        self.world.start(int(port))

    def freeze(self, port: str) -> None:
        self.world.freeze(int(port))

    def thaw(self, port: str) -> None:
        self.world.thaw(int(port))

    def cut(self, some: str, others: str) -> None:
        self.world.cut([int(one) for one in some.split(",")], [int(one) for one in others.split(",")])

    def heal(self) -> None:
        self.world.heal()

    def failover(self, port: str) -> None:
        self.world.sentinels[int(port)].operate(partial(operators.fail_over, name=NAME))

    def from_here(self) -> None:
        """The story begins here."""
        self.world.records.clear()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_story_is_as_it_was_read(path: Path) -> None:
    script, _, expected = path.read_text().partition(SEPARATOR)
    scenario = Script()
    for line in script.splitlines():
        if line and not line.startswith("#"):
            scenario.do(line)
    story = scenario.world.story() + "\n"
    if os.environ.get("SENTINEL_SCENARIOS") == "write":
        path.write_text(script + SEPARATOR + story)
    else:
        assert story == expected
