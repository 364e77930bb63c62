"""The request parser against Redis's rules: any split of the stream, every limit, every error text."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import ProtocolError
from cluster.protocol import requests
from cluster.protocol.replies import request
from cluster.protocol.requests import RequestParser, split_arguments

arguments = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


def parse(parser: RequestParser, chunks: list[bytes]) -> list[list[bytes]]:
    return [list(command) for chunk in chunks if chunk for command in parser.feed(chunk)]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(arguments, min_size=1, max_size=8), st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_gives_the_same_commands(commands: list[list[bytes]], cuts: list[int]) -> None:
    data = b"".join(request(command) for command in commands)
    parser = RequestParser()
    assert parse(parser, split(data, cuts)) == commands
    assert parser.pending_bytes == 0


pieces = st.sampled_from(
    [b"*1\r\n", b"*2\r\n", b"*01\r\n", b"*+1\r\n", b"*0\r\n", b"*-1\r\n", b"$4\r\nPING\r\n", b"$04\r\nPING\r\n", b"*",
     b"$", b"$-1\r\n", b"$1\r\na\r\n", b"+a\r\n", b":1\r\n", b"#t\r\n", b",1.5\r\n", b"_\r\n", b"=5\r\ntxt:a\r\n",
     b"(1\r\n", b"\r\n"]
)  # fmt: skip


@given(st.lists(pieces, min_size=1, max_size=5))
def test_what_is_passed_on_as_it_came_is_spelled_as_it_would_be_here(parts: list[bytes]) -> None:
    data = b"".join(parts)
    try:
        given = RequestParser().feed(data)
    except ProtocolError:
        return
    if isinstance(given, tuple):  # what the session takes for one whole command
        assert request(given[0]) == data


@given(st.lists(arguments, min_size=1, max_size=5), st.lists(st.integers(0, 5000), max_size=8))
def test_a_client_that_has_not_logged_in_is_parsed_alike(commands: list[list[bytes]], cuts: list[int]) -> None:
    commands = [command[:10] for command in commands]
    data = b"".join(request(command) for command in commands)
    assert parse(RequestParser(authenticated=False), split(data, cuts)) == commands


long_values = st.builds(
    lambda piece, times, end: piece * times + end,
    st.sampled_from([b"\r\n*", b"*", b"\r\n*1\r\n$4\r\nPING\r\n", b"x"]), st.integers(0, 3000), st.binary(max_size=4),
)  # fmt: skip


@given(
    st.lists(st.tuples(long_values, st.integers(0, 400)), min_size=1, max_size=4),
    st.lists(st.integers(0, 100_000), max_size=4),
)
def test_a_long_pipeline_may_be_cut_anywhere(parts: list[tuple[bytes, int]], cuts: list[int]) -> None:
    commands = [one for value, count in parts for one in ([b"SET", b"k", value], *[[b"GET", b"k"]] * count)]
    data = b"".join(map(request, commands))
    parser = RequestParser()
    assert parse(parser, split(data, cuts)) == commands
    assert parser.pending_bytes == 0


def test_of_a_long_pipeline_only_the_last_command_is_kept() -> None:
    data = request([b"GET", b"key"]) * 20_000
    parser = RequestParser()
    for at in range(0, len(data), 65_536):
        list(parser.feed(data[at : at + 65_536]))
        assert parser.pending_bytes < 22


@given(
    st.lists(arguments, min_size=1, max_size=12), st.lists(st.integers(0, 5000), max_size=30),
    st.lists(st.sampled_from([b"PING\r\n", b"\r\n", b"*0\r\n"]), max_size=3),
)  # fmt: skip
def test_a_stream_that_passes_from_one_parser_to_the_other(
    commands: list[list[bytes]], cuts: list[int], unusual: list[bytes]
) -> None:
    """Kept bytes are trimmed at a size that the stream reaches over and over, and inline commands come between."""
    data = b"".join(request(command) + (unusual[at % len(unusual)] if unusual else b"")
                    for at, command in enumerate(commands))  # fmt: skip
    expected = [
        one for at, command in enumerate(commands)
        for one in ([command, [b"PING"]] if unusual and unusual[at % len(unusual)] == b"PING\r\n" else [command])
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "CARRY_LIMIT_BYTES", 24)
        parser = RequestParser()
        assert parse(parser, split(data, cuts)) == expected
        assert parser.is_between_commands


@pytest.mark.parametrize("size", [13, 77, 16_000, 65_536])
def test_a_long_stream_in_chunks_of_any_size(size: int) -> None:
    """As a bulk load sends it. A chunk that ended behind a header made the next one look like inline commands."""
    commands = [[b"SET", b"key:%d" % number, b"v" * 50] for number in range(20_000)]
    data = b"".join(request(command) for command in commands)
    assert parse(RequestParser(), [data[at : at + size] for at in range(0, len(data), size)]) == commands


@pytest.mark.parametrize("header", [b"*1\r\n", b"*1\r\n$4\r\n"])
def test_a_chunk_may_end_behind_a_header(header: bytes) -> None:
    parser = RequestParser()
    whole = request([b"PING"])
    assert parse(parser, [b"PING\r\n" + header]) == [[b"PING"]]
    assert not parser.is_between_commands
    assert parse(parser, [whole[len(header) :]]) == [[b"PING"]]
    assert parser.is_between_commands


def test_a_large_value_arrives_in_pieces() -> None:
    value = bytes(range(256)) * 8192
    data = request([b"SET", b"key", value]) + request([b"PING"])
    pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)]
    assert parse(RequestParser(), pieces) == [[b"SET", b"key", value], [b"PING"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"*1000000000000\r\n", "invalid multibulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$4x\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
        (b"*1\r\n:4\r\n", "expected '$', got ':'"),
        (b"*2\r\n$3\r\nGET\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*2\r\n$3\r\nGET\r\n+key\r\n", "expected '$', got '+'"),
        (b"*1\r\n=8\r\ntxt:PING\r\n", "expected '$', got '='"),
        (b"*2\r\n$3\r\nGET\r\n(12\r\n", "expected '$', got '('"),
        (b'SET a "b\r\n', "unbalanced quotes in request"),
        (b"a" * 70_000, "too big inline request"),
        (b"*" + b"1" * 70_000, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
    ],
)
def test_broken_streams(data: bytes, message: str) -> None:
    parser = RequestParser()
    with pytest.raises(ProtocolError) as caught:
        parse(parser, [data])
    assert caught.value.message == message


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5, 9])
def test_an_argument_of_another_type_is_met_wherever_the_stream_is_cut(cut: int) -> None:
    parser = RequestParser()
    first, second = split(request([b"PING"]) + b"*1\r\n+PING\r\n", [len(request([b"PING"])) + cut])
    assert parse(parser, [first]) == [[b"PING"]]
    with pytest.raises(ProtocolError) as caught:
        parse(parser, [second])
    assert caught.value.message == "expected '$', got '+'"


@pytest.mark.parametrize(("line", "shown"), [(b"", b" "), (b"\nx", b" "), (b"\xff", b"\xff")])
def test_the_answer_to_a_broken_header_is_one_line_whatever_stands_there(line: bytes, shown: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(RequestParser(), [b"*1\r\n" + line + b"\r\n"])
    assert caught.value.encoded == b"-ERR Protocol error: expected '$', got '" + shown + b"'\r\n"


@pytest.mark.parametrize("line", [b"~1", b">1", b"%1", b"|1"])
def test_what_is_a_collection_to_a_client_is_an_inline_command_here(line: bytes) -> None:
    """hiredis knows these; from a client they are words like any other."""
    ping = request([b"PING"])
    assert parse(RequestParser(), [ping + line + b"\r\n" + ping]) == [[b"PING"], [line], [b"PING"]]


@pytest.mark.parametrize("text", [b"a+b=(c)\r\n+d\r\n=e\r\n(f", b"\r\n>1\r\n%2\r\n~3\r\n|4\r\n"])
def test_values_may_hold_whatever_looks_like_another_type(text: bytes) -> None:
    commands = [[b"SET", b"key", text], [text], [b"GET", text, text]]
    assert parse(RequestParser(), [request(commands[0])]) == commands[:1]
    assert parse(RequestParser(), [b"".join(map(request, commands))]) == commands
    data = b"".join(map(request, commands))
    assert parse(RequestParser(), [data[at : at + 1] for at in range(len(data))]) == commands


def test_what_very_many_small_arguments_take_is_counted() -> None:
    parser = RequestParser()
    assert parse(parser, [b"*100000\r\n", *[b"$1\r\na\r\n" * 100] * 500]) == []
    assert parser.pending_bytes == 50_000
    assert parser.held_bytes >= 50_000 * (sys.getsizeof(b"a") + 8)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"*11\r\n", "unauthenticated multibulk length"), (b"*1\r\n$16385\r\n", "unauthenticated bulk length")],
)
def test_tight_limits_before_authentication(data: bytes, message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(RequestParser(authenticated=False), [data])
    assert caught.value.message == message
    waiting = RequestParser()
    assert parse(waiting, [data]) == []


def test_commands_before_the_break_are_still_given() -> None:
    parser = RequestParser()
    given_out: list[list[bytes]] = []
    with pytest.raises(ProtocolError):
        given_out.extend(parser.feed(request([b"PING"]) + b"*1\r\n:1\r\n"))
    assert given_out == [[b"PING"]]


def test_a_huge_count_is_waited_for_without_allocating() -> None:
    parser = RequestParser()
    assert parse(parser, [b"*2147483647\r\n$4\r\nPING\r\n"]) == []
    assert parser.pending_bytes < 100


def test_empty_commands_are_skipped() -> None:
    assert parse(RequestParser(), [b"*0\r\n*-1\r\n\r\n" + request([b"PING"])]) == [[b"PING"]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"  set  a b ", [b"set", b"a", b"b"]),
        (b'set a "x\\x41\\n\\"y"', [b"set", b"a", b'xA\n"y']),
        (b"set a 'it\\'s'", [b"set", b"a", b"it's"]),
        (b'a""b', None),
        (b'"a"b', None),
        (b"", []),
    ],
)
def test_inline_words(line: bytes, expected: list[bytes] | None) -> None:
    assert split_arguments(line) == expected
