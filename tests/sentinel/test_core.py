"""What the core promises: votes, epochs, choices, whatever the disk and the others do."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cluster.sentinel import conf, operators
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.election import leader, majority
from cluster.sentinel.events import (
    Connected,
    Effect,
    Greeted,
    NotSaved,
    Persist,
    Publish,
    Saved,
    Send,
    Tick,
)
from cluster.sentinel.failover import advance, choose_replica, start
from cluster.sentinel.members import add_peer, add_primary, add_replica, move
from cluster.sentinel.operators import Refused
from cluster.sentinel.reports import take_ping
from cluster.sentinel.state import RECONFIGURE, Address, Primary, Replica, Settings, State
from cluster.sentinel.upkeep import check_subjectively_down
from tests.sentinel.parts import HOST, NAME, only_addresses
from tests.sentinel.world import World, usual

ME, OTHER, THIRD = "a" * 40, "b" * 40, "c" * 40


def core_of(primary_quorum: int = 2, peers: int = 2) -> tuple[SentinelCore, Primary]:
    core = SentinelCore(ME, Settings(), random.Random(1), only_addresses, 1_000_000)
    primary = add_primary(core.state, NAME, Address(HOST, HOST, 6379), primary_quorum)
    for number, run_id in enumerate((OTHER, THIRD)[:peers]):
        add_peer(core.state, primary, run_id, Address(HOST, HOST, 5001 + number))
    return core, primary


# -- votes -------------------------------------------------------------------------------------------------------


def test_the_first_who_asks_in_an_epoch_has_the_vote() -> None:
    core, _ = core_of()
    assert core.asked_whether_down(1_000_000, HOST, 6379, 1, OTHER)[1:3] == (OTHER, 1)
    assert core.asked_whether_down(1_000_001, HOST, 6379, 1, THIRD)[1:3] == (OTHER, 1)
    assert core.asked_whether_down(1_000_002, HOST, 6379, 2, THIRD)[1:3] == (THIRD, 2)


def test_a_vote_is_on_disk_before_it_is_told() -> None:
    core, _ = core_of()
    *_, effects = core.asked_whether_down(1_000_000, HOST, 6379, 1, OTHER)
    assert effects[0] == Persist()
    assert "leader-epoch mymaster 1" in _file(core)


def _file(core: SentinelCore) -> str:
    return conf.rewrite("", list(conf.lines(core.state)))


def test_who_only_asks_whether_it_is_down_gets_no_vote_and_changes_nothing() -> None:
    core, primary = core_of()
    assert core.asked_whether_down(1_000_000, HOST, 6379, 9, "*") == (False, "", 0, [])
    assert (core.state.current_epoch, primary.leader_epoch) == (0, 0)


def test_a_primary_that_nobody_here_knows_is_not_down_and_has_no_vote() -> None:
    core, _ = core_of()
    assert core.asked_whether_down(1_000_000, HOST, 1, 9, OTHER) == (False, "", 0, [])


def test_a_vote_that_could_not_be_saved_is_never_told() -> None:
    core, _ = core_of()
    core.asked_whether_down(1_000_000, HOST, 6379, 1, OTHER)
    core.step(1_000_000, NotSaved())
    assert core.asked_whether_down(1_000_001, HOST, 6379, 1, OTHER)[1] == ""
    assert core.asked_whether_down(1_000_002, HOST, 6379, 2, THIRD)[1] == ""
    core.step(1_000_002, Saved())
    assert core.asked_whether_down(1_000_003, HOST, 6379, 2, THIRD)[1] == THIRD


def test_a_full_disk_keeps_a_sentinel_from_leading() -> None:
    world = usual(quorum=1, sentinels=1)
    world.sentinels[5000].disk_full = True
    world.kill(6379)
    world.run(20)
    assert world.heard(5000, "+elected-leader") == 0
    world.sentinels[5000].disk_full = False
    world.run_until(lambda: world.sentinels[5000].sees != 6379, 30)


def _asked_for(effects: list[Effect], candidate: str) -> list[int]:
    """The epochs in which the others are asked for their votes for `candidate`."""
    sent = [one.arguments for one in effects if isinstance(one, Send)]
    return [int(words[4]) for words in sent if words[1:2] == ("is-master-down-by-addr",) and words[5] == candidate]


def _told_epochs(effects: list[Effect]) -> set[tuple[str, str]]:
    """The epochs in hellos: the sentinel's, and that of the configuration."""
    sent = [str(one.arguments[2]).split(",") for one in effects if isinstance(one, Send) and "PUBLISH" in one.arguments]
    return {(words[3], words[7]) for words in sent}


def _with_a_failover_begun() -> tuple[SentinelCore, Primary, list[Effect]]:
    """And what the step in which it has begun asks for; nothing of it has been carried out."""
    core, primary = core_of()
    core.step(1_000_000, Tick())
    for number in list(core.state.connections):
        core.step(1_000_000, Connected(number, HOST))
    primary.link.ping_asked_ms = 1_000_000 - primary.down_after_ms
    for peer in primary.peers.values():
        peer.says_down, peer.last_answer_ms = True, 1_000_000
    effects = core.step(1_000_100, Tick())
    assert primary.failing_over
    assert Persist() in effects
    return core, primary, effects


def test_nobody_is_asked_for_a_vote_in_an_epoch_before_it_is_on_disk() -> None:
    core, _, effects = _with_a_failover_begun()
    assert _asked_for(effects, ME) == []
    assert _asked_for(core.step(1_000_100, Saved()), ME) == [1, 1]


def test_an_epoch_that_could_not_be_saved_is_told_to_nobody_until_it_is() -> None:
    core, primary, effects = _with_a_failover_begun()
    effects = core.step(1_000_100, NotSaved())
    for now in range(1_000_200, 1_009_000, 100):
        step = core.step(now, Tick())
        effects += step + (core.step(now, NotSaved()) if Persist() in step else [])
        for peer in primary.peers.values():
            peer.asked, peer.says_down, peer.last_answer_ms = False, True, now - 1000
    assert _asked_for(effects, ME) == []
    assert len(_asked_for(effects, "*")) > 2, "whether it is down may be asked"
    assert _told_epochs(effects) == {("0", "0")}
    assert primary.failing_over
    assert effects.count(Persist()) > 2, "it is tried again"
    assert _asked_for(core.step(1_009_000, Saved()), ME) == [1, 1]
    assert _told_epochs(core.step(1_011_100, Tick())) == {("1", "0")}


def test_the_others_are_asked_again_at_once_when_there_is_a_newer_epoch() -> None:
    """As when another primary has died at the same time: votes of the epoch before no longer count."""
    core, primary, _ = _with_a_failover_begun()
    core.step(1_000_100, Saved())
    for peer in primary.peers.values():
        assert peer.link.commands is not None
        peer.leader, peer.leader_epoch, peer.last_answer_ms = "", 0, 1_000_110
    second = add_primary(core.state, "second", Address(HOST, HOST, 7000), 2)
    core.operate(1_000_120, lambda s: start(s, second))
    effects = core.step(1_000_120, Saved())
    assert _asked_for(effects, ME) == [2, 2]
    assert _asked_for(core.step(1_000_200, Tick()), ME) == []
    assert primary.failover_epoch == 2


@pytest.mark.parametrize("third", [OTHER, THIRD, None])
def test_an_election_that_nobody_can_win_any_more_is_given_up_at_once(third: str | None) -> None:
    """The third, who has voted for itself, for another, or not yet, decides whether there is something to wait for."""
    core, primary, _ = _with_a_failover_begun()
    core.step(1_000_100, Saved())
    for run_id, voted in ((OTHER, OTHER), (THIRD, third)):
        if voted is not None:
            peer = primary.peers[run_id]
            peer.leader, peer.leader_epoch = voted, 1
    told = [one.channel for one in core.step(1_000_300, Tick()) if isinstance(one, Publish)]
    assert ("-failover-abort-not-elected" in told) is (third == THIRD)
    if third == THIRD:
        assert primary.failover_started_ms is not None
        wait_ms = primary.failover_started_ms + 2 * primary.failover_timeout_ms - 1_000_300
        assert 0 <= wait_ms <= 1000


def test_a_configuration_with_an_epoch_that_is_not_on_disk_is_told_to_nobody() -> None:
    core, primary = core_of()
    core.step(1_000_000, Tick())
    for number in list(core.state.connections):
        core.step(1_000_000, Connected(number, HOST))
    core.state.current_epoch = primary.config_epoch = 7
    core.step(1_000_100, Saved())
    assert _told_epochs(core.step(1_002_200, Tick())) == {("7", "7")}
    core.step(1_002_300, _told_by(OTHER, 5001, 6380, 7))
    core.step(1_002_300, NotSaved())
    assert primary.config_epoch == 8
    assert _told_epochs(core.step(1_004_400, Tick())) == set()
    core.step(1_004_500, Saved())
    assert _told_epochs(core.step(1_004_600, Tick())) == {("8", "8")}


def test_after_a_restart_no_second_vote_is_given_in_an_epoch() -> None:
    world = usual()
    world.kill(6379)
    world.run_until(lambda: world.heard(5000, "+vote-for-leader") > 0, 20)
    sentinel = world.sentinels[5000]
    epoch, leader = sentinel.primary.leader_epoch, sentinel.primary.leader
    world.kill(5000)
    world.start(5000)
    other = next(one for one in (ME, OTHER) if one != leader)
    assert sentinel.core.asked_whether_down(world.now, HOST, sentinel.primary.address.port, epoch, other)[1] == ""


@pytest.mark.parametrize("voters", range(1, 12))
def test_two_majorities_have_a_voter_in_common(voters: int) -> None:
    assert 2 * majority(voters) > voters >= majority(voters)


def _told_by(run_id: str, port: int, primary_port: int, config_epoch: int) -> Greeted:
    return Greeted(f"{HOST},{port},{run_id},{config_epoch},{NAME},{HOST},{primary_port},{config_epoch}")


def test_two_primaries_of_one_epoch_do_not_stay() -> None:
    """As after a failover by hand while another was elected."""
    core, primary = core_of()
    core.state.current_epoch = primary.config_epoch = 7
    primary.link.broken = False
    core.step(1_000_100, _told_by(OTHER, 5001, 6380, 7))
    assert (primary.config_epoch, core.state.current_epoch) == (8, 8)
    assert "config-epoch mymaster 8" in _file(core)
    core.step(1_000_200, _told_by(OTHER, 5001, 6380, 7))
    assert primary.config_epoch == 8


def test_an_address_that_is_not_up_to_date_is_given_no_newer_epoch() -> None:
    names = {"db1": "10.0.0.1"}
    core, primary = core_of()
    core.state.resolve = lambda host: names.get(host, host)
    primary.address, primary.config_epoch = Address("db1", "10.0.0.1", 6379), 1
    primary.link.broken = False
    names["db1"] = "10.0.0.9"  # another sentinel has seen already that it moved
    core.step(1_000_000, Greeted(f"{HOST},5001,{OTHER},1,{NAME},10.0.0.9,6379,1"))
    assert primary.config_epoch == 1


def test_a_newer_configuration_ends_a_failover_of_ours_even_if_it_names_the_old_primary() -> None:
    core, primary = core_of()
    replica = add_replica(core.state, primary, Address(HOST, HOST, 6380))
    assert replica is not None
    primary.failing_over, primary.stage, primary.promoted, primary.config_epoch = True, RECONFIGURE, replica, 1
    core.step(1_000_100, _told_by(OTHER, 5001, 6379, 2))
    assert (primary.current_address.port, primary.config_epoch, primary.failing_over) == (6379, 2, False)


def test_after_a_promotion_that_came_to_nothing_all_agree() -> None:
    """The promoted replica dies at once, only the old primary is there again, and the leader was not in the others'."""
    world = usual(1, quorum=2, sentinels=3, replicas=2)
    world.servers[6381].priority = 0
    world.run(12)
    world.kill(6379)
    world.run_until(lambda: any(world.heard(port, "+promoted-slave") for port in world.sentinels), 30)
    world.kill(6380)
    world.start(6379)
    world.run(150)
    assert {sentinel.sees for sentinel in world.sentinels.values()} == {6379}
    assert all(sentinel.core.state.current_epoch < 10 for sentinel in world.sentinels.values())


def test_no_hello_goes_out_without_an_address() -> None:
    core, primary = core_of()
    core.step(1_000_100, Tick())
    assert primary.link.messages is not None
    core.step(1_000_150, Connected(primary.link.messages, HOST))
    sent = [one.arguments for one in core.step(1_002_200, Tick()) if isinstance(one, Send)]
    assert not [words for words in sent if "PUBLISH" in words]


def test_a_vote_in_an_epoch_that_is_known_already_is_on_disk_before_it_is_told() -> None:
    core, _ = core_of()
    core.step(1_000_000, _told_by(THIRD, 5002, 6379, 1))
    *_, effects = core.asked_whether_down(1_000_000, HOST, 6379, 1, OTHER)
    assert effects[0] == Persist()


def test_of_two_who_find_them_out_only_one_takes_a_newer_epoch() -> None:
    core, primary = core_of()
    core.state.my_id = "d" * 40
    primary.link.broken = False
    core.state.current_epoch = primary.config_epoch = 7
    core.step(1_000_100, _told_by(OTHER, 5001, 6380, 7))
    assert primary.config_epoch == 7


def test_votes_of_two_epochs_do_not_make_one_majority() -> None:
    core, primary = core_of()
    primary.leader, primary.leader_epoch = ME, 4
    core.state.current_epoch = primary.failover_epoch = 4
    other = primary.peers[OTHER]
    other.leader, other.leader_epoch = ME, 5
    assert leader(core.state, primary, 4) == ""
    other.leader_epoch = 4
    assert leader(core.state, primary, 4) == ME


def test_a_name_that_means_the_same_place_is_no_other_configuration() -> None:
    """One sentinel watches an address, another announces its name: nothing is to be settled between them."""
    core, primary = core_of()
    core.state.resolve = lambda host: HOST if host == "db.example" else only_addresses(host)
    core.state.current_epoch = primary.config_epoch = 7
    core.step(1_000_100, Greeted(f"{HOST},5001,{OTHER},7,{NAME},db.example,6379,7"))
    assert (primary.config_epoch, primary.address.port) == (7, 6379)
    assert core.asked_whether_down(1_000_200, "db.example", 6379, 9, OTHER)[1] == OTHER


def test_a_reset_does_not_take_back_a_promotion_that_was_made() -> None:
    core, primary = core_of()
    replica = add_replica(core.state, primary, Address(HOST, HOST, 6380))
    assert replica is not None
    primary.failing_over, primary.stage, primary.promoted, primary.config_epoch = True, RECONFIGURE, replica, 9
    core.operate(1_000_100, lambda s: operators.reset(s, primary))
    assert (primary.address.port, primary.config_epoch) == (6380, 9)
    assert "monitor mymaster 127.0.0.1 6380 2" in _file(core)


def test_a_primary_that_is_watched_again_has_no_second_vote_in_an_epoch() -> None:
    core, _ = core_of()
    assert core.asked_whether_down(1_000_000, HOST, 6379, 5, OTHER)[1] == OTHER
    core.operate(1_000_100, lambda s: operators.remove(s, NAME))
    core.operate(1_000_200, lambda s: operators.monitor(s, NAME, HOST, "6379", "2"))
    assert core.asked_whether_down(1_000_300, HOST, 6379, 5, THIRD)[1] == ""


def test_a_sentinel_that_cannot_save_is_no_vote_to_count_on() -> None:
    core, _ = core_of(primary_quorum=3)
    assert operators.check_quorum(core.state, NAME).startswith("OK 3")
    core.step(1_000_000, NotSaved())
    with pytest.raises(Refused, match="NOQUORUM 2"):
        operators.check_quorum(core.state, NAME)


# -- the choice of a replica -------------------------------------------------------------------------------------


def _with_replicas(*facts: tuple[int, int, str]) -> tuple[State, Primary]:
    core, primary = core_of()
    for number, (priority, offset, run_id) in enumerate(facts):
        replica = add_replica(core.state, primary, Address(HOST, HOST, 6380 + number))
        assert replica is not None
        replica.priority, replica.offset, replica.run_id = priority, offset, run_id
        replica.info_at_ms = core.state.now
        replica.link.broken = False
    return core.state, primary


def _chosen(*facts: tuple[int, int, str]) -> int | None:
    state, primary = _with_replicas(*facts)
    replica = choose_replica(state, primary)
    return None if replica is None else replica.address.port


def test_the_lowest_priority_then_the_highest_offset_then_the_run_id() -> None:
    assert _chosen((100, 9, "b"), (50, 1, "c"), (100, 8, "a")) == 6381
    assert _chosen((100, 8, "a"), (100, 9, "b")) == 6381
    assert _chosen((100, 9, "b"), (100, 9, "A")) == 6381
    assert _chosen((100, 9, ""), (100, 9, "z")) == 6381
    assert _chosen((0, 9, "a")) is None


def test_who_is_down_cut_off_or_behind_is_not_chosen() -> None:
    def down(replica: Replica) -> None:
        replica.s_down = True

    def cut_off(replica: Replica) -> None:
        replica.link.broken = True

    def silent(replica: Replica) -> None:
        replica.link.last_available_ms -= 5001

    def stale(replica: Replica) -> None:
        replica.info_at_ms -= 30_001

    def behind(replica: Replica) -> None:
        replica.link_down_ms = 300_001

    for spoil in (down, cut_off, silent, stale, behind):
        state, primary = _with_replicas((100, 1, "a"))
        assert choose_replica(state, primary) is not None
        spoil(primary.replicas[f"{HOST}:6380"])
        assert choose_replica(state, primary) is None, spoil.__name__


@pytest.mark.parametrize("sentinels", [1, 2])
def test_a_promoted_replica_that_dies_is_replaced_with_nobody_to_take_over(sentinels: int) -> None:
    world = usual(sentinels=sentinels, quorum=1)
    world.kill(6379)
    world.run_until(lambda: world.sentinels[5000].sees != 6379, 20)
    promoted = world.sentinels[5000].sees
    world.kill(promoted)
    (last,) = {6380, 6381} - {promoted}
    world.run_until(lambda: all(one.sees == last for one in world.sentinels.values()), 60)


@pytest.mark.parametrize("worked", [False, True])
def test_whoever_lost_a_primary_is_not_too_far_behind_because_the_next_one_died_at_once(worked: bool) -> None:
    state, primary = _with_replicas((100, 1, "a"), (100, 1, "b"))
    _let_die(state, primary)
    move(state, primary, Address(HOST, HOST, 6381))
    if worked:
        take_ping(state, primary, b"PONG")
    _let_die(state, primary)
    last = primary.replicas[f"{HOST}:6380"]
    last.info_at_ms = last.link.last_available_ms = state.now
    last.link.broken, last.link_down_ms = False, 11 * primary.down_after_ms
    assert choose_replica(state, primary) is (None if worked else last)


def _let_die(state: State, primary: Primary) -> None:
    state.now += primary.down_after_ms + 1
    check_subjectively_down(state, primary)
    assert primary.s_down


def test_a_replica_that_never_follows_keeps_the_others_waiting_for_a_while_only() -> None:
    state, primary = _with_replicas((100, 1, "a"), (100, 1, "b"), (100, 1, "c"))
    promoted, stuck, waiting = primary.replicas.values()
    primary.promoted, promoted.promoted, primary.parallel_syncs = promoted, True, 1
    primary.failing_over, primary.stage, primary.stage_since_ms = True, RECONFIGURE, state.now
    stuck.reconfiguration, stuck.reconfigured_ms = "sent", state.now
    waiting.link.commands = state.new_connection(waiting.link)
    told = []
    for passed_ms in (0, state.periods.slave_reconf_timeout + 1):
        state.now += passed_ms
        advance(state, primary)
        told.append(waiting.reconfiguration)
    assert told == ["", "sent"], "one at a time"


# -- operators ---------------------------------------------------------------------------------------------------


def test_a_quorum_that_cannot_be_reached_is_told() -> None:
    core, primary = core_of(primary_quorum=3)
    assert operators.check_quorum(core.state, NAME).startswith("OK 3 usable Sentinels.")
    primary.peers[OTHER].s_down = True
    with pytest.raises(Refused, match=r"NOQUORUM 2 usable Sentinels\. Not enough .* to reach the specified quorum"):
        operators.check_quorum(core.state, NAME)
    primary.quorum = 1
    primary.peers[THIRD].s_down = True
    with pytest.raises(Refused, match=r"NOQUORUM 1 usable Sentinels\. Not enough .* to reach the majority"):
        operators.check_quorum(core.state, NAME)


def test_a_replica_gone_astray_is_brought_back() -> None:
    world = usual()
    world.server(9000)
    world.servers[6380].follow(9000)
    world.run_until(world_follows(world, 6380, 6379), 60)
    assert sum(world.heard(port, "+fix-slave-config") for port in world.sentinels) >= 1


def world_follows(world: World, port: int, primary: int) -> Callable[[], bool]:
    return lambda: world.servers[port].follows == primary


def test_a_primary_that_says_it_is_a_replica_counts_as_down() -> None:
    world = usual()
    world.servers[6379].follow(6380)
    world.servers[6380].follow(None)
    world.run_until(lambda: all(one.sees != 6379 for one in world.sentinels.values()), 60)


@pytest.mark.parametrize(("failure", "told"), [
    ("crash-after-election", "+elected-leader"), ("crash-after-promotion", "+promoted-slave"),
])  # fmt: skip
def test_crashes_can_be_simulated(failure: str, told: str) -> None:
    world = usual(sentinels=1, quorum=1)
    world.sentinels[5000].core.state.failures.add(failure)
    world.kill(6379)
    world.run_until(lambda: not world.sentinels[5000].alive, 20)
    assert world.records[-1][2].startswith(told) or world.records[-2][2].startswith(told)
