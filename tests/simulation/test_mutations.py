"""The checkers can fail: each safeguard of the bus that is taken away is found out, by the seeds that stand beside it.

--long looks for each anew, from seed 0 on.
"""

from __future__ import annotations

import pytest

from tests.seeded_runs import found
from tests.simulation import mutations
from tests.simulation.mutations import Mutation
from tests.simulation.schedule import run_seed

SEED_LIMIT = 400
"""Within so many seeds from 0 on each mutation must be found out."""
SEEDS_TRIED = 5
"""From the seed beside it on: the first mostly is enough, but a change of the bus may shift what happens in it."""
CAUGHT_BY: list[tuple[Mutation, int, str]] = [
    (mutations.a_vote_is_saved_after_it_is_sent, 0, "before that was on disk"),
    (mutations.a_vote_is_not_saved, 0, "before that was on disk"),
    (mutations.votes_are_forgotten_by_a_restart, 0, "saved the epochs"),
    (mutations.the_current_epoch_is_forgotten_by_a_restart, 0, "saved the epochs"),
    (mutations.nothing_outlives_a_loss_of_power, 0, "before that is on disk"),
    (mutations.a_majority_is_one_less, 0, "votes of"),
    (mutations.an_election_is_won_with_one_vote_less, 1, "votes of"),
    (mutations.a_second_vote_is_given_in_an_epoch, 5, "voted for two"),
    (mutations.a_vote_is_given_in_an_epoch_that_is_over, 2, "spoke of a later one before"),
    (mutations.data_may_be_of_any_age, 0, "never in step"),
    (mutations.a_claim_is_believed_whatever_its_epoch, 5, "Not one healthy cluster"),
    (mutations.no_claim_is_taken, 0, "Not one healthy cluster"),
    (mutations.a_collision_of_epochs_is_left_alone, 408, "Not one healthy cluster"),
    (mutations.who_has_less_data_does_not_wait, 2, "stands at once"),
]
"""What is taken away; a seed from which on it shows; what is complained of."""


@pytest.mark.parametrize(("mutate", "seed", "complaint"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_taken_away_is_missed(
    monkeypatch: pytest.MonkeyPatch, mutate: Mutation, seed: int, complaint: str
) -> None:
    mutate(monkeypatch)
    assert any(found(run_seed, one, complaint) for one in range(seed, seed + SEEDS_TRIED))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("mutate", "seed", "complaint"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_taken_away_is_missed_within_few_seeds(
    monkeypatch: pytest.MonkeyPatch, mutate: Mutation, seed: int, complaint: str
) -> None:
    mutate(monkeypatch)
    assert any(found(run_seed, candidate, complaint) for candidate in range(SEED_LIMIT)), f"not even by seed {seed}"
