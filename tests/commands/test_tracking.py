"""Client-side caching: what the comparison with redis-server (tests/differential/test_tracking.py) does not see."""

from __future__ import annotations

from tests.commands.in_process import Client, InProcessNode


def tracking(node: InProcessNode, *options: str) -> Client:
    client = node.connect()
    client("HELLO", 3)
    client("CLIENT", "TRACKING", "ON", *options)
    return client


def figures(node: InProcessNode) -> tuple[int, int, int, int]:
    tracking = node.server.tracking
    return tracking.clients, tracking.keys, tracking.items, tracking.prefixes


def test_of_too_many_keys_some_are_forgotten_and_their_readers_told(node: InProcessNode) -> None:
    node("CONFIG", "SET", "tracking-table-max-keys", 100)
    reader = tracking(node)
    for number in range(350):
        reader("GET", f"key:{number}")
    assert figures(node) == (1, 350, 350, 0)
    node.server.tracking.tick()
    assert figures(node)[1] == 250, "not all at once"
    node.server.tracking.tick()
    assert figures(node)[1] == 100
    assert reader.received().count(b"invalidate") == 250


def test_who_goes_leaves_nothing_behind(node: InProcessNode) -> None:
    reader, listener = tracking(node), tracking(node, "BCAST", "PREFIX", "a", "PREFIX", "b")
    reader("GET", "a")
    assert figures(node) == (2, 1, 1, 2)
    node.server.disconnect(listener.session)
    assert figures(node) == (1, 1, 1, 0)
    node.server.disconnect(reader.session)
    assert figures(node) == (0, 0, 0, 0)
    assert not node.server.ctx.observed, "writes cost nothing more than before"


def test_a_key_that_expires_by_itself_is_told_too(node: InProcessNode) -> None:
    reader, listener = tracking(node), tracking(node, "BCAST", "NOLOOP")
    node("SET", "a", "x", "PX", 10)
    listener.received()
    assert reader("GET", "a") == b"x"
    node.advance(20)
    node.server.start_batch()
    assert node("GET", "a") is None
    for client in (reader, listener):
        assert client.received() == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"


def test_client_list_shows_who_tracks(node: InProcessNode) -> None:
    tracking(node, "BCAST")
    lines = node("CLIENT", "LIST").decode().splitlines()
    assert ["flags=tB" in line and "redir=0" in line for line in lines] == [False, True]
