"""HyperLogLog held against a twin that keeps its registers in a list and knows nothing of runs and packed bits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import CommandError
from cluster.keyspace import hyperloglog
from cluster.keyspace.hyperloglog_sparse import REGISTERS, SparseEditor, described

ranks = st.one_of(st.integers(1, 3), st.integers(1, 32))
places = st.one_of(st.integers(0, 200), st.integers(0, REGISTERS - 1), st.integers(REGISTERS - 10, REGISTERS - 1))


@pytest.mark.parametrize(
    ("element", "register", "rank"),
    [
        (b"", 5938, 2), (b"a", 12711, 2), (b"12345678", 10579, 3), (b"hello world", 9399, 4),
        (b"0123456789abcdef", 5949, 1),
    ],
)  # fmt: skip
def test_elements_go_where_redis_server_puts_them(element: bytes, register: int, rank: int) -> None:
    """Without a word of 8 bytes, with one, with two, and with what is left over behind one."""
    assert hyperloglog.register_of(element) == (register, rank)


@given(changes=st.lists(st.tuples(places, ranks), max_size=60), upwards=st.booleans())
def test_registers_are_those_that_were_set(changes: list[tuple[int, int]], upwards: bool) -> None:
    if upwards:
        changes.sort()
    sparse, dense = hyperloglog.new(), hyperloglog.new()
    hyperloglog.to_dense(dense)
    editor = SparseEditor(sparse, 1 << 20)
    twin = bytearray(REGISTERS)
    for index, rank in changes:
        assert editor.set(index, rank) == hyperloglog.raise_dense(dense, index, rank) == (twin[index] < rank)
        twin[index] = max(twin[index], rank)
    assert hyperloglog.unpacked(sparse) == hyperloglog.unpacked(dense) == twin
    hyperloglog.to_dense(sparse)
    assert sparse == dense


@given(seeds=st.lists(st.integers(0, 1 << 30), min_size=1, max_size=4))
def test_a_union_has_the_highest_of_each_register(seeds: list[int]) -> None:
    union = hyperloglog.Union()
    twin = [0] * REGISTERS
    for seed in seeds:
        dice = random.Random(seed)
        value = hyperloglog.new()
        hyperloglog.add(value, [dice.randbytes(8) for _ in range(dice.choice([0, 10, 3000]))], 1000)
        union.add(value)
        twin = list(map(max, twin, hyperloglog.unpacked(value)))
    assert list(union.registers) == twin


@pytest.mark.parametrize("elements", [0, 1, 10, 100, 1000, 10_000, 100_000])
def test_the_estimate_is_close(elements: int) -> None:
    dice = random.Random(elements)
    value = hyperloglog.new()
    hyperloglog.add(value, (dice.randbytes(8) for _ in range(elements)), 3000)
    assert abs(hyperloglog.count(value) - elements) <= 0.03 * elements


def test_the_dense_form_comes_when_the_sparse_one_is_too_long_or_too_narrow() -> None:
    value = hyperloglog.new()
    editor = SparseEditor(value, 21)
    assert editor.set(100, 1)
    before = bytes(value)
    assert editor.set(8000, 1) is None
    assert editor.set(100, 33) is None
    assert value == before
    assert described(value) == b"Z:100 v:1,1 Z:16283"


@pytest.mark.parametrize("runs", [b"", b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x80", b"\x00" * 20_000])
def test_runs_of_another_number_of_registers_are_refused(runs: bytes) -> None:
    value = bytearray(bytes(hyperloglog.new())[:16] + runs)
    with pytest.raises(CommandError) as error:
        hyperloglog.count(value)
    assert error.value.message == "INVALIDOBJ Corrupted HLL object detected"
