"""Bitmaps and bit fields."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.commands.bitfield import Field
from cluster.commands.bitmaps import _CHUNK_BYTES, _count_bits, _find_bit
from tests.commands.in_process import InProcessNode

LARGE_BYTES = 4 << 20


def bits_of(value: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in value)


@given(value=st.binary(max_size=20), start=st.integers(0, 170), end=st.integers(0, 170))
def test_counting_is_that_of_a_row_of_bits(value: bytes, start: int, end: int) -> None:
    bits = bits_of(value)
    start, end = min(start, len(bits)), min(end, len(bits))
    assert _count_bits(value, start, end) == bits[start:end].count("1")


@given(value=st.binary(max_size=20) | st.just(b"\xff" * 9), wanted=st.sampled_from([0, 1]), start=st.integers(0, 170),
       end=st.integers(0, 170))
def test_finding_is_that_of_a_row_of_bits(value: bytes, wanted: int, start: int, end: int) -> None:
    bits = bits_of(value)
    start, end = min(start, len(bits)), min(end, len(bits))
    assert _find_bit(value, wanted, start, end) == bits.find(str(wanted), start, end)


@given(signed=st.booleans(), bits=st.integers(1, 63), offset=st.integers(0, 100), number=st.integers(),
       value=st.binary(min_size=21, max_size=21))
def test_a_field_holds_what_was_written_and_nothing_else_changes(
    signed: bool, bits: int, offset: int, number: int, value: bytes
) -> None:
    field = Field(signed, bits, offset)
    number = field.wrapped(number)
    assert field.low <= number <= field.high
    edited = bytearray(value)
    field.write(edited, number)
    assert field.read(edited) == number
    before, after = bits_of(value), bits_of(bytes(edited))
    assert (before[:offset], before[offset + bits :]) == (after[:offset], after[offset + bits :])


def test_only_a_change_is_journaled(node: InProcessNode) -> None:
    assert node.journaled("SETBIT", "a", 7, 1) == [[b"SETBIT", b"a", b"7", b"1"]]
    assert node.journaled("SETBIT", "a", 7, 1) == []
    assert node.journaled("BITFIELD", "a", "GET", "u8", 0) == []
    assert node.journaled("BITFIELD", "a", "SET", "u8", 0, 1) == []
    assert len(node.journaled("BITFIELD", "a", "INCRBY", "u8", 0, 1)) == 1


def test_overflow(node: InProcessNode) -> None:
    node("BITFIELD", "a", "SET", "u8", 0, 255)
    assert node("BITFIELD", "a", "OVERFLOW", "FAIL", "INCRBY", "u8", 0, 1) == [None]
    assert node("BITFIELD", "a", "OVERFLOW", "SAT", "INCRBY", "u8", 0, 1) == [255]
    assert node("BITFIELD", "a", "INCRBY", "u8", 0, 1) == [0]


def test_combining(node: InProcessNode) -> None:
    node("MSET", "a", b"\xf0\xff", "b", b"\x3c")
    assert node("BITOP", "AND", "and", "a", "b") == 2
    assert node("GET", "and") == b"\x30\x00"
    node("BITOP", "XOR", "xor", "a", "b", "missing")
    assert node("GET", "xor") == b"\xcc\xff"
    node("BITOP", "NOT", "not", "b")
    assert node("GET", "not") == b"\xc3"
    assert node("BITOP", "OR", "a", "missing") == 0
    assert node("EXISTS", "a") == 0


@pytest.mark.parametrize("length", [_CHUNK_BYTES - 1, _CHUNK_BYTES, 2 * _CHUNK_BYTES + 5])
def test_what_is_done_in_chunks_has_no_seams(node: InProcessNode, length: int) -> None:
    dice = random.Random(length)
    one, other = dice.randbytes(length), dice.randbytes(length - 7)
    node("MSET", "one", one, "other", other)
    padded = int.from_bytes(other + bytes(7), "big")
    for name, expected in (("AND", padded & int.from_bytes(one, "big")), ("XOR", padded ^ int.from_bytes(one, "big"))):
        assert node("BITOP", name, "both", "one", "other") == length
        assert node("GET", "both") == expected.to_bytes(length, "big")
    node("BITOP", "NOT", "not", "one")
    assert node("GET", "not") == bytes(255 - byte for byte in one)
    assert node("BITCOUNT", "one") == int.from_bytes(one, "big").bit_count()
    assert node("BITCOUNT", "one", 3, 8 * length - 5, "BIT") == bits_of(one)[3:-4].count("1")
    node("SETBIT", "zeros", 8 * length - 1, 1)
    assert node("BITPOS", "zeros", 1) == 8 * length - 1
    assert node("BITPOS", "zeros", 1, 0, length - 2) == -1


@pytest.mark.parametrize("command", [
    ("BITCOUNT", "large"), ("BITOP", "AND", "new", "large", "large"), ("BITOP", "NOT", "new", "large"),
])  # fmt: skip
def test_a_large_string_is_never_made_one_large_number(node: InProcessNode, command: tuple[str | int, ...]) -> None:
    node("SET", "large", bytes(LARGE_BYTES))
    result = LARGE_BYTES if command[0] == "BITOP" else 0
    tracemalloc.start()
    node(*command)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result < LARGE_BYTES // 2
