"""SORT in a cluster, where what BY and GET find must lie with the key for certain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.server_pair import ServerPair
from tests.newer_server import newer_server


@pytest.fixture(scope="module")
def newer_clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """Patterns may be allowed since 7.4 only."""
    pair = ServerPair(tmp_path_factory.mktemp("newer-clustered"), cluster=True, program=newer_server())
    yield pair
    pair.close()


LINES = """
RPUSH k 2 1 3
RPUSH {k}l 2 1 3
SET {k}w1 9
SET {k}w2 8
HSET {k}h1 f 5
SORT k BY w_*
SORT k BY nosort
SORT k BY {x}nosort
SORT k GET #
SORT k GET w_*
SORT k GET w_
SORT k GET k
SORT k GET k*
SORT k GET {k}*
SORT k BY {k}w*
SORT k BY {k}w* GET # GET {k}w* GET {k}h*->f
SORT k BY w_*{k}
SORT k BY {*}k
SORT k BY {k*}
SORT k BY {k}w*{x}
SORT k BY {x}w*
SORT k BY {}k*
SORT k GET {}k
SORT k GET {x}w*
SORT {k}l BY {k}w* LIMIT 0 2 DESC
SORT {k}l BY k* GET {x}*
SORT {k}l GET {k}w* BY x*
SORT k GET {k}w* STORE {k}d
LRANGE {k}d 0 -1
SORT k STORE d
SORT_RO k BY {x}*
SORT_RO k BY {k}w* GET {k}h*->f
""".strip().splitlines()


def test_patterns_are_allowed_where_their_keys_lie_with_the_sorted_one(newer_clustered: ServerPair) -> None:
    newer_clustered.begin(2)
    wrong = {}
    for line in LINES:
        ours, theirs = newer_clustered.both(line.encode().split())
        if ours != theirs:
            wrong[line] = ours, theirs
    assert wrong == {}
