"""A script that takes long: others wait, then hear BUSY; it can be ended, and is whole to everybody either way."""

from __future__ import annotations

import time

import pytest

from tests.commands.in_process import Client, InProcessNode

BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
LOOPS = (
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local function f() while true do end end while true do pcall(pcall, f) end",
    "while true do pcall(redis.call, 'get', 'x') end",
    "while true do redis.pcall('nosuch') end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "table.sort({1, 2, 3}, function() while true do end end)",
    "string.gsub('abc', '.', function() while true do end end)",
    "return setmetatable({}, {__index = function() while true do end end}).x",
    "local function f() return f() end return f()",
    "while true do pcall(string.rep, 'x', 1e7) end",
    "while true do cjson.decode(cjson.encode({1, 2, 3})) end",
    "while true do pcall(error, {err = 'X'}) end",
)


@pytest.fixture
def node() -> InProcessNode:
    return InProcessNode(("busy-reply-threshold", "30"))


def run_until(node: InProcessNode, busy: bool) -> None:
    """Give the suspended script turns until it is answered with BUSY, or over."""
    end = time.monotonic() + 20
    while node.server.pace.suspended is not None and not (busy and node.server.pace.is_busy):
        assert time.monotonic() < end
        node.server.pace.go_on()
        node.end_batch()


def start(node: InProcessNode, script: str) -> Client:
    client = node.connect()
    assert client.raw("EVAL", script, 0) == b""
    return client


@pytest.mark.parametrize("loop", LOOPS)
def test_an_endless_loop_can_be_ended(node: InProcessNode, loop: str) -> None:
    looping = start(node, loop)
    run_until(node, busy=True)
    assert node.client.error("GET", "x") == BUSY
    assert node.client("SCRIPT", "KILL") == b"OK"
    run_until(node, busy=False)
    answer = looping.received()
    assert answer.startswith(b"-ERR Script killed by user with SCRIPT KILL... script: ")
    assert answer.endswith(b", on @user_script:1.\r\n")
    assert node.client.error("SCRIPT", "KILL").startswith("NOTBUSY")
    answer = looping.raw("EVAL", "for i = 1, 2000 do pcall(error) end return 'here'", 0)
    if not answer:  # it was too slow for its first turn
        run_until(node, busy=False)
        answer = looping.received()
    assert answer == b"$4\r\nhere\r\n"


def test_others_wait_until_it_is_called_slow(node: InProcessNode) -> None:
    looping = start(node, "local n = redis.call('get', 'n') while true do end")
    assert node.client.raw("GET", "x") == b"", "held back"
    run_until(node, busy=True)
    assert node.client.received() == f"-{BUSY}\r\n".encode()
    assert node.client("MULTI") == b"OK"
    assert node.client.error("EVAL", "return 1", 0) == BUSY
    assert node.client.error("EXEC").startswith("EXECABORT")
    assert node.client.error("SHUTDOWN") == BUSY
    node.client("SCRIPT", "KILL")
    run_until(node, busy=False)
    assert looping.received().startswith(b"-ERR Script killed")


def test_who_was_held_back_goes_on_when_it_is_over(node: InProcessNode) -> None:
    node.client("CONFIG", "SET", "busy-reply-threshold", 10_000)
    working = start(node, "for i = 1, 2e7 do end redis.call('set', 'k', 'made') return 'done'")
    assert node.client.chunk(["GET", "k"], ["PING"]) == b""
    run_until(node, busy=False)
    assert working.received() == b"$4\r\ndone\r\n"
    assert node.client.received() == b"$4\r\nmade\r\n+PONG\r\n"


def test_what_it_writes_is_told_when_it_is_over_and_whole(node: InProcessNode) -> None:
    waiting = node.connect()
    assert waiting.raw("BLPOP", "q", 0) == b""
    script = "redis.call('rpush', 'q', 1, 2) for i = 1, 2e7 do end redis.call('rpush', 'q', 3) return 'done'"
    working = start(node, script)
    node.end_batch()
    assert (node.effects, waiting.received()) == ([], b"")
    run_until(node, busy=True)
    assert node.client.error("SCRIPT", "KILL").startswith("UNKILLABLE")
    node.now_ms += 1_000_000
    run_until(node, busy=False)
    assert working.received() == b"$4\r\ndone\r\n"
    assert waiting.decoded(waiting.received()) == [b"q", b"1"]
    multi, exec_ = [b"MULTI"], [b"EXEC"]
    writes = [[b"rpush", b"q", b"1", b"2"], [b"rpush", b"q", b"3"]]
    assert node.effects == [multi, *writes, exec_, [b"LPOP", b"q"]]


def test_time_stands_still_in_a_long_one_too(node: InProcessNode) -> None:
    node.client("SET", "k", "v", "PX", 50)
    working = start(node, "for i = 1, 2e7 do end return redis.call('get', 'k')")
    node.now_ms += 1_000
    run_until(node, busy=False)
    assert working.received() == b"$1\r\nv\r\n"
    assert node.client("GET", "k") is None


def test_a_loop_within_a_transaction(node: InProcessNode) -> None:
    client = node.connect()
    for line in (["MULTI"], ["SET", "a", 1], ["EVAL", "while true do end", 0], ["SET", "b", 2]):
        client(*line)
    assert client.raw("EXEC") == b""
    run_until(node, busy=True)
    assert node.client("SCRIPT", "KILL") == b"OK"
    run_until(node, busy=False)
    first, second, third = client.decoded(client.received())
    assert (first, third) == (b"OK", b"OK")
    assert "Script killed" in str(second)
    assert node.effects == [[b"MULTI"], [b"SET", b"a", b"1"], [b"SET", b"b", b"2"], [b"EXEC"]]


def test_its_client_may_go_away(node: InProcessNode) -> None:
    working = start(node, "redis.call('set', 'k', 1) for i = 1, 2e7 do end return redis.call('incr', 'k')")
    node.server.disconnect(working.session)
    run_until(node, busy=False)
    assert node.client("GET", "k") == b"2"


def test_the_end_of_the_process_ends_it(node: InProcessNode) -> None:
    start(node, "redis.call('set', 'k', 1) while true do pcall(function() while true do end end) end")
    assert node.server.pace.abandon(), "what it wrote is half of what it was to write"
    assert node.server.pace.suspended is None


def test_all_of_its_time_is_counted_once(node: InProcessNode) -> None:
    node.server.times.slow_ns = 1_000_000
    working = start(node, "for i = 1, 3e7 do end return redis.call('set', 'k', 'v')")
    assert node.server.slow_log.entries == [], "it is not known yet how long it takes"
    run_until(node, busy=True)
    run_until(node, busy=False)
    assert working.received() == b"+OK\r\n"
    entry = next(entry for entry in node.client("SLOWLOG", "GET") if entry[3][0] == b"EVAL")
    command = node.server.table.find(b"EVAL")
    assert command is not None
    assert (command.calls, entry[3][2]) == (1, b"0")
    assert entry[2] >= 30_000, "it was busy for so long"
    first_turn_us = command.spent_ns // 1000 - entry[2]
    assert 0 <= first_turn_us < entry[2] // 2, "and not twice"
