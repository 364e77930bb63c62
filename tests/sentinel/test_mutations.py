"""The checkers can fail: each safeguard of Sentinel that is taken away is found out, by the seeds that stand beside it.

--long looks for each anew, from seed 0 on.
"""

from __future__ import annotations

import pytest

from tests.seeded_runs import found
from tests.sentinel import mutations
from tests.sentinel.mutations import Mutation
from tests.sentinel.schedule import run_seed

SEED_LIMIT = 800
"""Within so many seeds from 0 on each mutation must be found out."""
SEEDS_TRIED = 5
"""From the seed beside it on: the first mostly is enough, but a change of Sentinel may shift what happens in it."""
CAUGHT_BY: list[tuple[Mutation, int, str]] = [
    (mutations.a_majority_is_one_less, 10, "votes in epoch"),
    (mutations.the_quorum_does_not_count_in_an_election, 26, "votes in epoch"),
    (mutations.a_candidate_counts_itself_twice, 0, "votes in epoch"),
    (mutations.votes_of_old_epochs_count, 4, "votes in epoch"),
    (mutations.a_second_vote_is_given_in_an_epoch, 2, "voted for two"),
    (mutations.a_vote_is_not_saved, 0, "tells its vote"),
    (mutations.who_could_not_save_goes_on_to_promise, 0, "tells its vote"),
    (mutations.votes_are_forgotten_by_a_restart, 1, "no longer has on disk"),
    (mutations.the_current_epoch_is_forgotten_by_a_restart, 14, "speaks of the epoch"),
    (mutations.a_primary_is_down_by_one_word_less, 1, "by the word of"),
    (mutations.words_never_grow_old, 0, "by the word of"),
    (mutations.words_about_the_address_of_before_count, 6, "by the word of"),
    (mutations.there_is_no_tilt, 0, "while in TILT"),
    (mutations.priority_0_does_not_matter, 7, "has priority 0"),
    (mutations.who_is_down_may_be_chosen, 5, "does not answer"),
    (mutations.the_offset_does_not_matter, 43, "is better"),
    (mutations.all_replicas_sync_at_once, 13, "sync at a time"),
    (mutations.who_went_astray_is_not_waited_for, 11, "the patience is"),
    (mutations.who_went_astray_is_left_alone, 0, "no agreement"),
    (mutations.a_promotion_is_waited_for_for_ever, 9, "no agreement"),
    (mutations.votes_are_waited_for_for_ever, 7, "no agreement"),
    (mutations.a_failover_does_not_end_while_the_promoted_is_down, 64, "no agreement"),
    (mutations.a_promotion_is_told_before_its_epoch_is_on_disk, 0, "before that is on disk"),
    (mutations.a_hello_counts_whatever_its_config_epoch, 1, "speaks of the epoch"),
    (mutations.a_newer_configuration_is_not_taken, 0, "no agreement"),
    (mutations.a_collision_of_config_epochs_is_left_alone, 674, "no agreement"),
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
