"""Long pipelines: a client has its turn and no more, and nothing of what it sent is lost or done out of order."""

from __future__ import annotations

from cluster.protocol.replies import request
from tests.commands.in_process import Client, InProcessNode

COUNT = 60_000
"""More commands than fit any turn."""


def begin(client: Client, *requests: bytes) -> bytes:
    """What a client is sent in the batch in which its pipeline came."""
    client.node.server.start_batch()
    client.session.receive(b"".join(requests))
    client.node.server.end_batch()
    return client.received()


def finish(node: InProcessNode, client: Client) -> bytes:
    """What it is sent in all the batches after that."""
    replies = []
    while client.session.rest is not None and not client.session.is_waiting:
        for session in node.server.take_unfinished():
            session.resume()
        node.server.end_batch()
        replies.append(client.received())
    return b"".join(replies)


def numbers(first: int, last: int) -> bytes:
    return b"".join(b":%d\r\n" % number for number in range(first, last + 1))


def test_another_client_is_served_before_a_long_pipeline_is_through(node: InProcessNode) -> None:
    busy = node.connect()
    early = begin(busy, request([b"INCR", b"n"]) * COUNT)
    assert 0 < int(node("GET", "n")) < COUNT
    assert early + finish(node, busy) == numbers(1, COUNT)


def test_what_comes_meanwhile_waits_for_its_turn(node: InProcessNode) -> None:
    busy = node.connect()
    replies = begin(busy, request([b"INCR", b"n"]) * COUNT)
    replies += begin(busy, request([b"PING"]))
    assert replies + finish(node, busy) == numbers(1, COUNT) + b"+PONG\r\n"


def test_inline_commands_take_turns_too(node: InProcessNode) -> None:
    busy = node.connect()
    early = begin(busy, b"INCR n\r\n" * COUNT)
    assert 0 < int(node("GET", "n")) < COUNT
    assert early + finish(node, busy) == numbers(1, COUNT)


def test_a_transaction_may_last_several_turns(node: InProcessNode) -> None:
    busy = node.connect()
    early = begin(busy, request([b"MULTI"]), request([b"INCR", b"n"]) * COUNT, request([b"EXEC"]))
    assert node("GET", "n") is None
    assert early + finish(node, busy) == (
        b"+OK\r\n" + b"+QUEUED\r\n" * COUNT + b"*%d\r\n" % COUNT + numbers(1, COUNT)
    )


def test_a_wait_in_the_middle_holds_up_what_follows(node: InProcessNode) -> None:
    busy = node.connect()
    increments = request([b"INCR", b"n"]) * COUNT
    early = begin(busy, increments, request([b"BLPOP", b"list", b"0"]), increments)
    assert early + finish(node, busy) == numbers(1, COUNT)
    assert node("GET", "n") == b"%d" % COUNT
    node("RPUSH", "list", "x")
    popped = b"*2\r\n$4\r\nlist\r\n$1\r\nx\r\n"
    assert busy.received() + finish(node, busy) == popped + numbers(COUNT + 1, 2 * COUNT)


def test_a_broken_request_ends_the_pipeline_where_it_stands(node: InProcessNode) -> None:
    busy = node.connect()
    early = begin(busy, request([b"INCR", b"n"]) * COUNT, b"*1\r\n:1\r\n", request([b"INCR", b"n"]) * COUNT)
    assert early + finish(node, busy) == numbers(1, COUNT) + b"-ERR Protocol error: expected '$', got ':'\r\n"
    assert busy.session.closing


def test_a_client_that_leaves_takes_its_pipeline_along(node: InProcessNode) -> None:
    busy = node.connect()
    begin(busy, request([b"INCR", b"n"]) * COUNT)
    done = node("GET", "n")
    node.server.disconnect(busy.session)
    assert not node.server.unfinished
    assert node("GET", "n") == done
