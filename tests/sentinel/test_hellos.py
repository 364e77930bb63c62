"""What sentinels tell each other over `__sentinel__:hello`: configurations, and where they are."""

from __future__ import annotations

import pytest

from cluster.sentinel import operators
from cluster.sentinel.events import Close, Connect, Greeted, Publish, Tick
from cluster.sentinel.hello import parse_hello
from cluster.sentinel.members import add_peer, add_primary
from cluster.sentinel.state import Address
from tests.sentinel.parts import HOST, NAME
from tests.sentinel.test_core import OTHER, THIRD, core_of


@pytest.mark.parametrize(
    "text",
    [
        "", "1,2,3", f"{HOST},0,{OTHER},1,m,{HOST},1,1", f"{HOST},70000,{OTHER},1,m,{HOST},1,1",
        f"{HOST},1,,1,m,{HOST},1,1", f"{HOST},1,{OTHER},-1,m,{HOST},1,1", f"{HOST},1,{OTHER},1,m,{HOST},x,1",
        f"{HOST},1,{OTHER},1,m,{HOST},1,1,9", f"{HOST},1,{OTHER},²,m,{HOST},1,1",
        f"{HOST},1,{'b' * 39}\0,1,m,{HOST},1,1", f"{HOST},1,{OTHER},{2**63 - 1},m,{HOST},1,1",
    ],
)  # fmt: skip
def test_what_is_no_hello_is_none(text: str) -> None:
    assert parse_hello(text) is None


def _hello(run_id: str, port: int, epoch: int = 0, primary_port: int = 6379, config_epoch: int = 0) -> Greeted:
    return Greeted(f"{HOST},{port},{run_id},{epoch},{NAME},{HOST},{primary_port},{config_epoch}")


def test_a_newer_configuration_is_taken_and_an_older_one_is_not() -> None:
    core, primary = core_of()
    core.step(1_000_000, _hello(OTHER, 5001, 3, 6380, 3))
    assert (primary.address.port, primary.config_epoch, core.state.current_epoch) == (6380, 3, 3)
    core.step(1_000_000, _hello(OTHER, 5001, 3, 6381, 2))
    assert primary.address.port == 6380
    assert [replica.address.port for replica in primary.replicas.values()] == [6379]


def test_a_sentinel_that_moved_is_known_once() -> None:
    core, primary = core_of()
    core.step(1_000_000, _hello(OTHER, 6001))
    assert sorted((peer.run_id, peer.address.port) for peer in primary.peers.values()) == [(OTHER, 6001), (THIRD, 5002)]


def test_a_new_sentinel_at_an_old_one_s_address_takes_its_place() -> None:
    """As redis-sentinel has it. One more to vote, who is nowhere, could be one too many."""
    core, primary = core_of()
    other = add_primary(core.state, "second", Address(HOST, HOST, 7000), 2)
    add_peer(core.state, other, OTHER, Address(HOST, HOST, 5001))
    core.step(1_000_000, _hello("d" * 40, 5001))
    assert sorted(primary.peers) == [THIRD, "d" * 40]
    assert not other.peers


def test_one_connection_serves_all_primaries_that_two_sentinels_watch() -> None:
    core, primary = core_of()
    second = add_primary(core.state, "second", Address(HOST, HOST, 7000), 2)
    core.step(1_000_000, Greeted(f"{HOST},5001,{OTHER},0,second,{HOST},7000,0"))
    assert second.peers[OTHER].link is primary.peers[OTHER].link
    core.operate(1_000_000, lambda s: operators.remove(s, NAME))
    assert len(second.peers[OTHER].link.owners) == 1


def test_a_sentinel_that_moved_is_at_its_new_address_for_all_primaries_over_one_connection() -> None:
    core, primary = core_of()
    others = [add_primary(core.state, name, Address(HOST, HOST, port), 2) for name, port in (("b", 7000), ("c", 7001))]
    for other in others:
        add_peer(core.state, other, OTHER, Address(HOST, HOST, 5001))
    core.step(1_000_000, Tick())
    old = primary.peers[OTHER].link.commands
    effects = core.step(1_000_001, _hello(OTHER, 6001))
    told = [(one.channel, one.text.split(" @ ")[-1]) for one in effects if isinstance(one, Publish)]
    assert told == [
        ("+sentinel-address-switch", f"master {NAME} {HOST} 6379 ip {HOST} port 6001 for {OTHER}"),
        ("+sentinel-address-update", f"b {HOST} 7000"), ("+sentinel-address-update", f"c {HOST} 7001"),
    ]  # fmt: skip
    assert old is not None
    assert Close(old) in effects
    moved = [one.peers[OTHER] for one in (primary, *others)]
    assert [peer.address.port for peer in moved] == [6001] * 3
    assert all(peer.link is moved[0].link for peer in moved)
    dialled = [one.port for one in core.step(1_002_000, Tick()) if isinstance(one, Connect)]
    assert dialled.count(6001) == 1
    assert 5001 not in dialled
