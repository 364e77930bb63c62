"""What befalls a few nodes of the bus, and all of note that they do: one file a case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.script import Script
from tests.text_scenarios import check_scenario, scenario_files


@pytest.mark.parametrize("path", scenario_files(Path(__file__).parent))
def test_the_story_is_as_it_was_read(path: Path, request: pytest.FixtureRequest) -> None:
    check_scenario(path, Script().play, rewrite=request.config.getoption("--rewrite-scenarios"))
