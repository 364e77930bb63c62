"""Every command that holds subcommands says which, by HELP; what they say of them is true."""

from __future__ import annotations

import pytest

from cluster.commands import all_commands
from tests.commands.whole import WholeNode

CONTAINERS = sorted(entry.name for entry in all_commands().every() if entry.subcommands)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> WholeNode:
    return WholeNode(tmp_path_factory.mktemp("help"), ("cluster-enabled", "yes"))


@pytest.mark.parametrize("name", CONTAINERS)
def test_help_names_every_subcommand(node: WholeNode, name: str) -> None:
    heading, *lines = (line.decode() for line in node(name, "HELP"))
    assert heading == f"{name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    named = {line.split()[0].upper() for line in lines if not line.startswith(" ")}
    entry = node.server.table.find(name.encode())
    assert entry is not None
    there = {one.name.upper() for one in entry.subcommands.values() if one.deprecated is None}
    assert there - named == set()
    assert node.error(name, "HELP", "x") == f"ERR wrong number of arguments for '{name}|help' command"
    assert node.error(name, "NONSENSE") == f"ERR unknown subcommand 'NONSENSE'. Try {name.upper()} HELP."


def test_debug_has_help_too(node: WholeNode) -> None:
    assert node("DEBUG", "HELP")[0].startswith(b"DEBUG <subcommand>")
