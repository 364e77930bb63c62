"""The commands in an append-only file: whole ones are found in pieces of any size, a cut loses nothing before it, and
what is no command is named by its offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.persistence.aof_reader import AofFormatError, AofReader, scan
from cluster.protocol.replies import request

ARGUMENTS = st.binary(max_size=12) | st.sampled_from(
    [b"#TS:1\r\n", b"\r\n+x", b"*3\r\n$3\r\n", b"*123456\r\n", b"%1\n~2"]
)
COMMANDS = st.lists(
    st.lists(ARGUMENTS, min_size=1, max_size=4).map(request) | st.just(b"#TS:1700000000\r\n"), max_size=8
)


def read(data: bytes, step: int, offset: int = 0) -> tuple[list[list[bytes]], AofReader]:
    reader = AofReader(offset)
    commands = []
    for at in range(0, len(data), step):
        commands += reader.feed(data[at : at + step])
    while reader.pending and (rest := reader.feed(b"")):
        commands += rest
    return commands, reader


def whole_before(encoded: list[bytes], cut: int) -> tuple[list[list[bytes]], int]:
    """The commands that end before `cut`, and where the last of them (or a comment) does."""
    end = 0
    commands = []
    for one in encoded:
        if end + len(one) > cut:
            break
        end += len(one)
        commands += [arguments for _, arguments in scan(one) if arguments]
    return commands, end


@given(COMMANDS, st.integers(1, 64), st.data())
def test_any_cut_of_a_file_leaves_the_whole_commands_before_it(
    encoded: list[bytes], step: int, data: st.DataObject
) -> None:
    whole = b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    expected, end = whole_before(encoded, cut)
    commands, reader = read(whole[:cut], step)
    assert commands == expected
    assert reader.offset == end
    assert reader.pending == whole[end:cut]


@given(COMMANDS, st.integers(0, 2000), st.integers(0, 255), st.integers(1, 64))
def test_a_changed_byte_costs_nothing_before_it(encoded: list[bytes], place: int, byte: int, step: int) -> None:
    """It may be unnoticed, or read as a file that is cut off; or the error names an offset up to it, or soon behind."""
    whole = bytearray(b"".join(encoded))
    if not whole:
        return
    place %= len(whole)
    whole[place] = byte
    before, end = whole_before(encoded, place)
    commands: list[list[bytes]] | None = None
    try:
        commands, reader = read(bytes(whole), step)
        reached = reader.offset
    except AofFormatError as error:
        reached = error.offset
    assert end <= reached <= len(whole)
    assert commands is None or commands[: len(before)] == before


@pytest.mark.parametrize(("data", "offset"), [
    (b"SET a b\r\n", 0), (b"\0\0\0\0", 0), (b"*0\r\n", 4), (b"*-1\r\n", 0), (b"*x\r\n", 0), (b"*\r\n", 0),
    (b"*1\r\n+OK\r\n", 4), (b"*1\r\n:12\r\n", 4), (b"*1\r\n$-1\r\n", 4),
    (b"*1\r\n$4\r\nPING\r\n$4\r\nPING\r\n", 14), (b"*99999999999999999999999999999\r\n", 0),
])  # fmt: skip
def test_what_is_no_command_is_named_by_its_offset(data: bytes, offset: int) -> None:
    with pytest.raises(AofFormatError) as found:
        read(b"*1\r\n$4\r\nPING\r\n" + data, 5, offset=100)
    assert found.value.offset == 114 + offset
    assert str(found.value) == f"at offset {114 + offset}"


def test_a_large_count_is_waited_for_not_allocated() -> None:
    commands, reader = read(b"*1000000000\r\n$3\r\nSET\r\n$1000000000\r\nx", 1 << 16)
    assert (commands, reader.offset) == ([], 0)


def test_a_long_value_is_asked_for_in_growing_pieces() -> None:
    data = request([b"SET", b"k", b"x" * 1_000_000])
    reader = AofReader()
    at = reads = 0
    commands: list[list[bytes]] = []
    while at < len(data):
        size = max(4096, reader.wanted_bytes)
        commands += reader.feed(data[at : at + size])
        at += size
        reads += 1
    assert [list(map(len, one)) for one in commands] == [[3, 1, 1_000_000]]
    assert reads < 12
