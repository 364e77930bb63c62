"""The fixture `node`: a whole server with sessions, and no socket, process or clock."""

from __future__ import annotations

import pytest

from tests.commands.in_process import InProcessNode


@pytest.fixture
def node() -> InProcessNode:
    """A node outside cluster mode, so that any keys go together."""
    return InProcessNode()


@pytest.fixture
def cluster_node() -> InProcessNode:
    """A node in cluster mode that serves every slot."""
    return InProcessNode(("cluster-enabled", "yes"))
