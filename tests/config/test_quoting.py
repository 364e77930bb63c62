"""Quoting: the words of a line, and quotes that are read back as the same word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.quoting import quote, quote_if_needed, split_words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("", []),
        (' "a b"\t\'c d\' ', ["a b", "c d"]),
        (r'"\x41\n\t\"\\\q"', ['A\n\t"\\q']),
        (r"'it\'s' '\n'", ["it's", r"\n"]),
        (r'"\xzz"', ["xzz"]),
        ('a"b c"', ["ab c"]),
        ('""', [""]),
        ("maxmemory 1mb # no comment", ["maxmemory", "1mb", "#", "no", "comment"]),
        ('"open', None),
        ("'open", None),
        ('"a"b', None),
        ("'a'b", None),
        ('"\\', None),
    ],
)
def test_words(line: str, words: list[str] | None) -> None:
    assert split_words(line) == words


def test_bytes_that_are_no_text_survive() -> None:
    words = split_words(r'"\xff\x00\xc3\xa9"')
    assert words is not None
    assert words[0].encode("utf-8", "surrogateescape") == b"\xff\x00\xc3\xa9"


@given(st.binary())
def test_what_is_quoted_reads_back(data: bytes) -> None:
    word = data.decode("utf-8", "surrogateescape")
    assert split_words(quote(word)) == [word]
    assert split_words(quote_if_needed(word)) == [word]


@given(st.text(max_size=40))
def test_no_line_makes_it_fail(line: str) -> None:
    words = split_words(line)
    assert words is None or all(isinstance(word, str) for word in words)
