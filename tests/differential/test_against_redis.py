"""Random commands, answered alike by redis-server and by this node, in both protocol versions.

The redis-server at hand is 7.0; where 7.2 differs, `comparison.py` says so.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.differential.grammar import Commands
from tests.differential.grammar_collections import HASHES, LISTS, SCORED_ALGEBRA, SCORED_NAMES, SETS, SORTED_SETS
from tests.differential.grammar_generic import EXPIRY, GENERIC, SORTING
from tests.differential.grammar_geo import GEO
from tests.differential.grammar_streams import DELIVERIES, FIRST, GROUPS, STREAMS
from tests.differential.grammar_strings import BITMAPS, HYPERLOGLOGS, STRINGS
from tests.differential.grammar_waiting import FILLING, OF_ANOTHER, TRANSACTIONS, WAITING
from tests.differential.machine import Pair, run

GRAMMARS = {
    "strings": STRINGS, "bitmaps": BITMAPS, "generic": GENERIC, "expiry": EXPIRY, "sorting": SORTING, "lists": LISTS,
    "hashes": HASHES, "sets": SETS, "sorted sets": SORTED_SETS, "algebra": SCORED_ALGEBRA, "names": SCORED_NAMES,
    "hyperloglogs": HYPERLOGLOGS, "streams": STREAMS, "groups": GROUPS, "geo": GEO,
}  # fmt: skip
ANYTHING = st.one_of([grammar for name, grammar in GRAMMARS.items() if name not in ("sorting", "hyperloglogs")])


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)
def test_replies_are_those_of_redis_server(pair: Pair, grammar: Commands, resp: int) -> None:
    run(pair, grammar, resp)


@pytest.mark.parametrize("resp", [2, 3])
def test_what_consumers_are_given_is_the_same(pair: Pair, resp: int) -> None:
    run(pair, DELIVERIES, resp, first=FIRST)


@pytest.mark.parametrize("resp", [2, 3])
def test_transactions_are_the_same(pair: Pair, resp: int) -> None:
    run(pair, TRANSACTIONS, resp, queued=st.nothing(), from_others=OF_ANOTHER)


@pytest.mark.parametrize("resp", [2, 3])
def test_what_waits_takes_what_is_there_in_a_transaction(pair: Pair, resp: int) -> None:
    run(pair, FILLING, resp, queued=WAITING)


@pytest.mark.parametrize("resp", [2, 3])
def test_all_types_meet(pair: Pair, resp: int) -> None:
    """Of all grammars but those that need keys of their own."""
    run(pair, ANYTHING, resp)
