"""The table and its page: names are told apart, and docs/directives.md is what the table says."""

from __future__ import annotations

from pathlib import Path

from cluster.config.directive import ACCEPTED, WORKS
from cluster.config.directives import BY_NAME, DIRECTIVES
from cluster.config.documentation import directives_page

PAGE = Path(__file__).parents[2] / "docs" / "directives.md"


def test_every_name_stands_for_one_directive() -> None:
    assert len(BY_NAME) == sum(len(directive.names) for directive in DIRECTIVES)
    assert all(name == name.lower() for name in BY_NAME)


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == directives_page(), "run: python -m cluster.config.documentation > docs/directives.md"


def test_every_directive_says_what_it_does_or_why_nothing() -> None:
    for directive in DIRECTIVES:
        assert directive.about, directive.name
        assert directive.effect in (WORKS, ACCEPTED)
        assert f"`{directive.name}`" in PAGE.read_text()
