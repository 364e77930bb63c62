"""The handshake of links: who gets through, who does not, and what a seal holds off."""

from __future__ import annotations

from typing import Any

import pytest

from bus.auth import LinkHandshake, Seal
from bus.frames import LENGTH_BYTES, PROTOCOL_VERSION, FrameError, pack

A, B, CLUSTER = "aa" * 20, "bb" * 20, "cc" * 20
SECRET = b"the secret"


def _body(value: Any) -> bytes:
    return pack(value)[LENGTH_BYTES:]


def _side(initiator: bool, secret: bytes = SECRET, **changes: Any) -> LinkHandshake:
    given: dict[str, Any] = {
        "node_id": A if initiator else B, "cluster_id": CLUSTER, "nonce": (b"i" if initiator else b"r") * 16,
    }
    return LinkHandshake(initiator=initiator, secret=secret, **{**given, **changes})


def _greet(initiator: LinkHandshake, responder: LinkHandshake) -> None:
    """Carry what each side says to the other until both are silent."""
    to_responder, to_initiator = [initiator.hello], [responder.hello]
    while to_responder or to_initiator:
        said = [answer for one in to_initiator for answer in initiator.receive(_body(one))]
        to_initiator = [answer for one in to_responder for answer in responder.receive(_body(one))]
        to_responder = said


def _sealed_pair() -> tuple[Seal, Seal]:
    initiator, responder = _side(True), _side(False)
    _greet(initiator, responder)
    return initiator.seal, responder.seal


@pytest.mark.parametrize("secret", [b"", SECRET])
def test_both_sides_get_to_know_each_other(secret: bytes) -> None:
    initiator, responder = _side(True, secret), _side(False, secret, cluster_id="")
    _greet(initiator, responder)
    assert initiator.done
    assert responder.done
    assert (initiator.peer_id, initiator.peer_cluster_id) == (B, "")
    assert (responder.peer_id, responder.peer_cluster_id) == (A, CLUSTER)
    for sender, receiver in ((initiator, responder), (responder, initiator)):
        for body in (b"one", b"two", b""):
            assert receiver.seal.open(sender.seal.seal(body)) == body


def test_another_secret_is_refused() -> None:
    with pytest.raises(FrameError, match="another cluster-secret"):
        _greet(_side(True), _side(False, b"another"))


@pytest.mark.parametrize("secrets", [(SECRET, b""), (b"", SECRET)])
def test_a_secret_on_one_side_only_is_refused_by_both(secrets: tuple[bytes, bytes]) -> None:
    initiator, responder = _side(True, secrets[0]), _side(False, secrets[1])
    for side, hello in ((initiator, responder.hello), (responder, initiator.hello)):
        with pytest.raises(FrameError, match="on one side only"):
            side.receive(_body(hello))


def test_who_connects_proves_first() -> None:
    """A stranger gets no proof to try secrets against."""
    responder = _side(False)
    assert responder.receive(_body(_side(True, b"guess").hello)) == []


def test_a_greeting_or_a_proof_sent_back_is_refused() -> None:
    initiator = _side(True)
    with pytest.raises(FrameError, match="sent back"):
        initiator.receive(_body(initiator.hello))
    initiator = _side(True)
    [proof] = initiator.receive(_body(_side(False).hello))
    with pytest.raises(FrameError, match="another cluster-secret"):
        initiator.receive(_body(proof))


def test_a_recorded_greeting_does_not_serve_twice() -> None:
    initiator, responder = _side(True), _side(False)
    [proof] = initiator.receive(_body(responder.hello))
    again = _side(False, nonce=b"n" * 16)
    again.receive(_body(initiator.hello))
    with pytest.raises(FrameError):
        again.receive(_body(proof))


@pytest.mark.parametrize("hello", [
    b"GET / HTTP/1.1\r\n\r\n",
    _body(["hello"]),
    _body(["hullo", PROTOCOL_VERSION, b"b" * 20, b"", b"n" * 16, True]),
    _body(["hello", PROTOCOL_VERSION, b"b" * 19, b"", b"n" * 16, True]),
    _body(["hello", PROTOCOL_VERSION, b"b" * 20, b"c", b"n" * 16, True]),
    _body(["hello", PROTOCOL_VERSION, b"b" * 20, b"", b"n" * 15, True]),
    _body(["hello", PROTOCOL_VERSION, b"b" * 20, b"", b"n" * 16, 1]),
    _body(["hello", True, b"b" * 20, b"", b"n" * 16, True]),
    _body(["hello", [], b"b" * 20, b"", b"n" * 16, True]),
])  # fmt: skip
def test_a_greeting_out_of_shape_is_refused(hello: bytes) -> None:
    with pytest.raises(FrameError):
        _side(True).receive(hello)


def test_another_protocol_version_is_named() -> None:
    hello = _side(False).hello
    hello[1] = 99
    with pytest.raises(FrameError, match=f"protocol version 99 .ours is {PROTOCOL_VERSION}."):
        _side(True).receive(_body(hello))


@pytest.mark.parametrize(
    "proof", [b"", _body(["proof"]), _body(["proof", "text"]), _body(["proof", b""]), _body([1, b""])]
)
def test_a_proof_out_of_shape_is_refused(proof: bytes) -> None:
    initiator = _side(True)
    initiator.receive(_body(_side(False).hello))
    with pytest.raises(FrameError):
        initiator.receive(proof)


def test_a_seal_holds_off_what_is_not_the_next_frame_of_the_peer() -> None:
    frames = ["altered", "cut", "repeated", "skipped", "reflected", "empty"]
    for kind in frames:
        mine, theirs = _sealed_pair()
        first, second = mine.seal(b"first"), mine.seal(b"second")
        bad = {
            "altered": bytes([first[0] ^ 1]) + first[1:], "cut": first[:-1], "repeated": first, "skipped": second,
            "reflected": theirs.seal(b"first"), "empty": b"",
        }[kind]
        if kind == "repeated":
            assert theirs.open(first) == b"first"
        with pytest.raises(FrameError, match="seal"):
            theirs.open(bad)


def test_without_a_secret_frames_are_plain() -> None:
    seal = Seal()
    assert seal.seal(b"body") == b"body"
    assert seal.open(b"body") == b"body"
