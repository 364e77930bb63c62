"""Whatever servers and sentinels answer, the core goes on, and its state can be written and read."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cluster.config.redis_conf import parse_text
from cluster.sentinel import conf, views
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.events import Connect, Connected, ErrorReply, Greeted, Note, Received, Reply, Tick
from cluster.sentinel.members import add_primary
from cluster.sentinel.reports import take_info
from cluster.sentinel.state import (
    HELLO_CHANNEL,
    MAX_KEPT_INFO,
    MAX_PEERS,
    MAX_REPLICAS,
    Address,
    Primary,
    Settings,
)
from tests.sentinel.parts import HOST, NAME, only_addresses

_number = st.sampled_from(["0", "-1", "1", "6380", "70000", "9" * 30, "9" * 5000, "x", "", "²"])
_word = st.sampled_from([NAME, HOST, "::1", "a" * 40, "b" * 40, "no-host", "with blank", '"', "\n", "", "\udcff"])
_hello = st.lists(st.one_of(_number, _word), min_size=6, max_size=9).map(",".join)
_good_hello = st.tuples(_word, _number, _word, _number, st.just(NAME), _word, _number, _number).map(",".join)
_field = st.sampled_from([
    "run_id", "role", "master_host", "master_port", "master_link_status", "master_link_down_since_seconds",
    "slave_priority", "slave_repl_offset", "replica_announced", "slave0", "slavex",
])  # fmt: skip
_value = st.one_of(
    _number, _word, st.sampled_from(["master", "slave", "up", "down", f"ip={HOST},port=6380", "ip=,port=", "port=1"])
)
_info = st.lists(st.tuples(_field, _value).map(":".join)).map("\r\n".join)
_text = st.one_of(_hello, _good_hello, _info).map(lambda text: text.encode("utf-8", "surrogatepass"))
_reply: st.SearchStrategy[Reply] = st.recursive(
    st.one_of(st.none(), st.integers(), _text, st.builds(ErrorReply, st.just("BUSY x")), st.just(b"PONG")),
    lambda inner: st.lists(inner, max_size=4),
)
_message = _text.map(lambda text: [b"message", HELLO_CHANNEL, text])
_answer = st.tuples(st.integers(0, 2), _text, st.integers()).map(list)


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(_reply, _message, _answer)), max_size=40), st.integers())
def test_no_reply_ends_it(replies: list[tuple[int, Reply]], seed: int) -> None:
    now = 1_000_000
    core = SentinelCore("c" * 40, Settings(), random.Random(seed), only_addresses, now)
    add_primary(core.state, NAME, Address(HOST, HOST, 6379), 1)
    connections: list[int] = []
    for number, reply in replies:
        now += 700
        effects = core.step(now, Tick())
        for effect in effects:
            if isinstance(effect, Connect):
                connections.append(effect.connection)
                core.step(now, Connected(effect.connection, HOST))
        core.step(now, Received(connections[number % len(connections)], reply))
        if isinstance(reply, bytes):
            core.step(now, Greeted(reply.decode("utf-8", "replace")))
    for instance in core.state.instances():
        assert all(name for name, _ in views.fields(core.state, instance))
    text = conf.rewrite("", list(conf.lines(core.state)))
    again = SentinelCore("d" * 40, Settings(), random.Random(1), only_addresses, 0)
    conf.read(again.state, list(parse_text(text, "file")))
    assert conf.rewrite("", list(conf.lines(again.state))) == text


def _core() -> tuple[SentinelCore, Primary]:
    core = SentinelCore("c" * 40, Settings(), random.Random(1), only_addresses, 1_000_000)
    return core, add_primary(core.state, NAME, Address(HOST, HOST, 6379), 1)


def test_of_replicas_without_end_some_thousands_are_taken_and_one_line_says_so() -> None:
    core, primary = _core()
    lines = [f"slave{at}:ip=10.0.{at >> 8}.{at & 255},port=6379,state=online" for at in range(MAX_REPLICAS + 50)]
    for _ in range(2):
        take_info(core.state, primary, "\r\n".join(["role:master", *lines]).encode())
    assert len(primary.replicas) == MAX_REPLICAS
    notes = [one.text for one in core.state.out if isinstance(one, Note)]
    assert notes == [f"{NAME} has more than {MAX_REPLICAS} replicas: the others are not taken in"]


def test_of_an_info_without_end_little_is_read_and_less_is_kept() -> None:
    core, primary = _core()
    named = b"slave0:ip=10.0.0.1,port=6379\r\n"
    take_info(core.state, primary, b"x:\r\n" * 100_000 + named)
    assert not primary.replicas
    take_info(core.state, primary, b"x:\r\n" * 10_000 + named)
    (replica,) = primary.replicas.values()
    take_info(core.state, replica, b"role:slave\r\nx:" + b"x" * 1_000_000)
    assert len(replica.info) == MAX_KEPT_INFO


def test_of_sentinels_without_end_some_are_taken_and_one_line_says_so() -> None:
    core, primary = _core()
    notes: list[str] = []
    for number in range(MAX_PEERS + 20):
        effects = core.step(1_000_000, Greeted(f"{HOST},{number + 1},{number:040d},0,{NAME},{HOST},6379,0"))
        notes += [one.text for one in effects if isinstance(one, Note)]
    assert len(primary.peers) == MAX_PEERS
    assert notes == [f"{NAME} has more than {MAX_PEERS} sentinels: the others are not taken in"]
    core.step(1_000_000, Greeted(f"{HOST},9999,{0:040d},0,{NAME},{HOST},6379,0"))
    assert primary.peers["0" * 40].address.port == 9999, "whoever is known may move"
