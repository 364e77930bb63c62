"""nodes.conf: ours comes back as it was, a real server's loads, and CLUSTER NODES reads as Redis writes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.nodes_conf import NodesConfError, parse_state, render_nodes, render_state, with_epochs_of
from bus.slots import bits_of_slots, ranges_of_bits
from bus.view import NodeInfo, PersistentState
from tests.differential.oracle import Oracle, free_port
from tests.differential.resp import Reply
from tests.system.waiting import wait_until

A, B, C, SHARD = "aa" * 20, "bb" * 20, "cc" * 20, "dd" * 20
IDS = st.binary(min_size=20, max_size=20).map(bytes.hex)
TIMES = st.integers(0, 1 << 42)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._", max_size=20)
HOST_NAMES = st.from_regex(r"(|[a-z0-9-]{1,9}(\.[a-z0-9-]{1,9}){0,3})", fullmatch=True)
SLOT_SETS = st.sets(st.integers(0, 16383), max_size=30).map(lambda slots: ranges_of_bits(bits_of_slots(slots)))


@st.composite
def states(draw: st.DrawFn) -> PersistentState:
    ids = draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
    nodes = {}
    for node_id in ids:
        primary_id = draw(st.sampled_from([None, *(one for one in ids if one != node_id)]))
        flags = draw(st.sets(st.sampled_from(["pfail", "fail", "noaddr", "nofailover"])))
        nodes[node_id] = NodeInfo(
            node_id=node_id, ip=draw(st.sampled_from(["", "10.0.0.1", "fe80::1"])), port=draw(st.integers(0, 65535)),
            bus_port=draw(st.integers(0, 65535)), shard_id=draw(IDS), role="replica" if primary_id else "primary",
            primary_id=primary_id, tls_port=draw(st.integers(0, 65535)), hostname=draw(HOST_NAMES),
            human_name=draw(NAMES), flags=frozenset(flags | ({"myself"} if node_id == ids[0] else set())),
            ping_sent_ms=draw(TIMES), pong_received_ms=draw(TIMES),
            config_epoch=0 if primary_id else draw(st.integers(0, 1 << 60)), slots=draw(SLOT_SETS),
        )
    open_slots = st.dictionaries(st.integers(0, 16383), IDS, max_size=3)
    return PersistentState(
        my_id=ids[0], nodes=nodes, migrating=draw(open_slots), importing=draw(open_slots),
        current_epoch=draw(TIMES), last_vote_epoch=draw(TIMES), cluster_id=draw(st.one_of(st.just(""), IDS)),
    )


@given(states())
def test_a_state_comes_back_as_it_was(state: PersistentState) -> None:
    assert parse_state(render_state(state)) == state


@given(states(), st.data())
def test_a_damaged_file_is_another_state_or_an_error(state: PersistentState, data: st.DataObject) -> None:
    text = list(render_state(state))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(" ,@:-[]<>=\n\x1cx07f\udcff"))
    try:
        parse_state("".join(text))
    except NodesConfError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most damaged files load, as another state


def _node(node_id: str, port: int, **fields: object) -> NodeInfo:
    node = NodeInfo(node_id=node_id, ip="127.0.0.1", port=port, bus_port=port + 10000, shard_id=SHARD)
    return replace(node, **fields)  # type: ignore[arg-type]


def test_every_line_reads_as_redis_writes_it() -> None:
    me = _node(A, 7000, flags=frozenset({"myself"}), config_epoch=3, slots=((0, 100), (200, 200)), link_connected=True)
    replica = _node(
        B, 7001, role="replica", primary_id=A, hostname="host.example", tls_port=8001, human_name="second",
        flags=frozenset({"pfail", "nofailover"}), ping_sent_ms=11, pong_received_ms=12, config_epoch=1,
    )
    met = _node(C, 7002, flags=frozenset({"handshake"}))
    state = PersistentState(
        my_id=A, nodes={A: me, B: replica, C: met}, migrating={7: B, 5: B}, importing={300: B},
        current_epoch=9, last_vote_epoch=8, cluster_id=C,
    )
    first = "myself,master - 0 0 3 connected 0-100 200"
    opened = f"[5->-{B}] [7->-{B}] [300-<-{B}]"
    second = f"slave,fail?,nofailover {A} 11 12 3 disconnected"
    assert render_nodes(state) == (
        f"{A} 127.0.0.1:7000@17000 {first} {opened}\n"
        f"{B} 127.0.0.1:7001@17001,host.example {second}\n"
        f"{C} 127.0.0.1:7002@17002 handshake - 0 0 0 disconnected\n"
    )
    assert render_state(state) == (
        f"{A} 127.0.0.1:7000@17000,,shard-id={SHARD} {first} {opened}\n"
        f"{B} 127.0.0.1:7001@17001,host.example,shard-id={SHARD},nodename=second,tls-port=8001 {second}\n"
        f"vars currentEpoch 9 lastVoteEpoch 8 clusterId {C}\n"
    )


def test_a_file_of_7_2_loads() -> None:
    state = parse_state(
        f"{B} 10.0.0.2:6379@16379,,tls-port=0,shard-id={SHARD} master - 0 1700000000000 2 connected 8192-16383\n"
        f"{A} 10.0.0.1:6379@16379,,tls-port=0,shard-id={C} myself,master - 0 0 1 connected 0-8191 [9000-<-{B}]\n"
        "vars currentEpoch 2 lastVoteEpoch 1\n"
    )
    assert state is not None
    assert (state.my_id, state.current_epoch, state.last_vote_epoch, state.cluster_id) == (A, 2, 1, "")
    assert state.importing == {9000: B}
    assert state.nodes[B].shard_id == SHARD
    assert state.nodes[B].slots == ((8192, 16383),)


def test_an_old_file_without_bus_ports_and_shards_loads() -> None:
    state = parse_state(
        f"{B} 10.0.0.2:6379 slave {A} 0 0 1 connected\n{A} 10.0.0.1:6379 myself,master - 0 0 1 connected 0-16383\n"
    )
    assert state is not None
    assert state.nodes[B].bus_port == 16379
    assert state.nodes[A].shard_id == state.nodes[B].shard_id == A


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_an_empty_file_is_no_state(text: str) -> None:
    assert parse_state(text) is None


GOOD = f"{A} 10.0.0.1:6379@16379 myself,master - 0 0 1 connected\n"


@pytest.mark.parametrize(("text", "cause"), [
    (GOOD + "vars currentEpoch x lastVoteEpoch 0\n", "line 2: currentEpoch is no number: 'x'"),
    (GOOD + "vars currentEpoch\n", "line 2: "),
    (GOOD + f"vars currentEpoch {1 << 63} lastVoteEpoch 0\n", "line 2: currentEpoch is too large: 9223372036854775808"),
    (GOOD + f"vars currentEpoch {'9' * 5000}\n", "line 2: currentEpoch is no number: '9999"),
    (GOOD.replace("0 0 1", f"0 0 {1 << 64}"), "line 1: epoch is too large"),
    (GOOD.replace("@16379", "@16379,,tls-port=65536"), "line 1: bad tls-port 65536"),
    (GOOD.replace("connected\n", f"connected {'9' * 5000}\n"), "line 1: bad slot '9999"),
    (GOOD + "vars currentEpoch 1", "line 2: the file ends within a line"),
    (GOOD + GOOD, f"line 2: node {A} stands here twice"),
    (GOOD + GOOD.replace(A, B), "line 2: a second node with the flag 'myself'"),
    (GOOD.replace("myself,", ""), "no line has the flag 'myself'"),
    (GOOD.replace(A, "short"), "line 1: bad node id 'short'"),
    (GOOD.replace("10.0.0.1:6379@16379", "nowhere"), "line 1: bad address 'nowhere'"),
    (GOOD.replace("10.0.0.1", "a..b"), "line 1: bad address 'a..b:6379@16379'"),
    (GOOD.replace("@16379", "@16379,a..b"), "line 1: bad host name 'a..b'"),
    (GOOD.replace(":6379", ":66379"), "line 1: bad port in '10.0.0.1:66379@16379'"),
    (GOOD.replace("connected\n", "connected 16384\n"), "line 1: slot 16384 is out of range"),
    (GOOD.replace("connected\n", "connected 5-4\n"), "line 1: bad slot range '5-4'"),
    (GOOD.replace("connected\n", "connected [5-]\n"), "line 1: bad slot '[5-]'"),
    (f"{A} 10.0.0.1:6379@16379 myself,master -\n", "line 1: too few fields for a node"),
])  # fmt: skip
def test_an_error_names_line_and_cause(text: str, cause: str) -> None:
    with pytest.raises(NodesConfError) as caught:
        parse_state(text)
    assert str(caught.value).startswith(cause)
    assert len(str(caught.value)) < 250


def _wait_for(oracle: Oracle, path: Path, *wanted: str) -> str:
    def written() -> bool:
        assert oracle(b"CLUSTER", b"SAVECONFIG").value == b"OK"
        return all(one in path.read_text() for one in wanted)

    wait_until(written, 20, path.read_text)
    return path.read_text()


def test_a_real_servers_file_loads_and_reads_the_same_again(tmp_path: Path) -> None:
    """redis-server writes it: slots, open slots, a replica with a hostname."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bus_ports = [free_port(), free_port()]
    options = [("--cluster-enabled", "yes", "--cluster-port", str(port)) for port in bus_ports]
    with Oracle(tmp_path / "a", *options[0]) as a, Oracle(
        tmp_path / "b", *options[1], "--cluster-announce-hostname", "host.example"
    ) as b:
        ids = [_text(one(b"CLUSTER", b"MYID")) for one in (a, b)]
        a(b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"100", b"200", b"200")
        b(b"CLUSTER", b"MEET", b"127.0.0.1", b"%d" % a.port, b"%d" % bus_ports[0])
        path = tmp_path / "a" / "nodes.conf"
        _wait_for(a, path, f"{ids[1]} 127.0.0.1:{b.port}@{bus_ports[1]},host.example master")
        a(b"CLUSTER", b"SETSLOT", b"5", b"MIGRATING", ids[1].encode())
        a(b"CLUSTER", b"SETSLOT", b"300", b"IMPORTING", ids[1].encode())
        _wait_for(b, tmp_path / "b" / "nodes.conf", f"{ids[0]} 127.0.0.1:{a.port}@{bus_ports[0]} master")
        b(b"CLUSTER", b"REPLICATE", ids[0].encode())
        text = _wait_for(a, path, f"slave {ids[0]}")
    state = parse_state(text)
    assert state is not None
    assert state.my_id == ids[0]
    assert state.nodes[ids[0]].slots == ((0, 100), (200, 200))
    assert (state.migrating, state.importing) == ({5: ids[1]}, {300: ids[1]})
    assert (state.nodes[ids[1]].role, state.nodes[ids[1]].primary_id) == ("replica", ids[0])
    assert state.nodes[ids[1]].shard_id == state.nodes[ids[0]].shard_id
    again = render_nodes(state).replace(" disconnected", " connected")
    assert again + f"vars currentEpoch {state.current_epoch} lastVoteEpoch {state.last_vote_epoch}\n" == text
    assert parse_state(render_state(state)) == state


def _text(reply: Reply) -> str:
    assert isinstance(reply.value, bytes)
    return reply.value.decode()


def test_a_state_from_elsewhere_keeps_the_vote_that_was_given() -> None:
    text = f"{'a' * 40} 10.0.0.1:7000@17000 myself,master - 0 0 1 connected\nvars currentEpoch %d lastVoteEpoch %d\n"
    backup, last = parse_state(text % (3, 2)), parse_state(text % (9, 8))
    assert backup is not None
    assert last is not None
    assert with_epochs_of(backup, last) == replace(backup, current_epoch=9, last_vote_epoch=8)
    assert with_epochs_of(last, backup) == last
