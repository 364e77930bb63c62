"""The checkers can fail: with one safeguard of the core removed, a few seeds are enough for them to see it.

Each mutant is run from its seed on, the first that was seen to catch it, and must be caught within SEEDS_BOUND seeds.
The same seeds are clean without it: they are among those of test_simulation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from bus import election, ownership
from bus.due import Save
from bus.events import LinkId
from bus.messages import VoteRequest
from bus.state import Peer, State
from tests.simulation.schedule import run_seed

SEEDS_BOUND = 5
"""The first mostly is enough; a change of the core may shift what happens in it."""

Mutate = Callable[[pytest.MonkeyPatch], None]


def votes_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(election, "Save", SimpleNamespace(SYNCED=Save.LATER))


def one_vote_less_than_a_majority_wins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "quorum", property(lambda s: s.size // 2))


def a_second_vote_in_an_epoch_is_given(patch: pytest.MonkeyPatch) -> None:
    on_vote_request = election.on_vote_request

    def forgetful(s: State, sender: Peer, link_id: LinkId, message: VoteRequest) -> None:
        if s.last_vote_epoch == message.epoch and sender.primary_id != s.me.node_id:
            s.last_vote_epoch -= 1
        on_vote_request(s, sender, link_id, message)

    patch.setattr(election, "on_vote_request", forgetful)


def the_age_of_the_data_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(election, "_is_fit", lambda s: True)


def collisions_of_epochs_stand(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ownership, "settle_collision", lambda s, peer: None)


def claims_are_not_compared_by_epoch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ownership, "claim", lambda s, sender: None)


@pytest.mark.parametrize(
    ("mutate", "seed", "says"),
    [
        (votes_are_not_synced, 0, "before that (was|is) on disk"),
        (one_vote_less_than_a_majority_wins, 0, r"with \d votes of \d primaries"),
        (a_second_vote_in_an_epoch_is_given, 0, "voted for two in epoch"),
        (the_age_of_the_data_is_ignored, 4, "was never in step with its primary"),
        (collisions_of_epochs_stand, 6, "share a config epoch"),
        (claims_are_not_compared_by_epoch, 0, "Not one healthy cluster|disagree"),
    ],
)
def test_without_that_safeguard_a_checker_speaks_up(
    mutate: Mutate, seed: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    for one in range(seed, seed + SEEDS_BOUND):
        if any(re.search(says, text) for text in run_seed(one).problems):
            return
    pytest.fail(f"not caught within {SEEDS_BOUND} seeds")
