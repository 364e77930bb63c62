"""Frames: messages ↔ bytes. A frame is a length (4 bytes, big endian) and a msgpack array ``[kind, fields…]``.

Ids travel as 20 bytes, digests as 8; nothing is accepted that does not have exactly the expected shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import msgpack

from bus.messages import (
    DIGEST_BYTES,
    ITEMS_LIMIT,
    MEMBERS_LIMIT,
    SUSPECTS_LIMIT,
    Announcement,
    Data,
    DataQuestion,
    Fail,
    Heartbeat,
    Interest,
    Item,
    ManualFailoverStart,
    Member,
    Members,
    Message,
    Messages,
    TakeOver,
    Update,
    Vote,
    VoteRequest,
)
from bus.names import address_fault, host_name_fault
from bus.slots import bits_of, ranges_of_bits
from bus.view import COUNT_MAX, SLOT_COUNT

PROTOCOL_VERSION = 4
LENGTH_BYTES = 4
FRAME_LIMIT_BYTES = 1 << 20
"""The largest frame between nodes that have proven who they are."""
HANDSHAKE_FRAME_LIMIT_BYTES = 1 << 10
STRANGERS_FRAME_LIMIT_BYTES = 1 << 16
"""From a node that is no member of the cluster: of what it says only an invitation counts."""
PIECE_BYTES = 1 << 16
"""A longer message travels in pieces, so that others need not wait for the whole of it."""
MESSAGE_LIMIT_BYTES = 1 << 30
"""The longest message: a channel and a message of the size that Redis allows by default."""
_PIECE = b"\xc1"
TEXT_LIMIT = 255
_MANY_RANGES = 512
"""More slots than that are sent as a bitmap."""
_BITMAP_BYTES = SLOT_COUNT // 8


class FrameError(Exception):
    """A peer sent what no node sends. The reason is one phrase for the log."""


def pack(value: object) -> bytes:
    """One frame around a msgpack value."""
    body: bytes = msgpack.packb(value, use_bin_type=True)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def unpack(body: bytes) -> Any:
    """A frame's value; raises FrameError."""
    size = len(body)
    try:
        return msgpack.unpackb(
            body, raw=False, strict_map_key=True, max_str_len=TEXT_LIMIT * 4, max_bin_len=size,
            max_array_len=min(size, 2 * SLOT_COUNT), max_map_len=0, max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise FrameError(f"no msgpack value ({type(error).__name__})") from None


def pieces(body: bytes) -> list[bytes]:
    """The frames in which a message travels: itself, or (marked by a byte that begins no message) its pieces."""
    if len(body) <= PIECE_BYTES:
        return [body]
    view = memoryview(body)
    found = []
    for start in range(0, len(body), PIECE_BYTES):
        piece = view[start : start + PIECE_BYTES]
        left = len(body) - start - len(piece)
        found.append(b"".join((_PIECE, left.to_bytes(LENGTH_BYTES, "big"), piece)))
    return found


class Joiner:
    """The other end of `pieces`: frames → messages. Other frames may come between the pieces of one."""

    __slots__ = ("_held", "_left", "limit")

    def __init__(self, limit: int = MESSAGE_LIMIT_BYTES) -> None:
        self._held = bytearray()
        self._left = 0
        self.limit = limit

    def take(self, body: bytes) -> bytes | None:
        """The message that `body` is or completes, or None. Raises FrameError."""
        if body[:1] != _PIECE:
            return body
        head = 1 + LENGTH_BYTES
        left, size = int.from_bytes(body[1:head], "big"), len(body) - head
        if size < 1 or left + len(self._held) + size > self.limit:
            raise FrameError("a piece out of shape")
        if self._held and left + size != self._left:
            raise FrameError("a piece of another message")
        self._held += body[head:]
        self._left = left
        if left:
            return None
        whole = bytes(self._held)
        self._held = bytearray()
        return whole


class FrameReader:
    """Bytes → frame bodies. `limit` may be raised once the peer is trusted."""

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int = HANDSHAKE_FRAME_LIMIT_BYTES) -> None:
        self._buffer = bytearray()
        self.limit = limit

    def missing(self) -> int:
        """How many bytes to read next so as not to read beyond the frame at hand."""
        held = len(self._buffer)
        if held < LENGTH_BYTES:
            return LENGTH_BYTES - held
        length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if length > self.limit:
            raise FrameError(f"a frame of {length} bytes")
        return LENGTH_BYTES + length - held

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete; raises FrameError at a length over the limit."""
        self._buffer += data
        while len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if length > self.limit:
                raise FrameError(f"a frame of {length} bytes")
            end = LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[LENGTH_BYTES:end])
            del self._buffer[:end]
            yield body


# -- fields ------------------------------------------------------------------------------------------------------

Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _same(value: Any) -> Any:
    return value


def _check_count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise FrameError("a number out of range")
    return value


def _check_optional_count(value: Any) -> int | None:
    return None if value is None else _check_count(value)


def _check_port(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 65535:
        raise FrameError("a port out of range")
    return value


def _check_text(value: Any) -> str:
    if type(value) is not str or len(value) > TEXT_LIMIT:
        raise FrameError("a text out of shape")
    # It will stand in a field of nodes.conf and CLUSTER NODES.
    if not (value.isascii() and value.isprintable()) or " " in value or "," in value:
        raise FrameError("a text with characters that no name has")
    return value


def _check_address(value: Any) -> str:
    if address_fault(text := _check_text(value)):
        raise FrameError("an address that is none")
    return text


def _check_host_name(value: Any) -> str:
    if host_name_fault(text := _check_text(value)):
        raise FrameError("a host name that is none")
    return text


def _check_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise FrameError("a flag that is none")
    return value


def _check_digest(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != DIGEST_BYTES:
        raise FrameError("a digest out of shape")
    return value


def check_id(value: Any) -> str:
    """20 bytes → 40 hex digits."""
    if type(value) is not bytes or len(value) != 20:
        raise FrameError("an id out of shape")
    return value.hex()


def _check_optional_id(value: Any) -> str:
    return "" if value == b"" else check_id(value)


def _list(value: Any, limit: int) -> list[Any]:
    if type(value) is not list or len(value) > limit:
        raise FrameError("a list out of shape")
    return value


def _pack_ranges(value: Any) -> list[int]:
    """Ranges as one flat list, each bound as its distance from the one before: small numbers are one byte."""
    flat, last = [], 0
    for start, end in value:
        flat += [start - last, end - start]
        last = end
    return flat


def _check_ranges(value: Any) -> tuple[tuple[int, int], ...]:
    flat = _list(value, 2 * SLOT_COUNT)
    if len(flat) % 2:
        raise FrameError("slot ranges out of shape")
    ranges: list[tuple[int, int]] = []
    last = 0
    for gap, length in zip(flat[::2], flat[1::2], strict=True):
        start = last + _check_count(gap)
        end = start + _check_count(length)
        if end >= SLOT_COUNT or (ranges and gap < 1):
            raise FrameError("slot ranges out of range")
        ranges.append((start, end))
        last = end
    return tuple(ranges)


def _pack_bits(value: int) -> list[int] | bytes:
    """Slots as ranges where they are few, else as one bit each."""
    ranges = ranges_of_bits(value) if value.bit_count() <= _MANY_RANGES else ()
    return _pack_ranges(ranges) if ranges or not value else value.to_bytes(_BITMAP_BYTES, "little")


def _check_bits(value: Any) -> int:
    if type(value) is not bytes:
        return bits_of(_check_ranges(value))
    if len(value) != _BITMAP_BYTES:
        raise FrameError("slots out of shape")
    return int.from_bytes(value, "little")


def _pack_items(value: Any) -> list[list[Any]]:
    return [[one.channel, one.message, one.sharded] for one in value]


def _check_items(value: Any) -> tuple[Item, ...]:
    found = []
    for one in _list(value, ITEMS_LIMIT):
        channel, message, sharded = _exactly(_list(one, 3), 3)
        if type(channel) is not bytes or type(message) is not bytes:
            raise FrameError("a published message out of shape")
        found.append(Item(channel, message, _check_flag(sharded)))
    return tuple(found)


def _check_kind(value: Any) -> str:
    if value not in (0, 1) or type(value) is not int:
        raise FrameError("a heartbeat of no kind")
    return "pong" if value else "ping"


def _pack_members(value: Any) -> list[list[Any]]:
    return [[bytes.fromhex(one.node_id), one.ip, one.port, one.bus_port] for one in value]


def _check_members(value: Any) -> tuple[Member, ...]:
    found = []
    for one in _list(value, MEMBERS_LIMIT):
        node_id, ip, port, bus_port = _exactly(_list(one, 4), 4)
        found.append(Member(check_id(node_id), _check_address(ip), _check_port(port), _check_port(bus_port)))
    return tuple(found)


def _exactly(values: list[Any], count: int) -> list[Any]:
    if len(values) != count:
        raise FrameError("a wrong number of fields")
    return values


_COUNT: Codec = (_same, _check_count)
_OPTIONAL_COUNT: Codec = (_same, _check_optional_count)
_PORT: Codec = (_same, _check_port)
_TEXT: Codec = (_same, _check_text)
_ADDRESS: Codec = (_same, _check_address)
_HOST_NAME: Codec = (_same, _check_host_name)
_FLAG: Codec = (_same, _check_flag)
_DIGEST: Codec = (_same, _check_digest)
_NODE: Codec = (bytes.fromhex, check_id)
_OPTIONAL_NODE: Codec = (bytes.fromhex, _check_optional_id)
_SLOTS: Codec = (_pack_ranges, _check_ranges)
_BITS: Codec = (_pack_bits, _check_bits)
_IDS: Codec = (
    lambda value: [bytes.fromhex(one) for one in value],
    lambda value: tuple(check_id(one) for one in _list(value, SUSPECTS_LIMIT)),
)

_SHAPES: tuple[tuple[type[Any], dict[str, Codec]], ...] = (
    (Heartbeat, {
        "kind": (lambda value: int(value == "pong"), _check_kind), "epoch": _COUNT, "config_epoch": _COUNT,
        "offset": _COUNT, "digest": _DIGEST, "members": _DIGEST, "suspects": _IDS, "complete": _FLAG,
        "failed": _COUNT, "want": _COUNT, "flags": _COUNT, "serial": _COUNT, "interest": _COUNT,
    }),
    (Announcement, {
        "epoch": _COUNT, "config_epoch": _COUNT, "ip": _ADDRESS, "port": _PORT, "bus_port": _PORT, "tls_port": _PORT,
        "hostname": _HOST_NAME, "human_name": _TEXT, "shard_id": _NODE, "primary_id": _OPTIONAL_NODE,
        "nofailover": _FLAG, "slots": _SLOTS, "cluster_id": _OPTIONAL_NODE, "offset": _COUNT, "meet": _FLAG,
    }),
    (Members, {"members": (_pack_members, _check_members)}),
    (Fail, {"node_id": _NODE}),
    (Update, {"node_id": _NODE, "config_epoch": _COUNT, "slots": _SLOTS}),
    (VoteRequest, {"epoch": _COUNT, "config_epoch": _COUNT, "slots": _SLOTS, "forced": _FLAG}),
    (Vote, {"epoch": _COUNT}),
    (ManualFailoverStart, {}),
    (Interest, {"version": _COUNT, "base": _COUNT, "everything": _FLAG, "slots": _BITS}),
    (Messages, {"items": (_pack_items, _check_items)}),
    (DataQuestion, {}),
    (Data, {
        "replid": _OPTIONAL_NODE, "offset": _COUNT, "age_ms": _OPTIONAL_COUNT, "has_keys": _FLAG, "is_loading": _FLAG,
    }),
    (TakeOver, {}),
)
_NUMBER = {kind: number for number, (kind, _) in enumerate(_SHAPES)}
for _kind, _shape in _SHAPES:
    assert [one.name for one in fields(_kind)] == list(_shape), _kind


def encode(message: Message) -> bytes:
    """The body of a message's frame."""
    number = _NUMBER[type(message)]
    shape = _SHAPES[number][1]
    values = [codec[0](getattr(message, name)) for name, codec in shape.items()]
    body: bytes = msgpack.packb([number, *values], use_bin_type=True)
    return body


def decode(body: bytes) -> Message:
    """The message in a frame's body. Raises FrameError, and nothing else."""
    values = unpack(body)
    if type(values) is not list or not values:
        raise FrameError("no message")
    number = values[0]
    if type(number) is not int or not 0 <= number < len(_SHAPES):
        raise FrameError("a message of an unknown kind")
    kind, shape = _SHAPES[number]
    rest = _exactly(values[1:], len(shape))
    message: Message = kind(*(codec[1](value) for value, codec in zip(rest, shape.values(), strict=True)))
    return message
