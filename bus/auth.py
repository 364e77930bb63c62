"""Who is at the other end: the handshake of a link, and the seal on every frame after it.

Both sides say HELLO with a nonce. With a shared secret (cluster-secret) each then proves to know it, by an HMAC over
both HELLOs; who connected goes first, so that a stranger who connects gets nothing to guess the secret by. Every
later frame carries a truncated HMAC over its position in the stream: a frame that is altered, repeated, left out,
reordered or sent back does not open. Without a secret the HELLOs are all there is.

Pure: bodies of frames in, bodies out; the nonce is an argument.
"""

from __future__ import annotations

import hmac
from typing import Any

from bus.frames import LENGTH_BYTES, PROTOCOL_VERSION, FrameError, check_id, pack, unpack

NONCE_BYTES = 16
MAC_BYTES = 16
_DIGEST = "sha256"
_HELLO = "hello"
_PROOF = "proof"


def _hmac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), _DIGEST)


class Seal:
    """Seals what goes out, opens what comes in; without keys both leave a frame as it is."""

    __slots__ = ("_in_key", "_in_number", "_out_key", "_out_number")

    def __init__(self, out_key: bytes = b"", in_key: bytes = b"") -> None:
        self._out_key = out_key
        self._in_key = in_key
        self._out_number = 0
        self._in_number = 0

    @property
    def added_bytes(self) -> int:
        """By how much a sealed frame is longer than its body."""
        return MAC_BYTES if self._out_key else 0

    def seal(self, body: bytes) -> bytes:
        if not self._out_key:
            return body
        mac = _hmac(self._out_key, self._out_number.to_bytes(8, "big"), body)[:MAC_BYTES]
        self._out_number += 1
        return body + mac

    def open(self, frame: bytes) -> bytes:
        """The body; raises FrameError when the seal is broken."""
        if not self._in_key:
            return frame
        body, mac = frame[:-MAC_BYTES], frame[-MAC_BYTES:]
        expected = _hmac(self._in_key, self._in_number.to_bytes(8, "big"), body)[:MAC_BYTES]
        if not hmac.compare_digest(mac, expected):
            raise FrameError("a frame whose seal does not fit")
        self._in_number += 1
        return body


class LinkHandshake:
    """One side of a link's beginning. `done` once the peer has said (and, with a secret, proven) who it is."""

    def __init__(self, *, initiator: bool, node_id: str, cluster_id: str, secret: bytes, nonce: bytes) -> None:
        self._initiator = initiator
        self._secret = secret
        self.hello = _pack_hello(node_id, cluster_id, nonce, bool(secret))
        self.done = False
        self.peer_id = ""
        self.peer_cluster_id = ""
        self.seal = Seal()
        self._transcript = b""

    def receive(self, body: bytes) -> list[Any]:
        """Take the peer's next frame; what to answer (values to be packed). Raises FrameError."""
        if not self._transcript:
            return self._take_hello(body)
        return self._take_proof(body)

    def _take_hello(self, body: bytes) -> list[Any]:
        values = unpack(body)
        if type(values) is not list or len(values) != 6 or values[0] != _HELLO:
            raise FrameError("no greeting of a cluster node")
        version, node_id, cluster_id, nonce, sealed = values[1:]
        if type(version) is not int or version != PROTOCOL_VERSION:
            said = version if type(version) is int else "unknown"
            raise FrameError(f"protocol version {said} (ours is {PROTOCOL_VERSION})")
        self.peer_id = check_id(node_id)
        self.peer_cluster_id = "" if cluster_id == b"" else check_id(cluster_id)
        if type(nonce) is not bytes or len(nonce) != NONCE_BYTES or type(sealed) is not bool:
            raise FrameError("a greeting out of shape")
        if sealed != bool(self._secret):
            raise FrameError("a cluster-secret on one side only")
        mine = _packed(self.hello)
        if body == mine:
            raise FrameError("our own greeting sent back")
        self._transcript = mine + body if self._initiator else body + mine
        if not self._secret:
            self.done = True
            return []
        return [[_PROOF, self._proof(True)]] if self._initiator else []

    def _proof(self, initiator: bool) -> bytes:
        return _hmac(self._secret, b"initiator's proof" if initiator else b"responder's proof", self._transcript)

    def _take_proof(self, body: bytes) -> list[Any]:
        values = unpack(body)
        if type(values) is not list or len(values) != 2 or values[0] != _PROOF or type(values[1]) is not bytes:
            raise FrameError("no proof of the cluster-secret")
        if not hmac.compare_digest(values[1], self._proof(not self._initiator)):
            raise FrameError("another cluster-secret")
        forth = _hmac(self._secret, b"initiator to responder", self._transcript)
        back = _hmac(self._secret, b"responder to initiator", self._transcript)
        self.seal = Seal(forth, back) if self._initiator else Seal(back, forth)
        self.done = True
        return [] if self._initiator else [[_PROOF, self._proof(False)]]


def _pack_hello(node_id: str, cluster_id: str, nonce: bytes, sealed: bool) -> list[Any]:
    return [_HELLO, PROTOCOL_VERSION, bytes.fromhex(node_id), bytes.fromhex(cluster_id), nonce, sealed]


def _packed(value: Any) -> bytes:
    return pack(value)[LENGTH_BYTES:]
