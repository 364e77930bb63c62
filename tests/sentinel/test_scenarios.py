"""Scenarios: what befalls a few servers and sentinels, and all that the sentinels tell of it.

The words of a script are `Script`'s methods; the form of the files is that of tests/text_scenarios.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from cluster.sentinel import operators
from tests.sentinel.parts import NAME
from tests.sentinel.world import World
from tests.text_scenarios import check_scenario, scenario_files

FOLDER = Path(__file__).parent / "scenarios"


class Script:
    def __init__(self) -> None:
        self.world = World(1)

    def play(self, lines: Sequence[str]) -> list[str]:
        for line in lines:
            word, *arguments = line.split()
            getattr(self, word.replace("-", "_"))(*arguments)
        story = self.world.story().splitlines()
        self.world.records.clear()
        return story

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


@pytest.mark.parametrize("path", scenario_files(FOLDER))
def test_the_story_is_as_it_was_read(path: Path, request: pytest.FixtureRequest) -> None:
    check_scenario(path, Script().play, rewrite=request.config.getoption("--rewrite-scenarios"))
