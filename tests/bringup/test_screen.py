"""The table of nodes on terminals of any width: a person has to see the ports, the roles and the slots."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cluster.bringup.look import Row
from cluster.bringup.screen import nodes_table

ROWS = [
    Row(7000, "127.0.0.1:7000", "primary", "0-5460", "", "a" * 40, "up"),
    Row(7001, "127.0.0.1:7001", "primary", ", ".join(f"{at}-{at + 3}" for at in range(5461, 6461, 10)), "", "b" * 40,
        "up"),
    Row(7003, "127.0.0.1:7003", "replica", "", "7000", "c" * 40, "no answer"),
]  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 160])
def test_what_matters_is_seen(width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None, soft_wrap=True).print(
        nodes_table("example", ROWS, width, terminal=True)
    )
    text = out.getvalue()
    for row in ROWS:
        assert f" {row.address} " in text
        assert f" {row.role} " in text
        assert f" {row.state} " in text
        assert f" {row.node_id[:7]}" in text
        assert all(word in text for word in row.slots.split(" "))
    assert max(map(len, text.splitlines())) <= width
