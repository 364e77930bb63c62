"""LOLWUT: the version, and on demand (VERSION 5) squares that fall into disorder, drawn in dots of Braille."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from cluster.commands.context import Context
from cluster.commands.registry import FAST, READONLY, command
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies
from cluster.version import REDIS_VERSION

_SCHOTTER = 5
_DEFAULTS = (66, 8, 12)
_MOST = (1000, 200, 200)
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a character's dots, row by row: Braille patterns begin at U+2800."""


@command("LOLWUT", arity=-1, flags={READONLY, FAST}, group="server", since="5.0.0",
         summary="Shows the version, and a drawing.", syntax="[VERSION version:integer]")
def lolwut(ctx: Context, *options: bytes) -> bytes:
    text = f"Redis ver. {REDIS_VERSION}\n"
    if len(options) > 1 and options[0].upper() == b"VERSION" and parse_integer(options[1]) == _SCHOTTER:
        given = [parse_integer(option) for option in options[2 : 2 + len(_DEFAULTS)]]
        sizes = [*given, *_DEFAULTS[len(given) :]]
        columns, across, down = (max(1, min(most, size)) for most, size in zip(_MOST, sizes, strict=True))
        text = f"{squares(columns, across, down, ctx.rng)}\nAfter Georg Nees, Schotter, 1968. {text}"
    return replies.verbatim(text.encode(), ctx.resp)


def squares(columns: int, across: int, down: int, rng: random.Random) -> str:
    """So many squares in a row and so many rows, `columns` characters wide: each row is less orderly than the last."""
    side = max(1, (columns * 2 - 2) // across)
    canvas = [[0] * columns for _ in range((side * down + 2 + 3) // 4)]
    for row in range(down):
        disorder = row / down
        for column in range(across):
            turn = rng.uniform(-1, 1) * disorder * math.pi / 4
            left = 1 + (column + 0.5 + rng.uniform(-1, 1) * disorder / 3) * side
            top = 1 + (row + 0.5 + rng.uniform(-1, 1) * disorder / 3) * side
            _square(canvas, left, top, side / math.sqrt(2), turn)
    return "".join("".join(chr(0x2800 + dots) for dots in line) + "\n" for line in canvas)


def _square(canvas: list[list[int]], x: float, y: float, radius: float, turn: float) -> None:
    corners = [
        (x + radius * math.cos(turn + angle), y + radius * math.sin(turn + angle))
        for angle in (math.pi / 4 + quarter * math.pi / 2 for quarter in range(5))
    ]
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = max(1, math.ceil(2 * radius))
        for step in range(steps + 1):
            _dot(canvas, round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps))


def _dot(canvas: list[list[int]], x: int, y: int) -> None:
    if 0 <= y < 4 * len(canvas) and 0 <= x < 2 * len(canvas[0]):
        canvas[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
