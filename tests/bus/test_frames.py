"""Messages survive the wire; nothing else gets through, and nothing but FrameError comes of it."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.frames import (
    FRAME_LIMIT_BYTES,
    LENGTH_BYTES,
    PIECE_BYTES,
    FrameError,
    FrameReader,
    Joiner,
    decode,
    encode,
    pack,
    pieces,
    unpack,
)
from bus.messages import (
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
from bus.slots import ALL_SLOTS, bits_of, bits_of_slots, ranges_of_bits

IDS = st.binary(min_size=20, max_size=20).map(bytes.hex)
OPTIONAL_IDS = st.one_of(st.just(""), IDS)
COUNTS = st.integers(0, (1 << 63) - 1)
PORTS = st.integers(0, 65535)
DIGESTS = st.binary(min_size=8, max_size=8)
TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters=" ,"), max_size=60)
LABELS = st.from_regex(r"[0-9A-Za-z-]{1,9}", fullmatch=True)
HOST_NAMES = st.one_of(st.just(""), st.lists(LABELS, min_size=1, max_size=4).map(".".join))
ADDRESSES = st.one_of(HOST_NAMES, st.ip_addresses().map(str))
SLOTS = st.sets(st.integers(0, 16383), max_size=30).map(lambda slots: ranges_of_bits(bits_of_slots(slots)))

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Heartbeat, kind=st.sampled_from(["ping", "pong"]), epoch=COUNTS, config_epoch=COUNTS, offset=COUNTS,
        digest=DIGESTS, members=DIGESTS, suspects=st.lists(IDS, max_size=64).map(tuple), complete=st.booleans(),
        want=COUNTS, flags=COUNTS, serial=COUNTS, interest=COUNTS,
    ),
    st.builds(
        Announcement, epoch=COUNTS, config_epoch=COUNTS, ip=ADDRESSES, port=PORTS, bus_port=PORTS, tls_port=PORTS,
        hostname=HOST_NAMES, human_name=TEXTS, shard_id=IDS, primary_id=OPTIONAL_IDS, nofailover=st.booleans(),
        slots=SLOTS, cluster_id=OPTIONAL_IDS, offset=COUNTS, meet=st.booleans(),
    ),
    st.builds(Members, st.lists(st.builds(Member, IDS, ADDRESSES, PORTS, PORTS), max_size=20).map(tuple)),
    st.builds(Fail, IDS),
    st.builds(Update, IDS, COUNTS, SLOTS),
    st.builds(VoteRequest, COUNTS, COUNTS, SLOTS, st.booleans()),
    st.builds(Vote, COUNTS),
    st.just(ManualFailoverStart()),
    st.just(DataQuestion()),
    st.just(TakeOver()),
    st.builds(Data, OPTIONAL_IDS, COUNTS, COUNTS | st.none(), st.booleans(), st.booleans()),
    st.builds(Interest, COUNTS, COUNTS, st.booleans(), st.one_of(SLOTS.map(bits_of), st.integers(0, ALL_SLOTS))),
    st.builds(Messages, st.lists(st.builds(Item, st.binary(max_size=40), st.binary(max_size=2000), st.booleans()),
                                 max_size=8).map(tuple)),
)
HEARTBEAT = Heartbeat("ping", 7, 3, 1_000_000, b"d" * 8, b"m" * 8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), st.binary(max_size=24),
              st.text(max_size=24)),
    lambda inner: st.one_of(st.lists(inner, max_size=12), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=20,
)


@given(MESSAGES)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decode(encode(message)) == message


@given(MESSAGES, st.data())
def test_a_damaged_message_is_another_message_or_an_error(message: Message, data: st.DataObject) -> None:
    body = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(body)))
    _decode_or_refuse(bytes(body[:end]))


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    _decode_or_refuse(noise)


@given(VALUES, st.integers(0, 10))
def test_msgpack_of_another_shape_is_refused(value: object, number: int) -> None:
    _decode_or_refuse(msgpack.packb(value))
    _decode_or_refuse(msgpack.packb([number, value]))
    if isinstance(value, list):
        _decode_or_refuse(msgpack.packb([number, *value]))


def _decode_or_refuse(body: bytes) -> None:
    try:
        message = decode(body)
    except FrameError:
        return
    assert decode(encode(message)) == message


@pytest.mark.parametrize("body", [
    b"",
    b"\xc1",
    b"\x91" * 100_000 + b"\x00",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    msgpack.packb(msgpack.ExtType(5, b"x")),
    msgpack.packb([3, msgpack.ExtType(5, b"x" * 20)]),
    msgpack.packb({1: 2}),
    msgpack.packb([3, b"i" * 20]) + b"\x00",
    b"\x92\x03\xa2\xff\xfe",
])  # fmt: skip
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode(body)


@pytest.mark.parametrize("values", [
    [],
    [99],
    [-1],
    [True, b"i" * 20],
    [3],
    [3, b"i" * 19],
    [3, "i" * 20],
    [3, b"i" * 20, 1],
    [6, -1],
    [6, 1 << 63],
    [6, 1.0],
    [6, True],
    [4, b"i" * 20, 1, [0]],
    [4, b"i" * 20, 1, [16384, 0]],
    [4, b"i" * 20, 1, [0, 16384]],
    [4, b"i" * 20, 1, [0, 5, 0, 1]],
    [4, b"i" * 20, 1, [-1, 5]],
    [2, [[b"i" * 20, "1.1.1.1", 70_000, 1]]],
    [2, [[b"i" * 20, "a b", 1, 1]]],
    [2, [[b"i" * 20, "a,b", 1, 1]]],
    [2, [[b"i" * 20, "a\nb", 1, 1]]],
    [2, [[b"i" * 20, "a" * 256, 1, 1]]],
    [2, [[b"i" * 20, "a..b", 1, 1]]],
    [2, [[b"i" * 20, "1.1.1.1:5", 1, 1]]],
    [1, 1, 1, "a..b", 1, 1, 0, "", "", b"i" * 20, b"", False, [], b"", 0, False],
    [1, 1, 1, "1.1.1.1", 1, 1, 0, "a_b", "", b"i" * 20, b"", False, [], b"", 0, False],
    [2, [[b"i" * 20, "1.1.1.1", 1, 1]] * 129],
    [0, 2, 1, 1, 1, b"d" * 8, b"m" * 8, [], True, 0, 0, 0, 0],
    [0, 0, 1, 1, 1, b"d" * 7, b"m" * 8, [], True, 0, 0, 0, 0],
    [0, 0, 1, 1, 1, b"d" * 8, b"m" * 8, [b"i" * 20] * 65, True, 0, 0, 0, 0],
    [0, 0, 1, 1, 1, b"d" * 8, b"m" * 8, {}, True, 0, 0, 0, 0],
    [0, 0, 1, 1, 1, b"d" * 8, b"m" * 8, [], 1, 0, 0, 0, 0],
    [8, 1, 0, 1, []],
    [8, 1, 0, False, [16384, 0]],
    [8, 1, 0, False, b"x" * 2047],
    [8, -1, 0, False, []],
    [9, [[b"c", b"m"]]],
    [9, [["c", b"m", False]]],
    [9, [[b"c", "m", False]]],
    [9, [[b"c", b"m", 1]]],
    [9, [[b"c", b"m", False]] * 1025],
])  # fmt: skip
def test_values_out_of_shape_are_refused(values: list[object]) -> None:
    with pytest.raises(FrameError):
        decode(pack(values)[LENGTH_BYTES:])


def test_all_slots_one_by_one_fit_a_frame() -> None:
    every_other = tuple((slot, slot) for slot in range(0, 16384, 2))
    message = Update("ab" * 20, 1, every_other)
    body = encode(message)
    assert len(body) < FRAME_LIMIT_BYTES
    assert decode(body) == message


def test_a_heartbeat_is_small() -> None:
    """An idle cluster's traffic is made of these."""
    assert len(encode(HEARTBEAT)) <= 40


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 9))
def test_frames_come_out_however_the_bytes_are_cut(bodies: list[bytes], size: int) -> None:
    stream = b"".join(len(body).to_bytes(LENGTH_BYTES, "big") + body for body in bodies)
    reader = FrameReader()
    found = [
        body for start in range(0, len(stream), size) for body in reader.feed(stream[start : start + size])
    ]
    assert found == bodies


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_reading_what_is_missing_never_takes_in_the_next_frame(bodies: list[bytes]) -> None:
    stream = b"".join(len(body).to_bytes(LENGTH_BYTES, "big") + body for body in bodies)
    reader, found, at = FrameReader(), [], 0
    while at < len(stream):
        wanted = reader.missing()
        complete = list(reader.feed(stream[at : at + wanted]))
        assert len(complete) <= 1
        found += complete
        at += wanted
    assert found == bodies


def test_a_length_over_the_limit_is_refused_before_the_bytes_come() -> None:
    reader = FrameReader(limit=100)
    assert list(reader.feed((100).to_bytes(4, "big"))) == []
    for use in (lambda: list(FrameReader(100).feed((101).to_bytes(4, "big"))), lambda: _missing_of(101)):
        with pytest.raises(FrameError, match="a frame of 101 bytes"):
            use()


def _missing_of(length: int) -> int:
    reader = FrameReader(limit=length)
    list(reader.feed(length.to_bytes(4, "big")))
    reader.limit = length - 1
    return reader.missing()


def test_unpack_takes_plain_values_only() -> None:
    assert unpack(pack([1, b"a", "b", True])[LENGTH_BYTES:]) == [1, b"a", "b", True]


@given(st.binary(min_size=1, max_size=300), st.integers(0, 5))
def test_a_long_message_is_cut_and_joined(seed: bytes, factor: int) -> None:
    body = b"\x92" + seed * (factor * PIECE_BYTES // len(seed))
    frames = pieces(body)
    assert max(map(len, frames)) <= PIECE_BYTES + 8
    joiner = Joiner()
    found = []
    for frame in frames:
        found += [joiner.take(frame), joiner.take(b"\x91\x07")]  # others come in between
    assert [one for one in found if one not in (None, b"\x91\x07")] == [body]


@pytest.mark.parametrize("frames", [
    [b"\xc1"],
    [b"\xc1\0\0\0\0"],
    [b"\xc1\xff\xff\xff\xffx"],
    [b"\xc1\0\0\0\x05xx", b"\xc1\0\0\0\x04x\0"],
    [b"\xc1\0\0\0\x05xx", b"\xc1\0\0\0\x05xx"],
])  # fmt: skip
def test_pieces_that_do_not_fit_are_refused(frames: list[bytes]) -> None:
    joiner = Joiner()
    with pytest.raises(FrameError):
        [joiner.take(frame) for frame in frames]
