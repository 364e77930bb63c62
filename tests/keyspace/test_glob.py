"""Globs: Redis's oddities, and time on patterns made to take long."""

from __future__ import annotations

import pytest

from cluster.keyspace.glob import Glob, matches


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (b"h?llo", b"hello", True), (b"h*llo", b"hllo", True), (b"h[ae]llo", b"hillo", False),
        (b"h[^e]llo", b"hallo", True), (b"h[a-b]llo", b"hbllo", True), (b"h[b-a]llo", b"hallo", True),
        (b"\\*", b"*", True), (b"\\*", b"x", False), (b"a\\", b"a\\", True), (b"[a", b"a", True), (b"[]", b"a", False),
        (b"[^]", b"a", True), (b"[a-]", b"-", False), (b"[\\]]", b"]", True), (b"*", b"", False), (b"", b"", True),
        (b"a**", b"a", True), (b"*a*b", b"xaxb", True), (b"*\n*", b"a\nb", True), (b"?", b"\n", True),
        (b"a*bc*d", b"abcbcd", True), (b"*ab", b"aab", True),
    ],
)
def test_patterns(pattern: bytes, text: bytes, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_case_counts_unless_told_otherwise() -> None:
    assert not matches(b"MAX*", b"maxmemory")
    assert matches(b"MAX*", b"maxmemory", nocase=True)
    assert matches(b"[A-C]x", b"bX", nocase=True)
    assert not matches(b"[\\A]", b"a", nocase=True)


def test_a_hostile_pattern_costs_no_more_than_its_length_times_the_texts() -> None:
    glob = Glob(b"a*" * 60 + b"b")
    assert not glob.matches(b"a" * 20_000)
