"""LCS: the longest common subsequence of two strings.

The table of lengths is never built: a row is one big integer with a bit for each byte of the second string, clear
where the length grows by one (Hyyrö's bit-parallel recurrence), so a row costs a few operations on machine words.
The way back through the rows needs no more than these bits.
"""

from __future__ import annotations

from typing import NamedTuple

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec
from cluster.commands.registry import READONLY, command
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies


class Run(NamedTuple):
    """Equal bytes in a row: where they start in either string, and how many."""

    first: int
    second: int
    length: int


def lcs_rows(first: bytes, second: bytes) -> list[int]:
    """Row i: bit j is clear where the LCS of first[:i] and second[:j+1] is longer than with second[:j]."""
    masks: dict[int, int] = {}
    for index, byte in enumerate(second):
        masks[byte] = masks.get(byte, 0) | 1 << index
    full = (1 << len(second)) - 1
    row = full
    rows = [row]
    for byte in first:
        common = row & masks.get(byte, 0)
        row = ((row + common) | (row - common)) & full
        rows.append(row)
    return rows


def lcs_runs(first: bytes, second: bytes, rows: list[int]) -> list[Run]:
    """The subsequence as runs of equal bytes, last run first, on the way Redis takes through the table."""
    runs: list[Run] = []
    i, j, length = len(first), len(second), 0
    while i and j:
        if first[i - 1] == second[j - 1]:
            length += 1
            i, j = i - 1, j - 1
            continue
        if length:
            runs.append(Run(i, j, length))
            length = 0
        if rows[i] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
    if length:
        runs.append(Run(i, j, length))
    return runs


_CELL_BYTES = 4
"""What redis-server takes for a pair of positions."""


class _Options(NamedTuple):
    length_only: bool
    as_runs: bool
    minimum: int
    with_lengths: bool


def _options(arguments: tuple[bytes, ...]) -> _Options:
    words: set[bytes] = set()
    minimum = 0
    rest = iter(arguments)
    for argument in rest:
        word = argument.upper()
        if word in (b"LEN", b"IDX", b"WITHMATCHLEN"):
            words.add(word)
        elif word == b"MINMATCHLEN" and (number := next(rest, None)) is not None:
            minimum = max(0, parse_integer(number))
        else:
            raise SyntaxFault
    if {b"LEN", b"IDX"} <= words:
        raise CommandError("ERR If you want both the length and indexes, please just use IDX.")
    return _Options(b"LEN" in words, b"IDX" in words, minimum, b"WITHMATCHLEN" in words)


@command("LCS", arity=-3, flags={READONLY}, keys=(KeySpec(1, 2, 1, ("RO", "access")),), group="string", since="7.0.0",
         summary="Finds the longest common subsequence of two strings.",
         complexity="O(N*M), where N and M are the lengths of the strings",
         syntax="key1:key key2:key [LEN] [IDX] [MINMATCHLEN len:integer] [WITHMATCHLEN]")
def lcs(ctx: Context, key: bytes, other_key: bytes, *arguments: bytes) -> bytes:
    strings = []
    for value in (ctx.find(key), ctx.find(other_key)):
        if not isinstance(value, (bytes, bytearray, type(None))):
            raise CommandError("ERR The specified keys must contain string values")
        strings.append(bytes(value or b""))
    first, second = strings
    options = _options(arguments)
    # A bit a cell is what we need; but Redis's limit bounds the time, too.
    if (len(first) + 1) * (len(second) + 1) * _CELL_BYTES > ctx.config.proto_max_bulk_len:
        raise CommandError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    rows = lcs_rows(first, second)
    length = len(second) - rows[-1].bit_count()
    if options.length_only:
        return replies.integer(length)
    runs = lcs_runs(first, second, rows)
    if not options.as_runs:
        return replies.bulk(b"".join(first[run.first : run.first + run.length] for run in reversed(runs)))
    matches = [_match(run, options.with_lengths) for run in runs if run.length >= options.minimum]
    return replies.string_map({"matches": replies.array(matches), "len": replies.integer(length)}, ctx.resp)


def _match(run: Run, with_length: bool) -> bytes:
    ranges = [
        replies.array([replies.integer(start), replies.integer(start + run.length - 1)])
        for start in (run.first, run.second)
    ]
    return replies.array([*ranges, replies.integer(run.length)] if with_length else ranges)
