"""The fixture `node`: a server with its part in replication, and no socket, process or clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.persistence.snapshot import Persistence
from cluster.replication.role import Replication
from tests.commands.in_process import InProcessNode


@pytest.fixture
def node(tmp_path: Path) -> InProcessNode:
    node = InProcessNode(("dir", str(tmp_path)))
    node.server.replication = Replication(node.server)
    node.server.persistence = Persistence(node.server)
    return node
