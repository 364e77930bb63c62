"""Sentinel with one of its safeguards taken away: what the checkers of the simulation have to find out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster.config.store import Setting
from cluster.sentinel import conf, core, election, failover, hello, members, reports, upkeep
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.events import Persist
from cluster.sentinel.state import Primary, Replica, State

NEVER = 1 << 40
TRULY_ALL = 100

Mutation = Callable[[pytest.MonkeyPatch], None]


def _drop_persist(s: State) -> None:
    s.out = [effect for effect in s.out if not isinstance(effect, Persist)]


# -- elections -------------------------------------------------------------------------------------------------


def a_majority_is_one_less(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(election, "majority", lambda voters: max(1, voters // 2))


def the_quorum_does_not_count_in_an_election(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(election, "_needed", lambda primary: election.majority(1 + len(primary.peers)))


def _replace_vote(patch: pytest.MonkeyPatch, vote: Callable[[State, Primary, int, str], tuple[str, int]]) -> None:
    patch.setattr(election, "vote", vote)
    patch.setattr(core, "vote", vote)


def a_second_vote_is_given_in_an_epoch(patch: pytest.MonkeyPatch) -> None:
    original = election.vote

    def vote(s: State, primary: Primary, epoch: int, candidate: str) -> tuple[str, int]:
        primary.leader_epoch = min(primary.leader_epoch, epoch - 1)
        return original(s, primary, epoch, candidate)

    _replace_vote(patch, vote)


def a_vote_is_not_saved(patch: pytest.MonkeyPatch) -> None:
    original = election.vote

    def vote(s: State, primary: Primary, epoch: int, candidate: str) -> tuple[str, int]:
        given = original(s, primary, epoch, candidate)
        _drop_persist(s)
        return given

    _replace_vote(patch, vote)


def who_could_not_save_goes_on_to_promise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "unsaved", property(lambda s: False, lambda s, value: None), raising=False)


def votes_are_forgotten_by_a_restart(patch: pytest.MonkeyPatch) -> None:
    original = conf._about

    def about(s: State, primary: Primary, option: str, words: conf.Words) -> None:
        if option != "leader-epoch":
            original(s, primary, option, words)

    patch.setattr(conf, "_about", about)


def the_current_epoch_is_forgotten_by_a_restart(patch: pytest.MonkeyPatch) -> None:
    original = conf.read

    def read(s: State, lines: list[Setting]) -> None:
        original(s, lines)
        s.current_epoch = 0

    patch.setattr(conf, "read", read)


def a_candidate_counts_itself_twice(patch: pytest.MonkeyPatch) -> None:
    original = election.leader

    def leader(s: State, primary: Primary, epoch: int) -> str:
        elected = original(s, primary, epoch)
        given = sum(1 for peer in primary.peers.values() if (peer.leader, peer.leader_epoch) == (s.my_id, epoch))
        return s.my_id if given and given + 2 >= election._needed(primary) else elected

    patch.setattr(failover, "leader", leader)


def votes_of_old_epochs_count(patch: pytest.MonkeyPatch) -> None:
    original = election.leader

    def leader(s: State, primary: Primary, epoch: int) -> str:
        for peer in primary.peers.values():
            peer.leader_epoch = epoch
        return original(s, primary, epoch)

    patch.setattr(failover, "leader", leader)


# -- who is down -----------------------------------------------------------------------------------------------


def a_primary_is_down_by_one_word_less(patch: pytest.MonkeyPatch) -> None:
    original = upkeep.check_objectively_down

    def check(s: State, primary: Primary) -> None:
        primary.quorum -= 1
        original(s, primary)
        primary.quorum += 1

    patch.setattr(upkeep, "check_objectively_down", check)


def words_never_grow_old(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(upkeep, "STALE_ANSWERS", NEVER)


def words_about_the_address_of_before_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(members, "_forget_words", lambda s, peer: None)


def there_is_no_tilt(patch: pytest.MonkeyPatch) -> None:
    original = SentinelCore._tick

    def tick(self: SentinelCore) -> None:
        self.state.ticked_ms = self.state.now
        original(self)

    patch.setattr(SentinelCore, "_tick", tick)


# -- which replica, and what becomes of the others -------------------------------------------------------------


def priority_0_does_not_matter(patch: pytest.MonkeyPatch) -> None:
    original = failover.choose_replica

    def choose(s: State, primary: Primary) -> Replica | None:
        for replica in primary.replicas.values():
            replica.priority = replica.priority or 1
        return original(s, primary)

    patch.setattr(failover, "choose_replica", choose)


def who_is_down_may_be_chosen(patch: pytest.MonkeyPatch) -> None:
    def choose(s: State, primary: Primary) -> Replica | None:
        return min((one for one in primary.replicas.values() if one.priority), key=failover._rank, default=None)

    patch.setattr(failover, "choose_replica", choose)


def the_offset_does_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(failover, "_rank", lambda replica: (replica.priority, replica.run_id))


def all_replicas_sync_at_once(patch: pytest.MonkeyPatch) -> None:
    original = failover._reconfigure

    def reconfigure(s: State, primary: Primary) -> None:
        given, primary.parallel_syncs = primary.parallel_syncs, TRULY_ALL
        original(s, primary)
        primary.parallel_syncs = given

    patch.setattr(failover, "_reconfigure", reconfigure)


def who_went_astray_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reports, "PATIENCE_HELLOS", 0)


def who_went_astray_is_left_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reports, "looks_sane", lambda s, primary: False)


# -- the end of a failover -------------------------------------------------------------------------------------


def _never(patch: pytest.MonkeyPatch, what: str) -> None:
    original = failover._give_up

    def give_up(s: State, primary: Primary, event: str) -> None:
        if event != what:
            original(s, primary, event)

    patch.setattr(failover, "_give_up", give_up)


def a_promotion_is_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    _never(patch, "-failover-abort-slave-timeout")


def votes_are_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    _never(patch, "-failover-abort-not-elected")


def a_failover_does_not_end_while_the_promoted_is_down(patch: pytest.MonkeyPatch) -> None:
    original = failover._detect_end

    def detect_end(s: State, primary: Primary, promoted: Replica) -> None:
        if not promoted.s_down:
            original(s, primary, promoted)

    patch.setattr(failover, "_detect_end", detect_end)


# -- configurations --------------------------------------------------------------------------------------------


def a_promotion_is_told_before_its_epoch_is_on_disk(patch: pytest.MonkeyPatch) -> None:
    original = reports._replica_is_primary

    def replica_is_primary(s: State, replica: Replica) -> None:
        original(s, replica)
        _drop_persist(s)

    patch.setattr(reports, "_replica_is_primary", replica_is_primary)


def a_hello_counts_whatever_its_config_epoch(patch: pytest.MonkeyPatch) -> None:
    original = hello.hear

    def hear(s: State, text: str) -> None:
        said = hello.parse_hello(text)
        primary = None if said is None else s.primaries.get(said.name)
        if said is not None and primary is not None and said.run_id != s.my_id:
            primary.config_epoch = min(primary.config_epoch, said.config_epoch - 1)
        original(s, text)

    patch.setattr(core, "hear", hear)


def a_newer_configuration_is_not_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hello, "_take_configuration", lambda s, primary, peer, said: None)


def a_collision_of_config_epochs_is_left_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hello, "_settle_collision", lambda s, primary, said: None)
