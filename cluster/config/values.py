"""The simple types of directives: how a value is read, shown by CONFIG GET, and written into a file.

Each type is a small frozen object with the three methods of `Kind`. The texts of `BadValue` are Redis's: tools
match on them. Types whose value is made of several words are in `compound.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.config.quoting import quote

INT_MAX = 2**31 - 1
INT_MIN = -(2**31)
LONG_MAX = 2**63 - 1
UINT_MAX = 2**32 - 1
ULONG_MAX = 2**64 - 1

_MOST_DIGITS = 20
"""A number with more is beyond 64 bits; some thousands Python refuses to convert at all."""
_MOST_MEMORY_DIGITS = 127
"""As in Redis."""
_INTEGER = re.compile(rf"0|-?[1-9][0-9]{{,{_MOST_DIGITS - 1}}}", re.ASCII)
_MEMORY = re.compile(r"([0-9]*)([a-z]*)", re.ASCII | re.IGNORECASE)
_UNITS = {
    "": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip


class BadValue(ValueError):
    """The argument does not fit the directive's type; the message is Redis's text for it."""


class Kind(Protocol):
    """The type of a directive.

    `several_words` says whether the directive takes more than one argument. `parse` gets those words and the value
    there was (which only types that change a part of it look at); `show` is CONFIG GET's form; `written` is what
    stands after the name in a rewritten file, an entry a line: none where a value cannot be written at all.
    """

    @property
    def several_words(self) -> bool: ...

    def parse(self, words: Sequence[str], before: object) -> object: ...

    def show(self, value: object) -> str: ...

    def written(self, value: object) -> list[str]: ...


def parse_integer(text: str) -> int | None:
    """A decimal as Redis's strict reader takes it (no plus, no leading zeros, no blanks), within 64 bits."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number <= LONG_MAX else None


def parse_memory(text: str) -> int | None:
    """Bytes from ``64mb``, ``1k`` and the like; None where it is none. No digits count as 0, as in Redis."""
    match = _MEMORY.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        return None
    if len(match[1]) > _MOST_MEMORY_DIGITS:
        return None
    return min(int(match[1] or "0"), ULONG_MAX) * _UNITS[match[2].lower()]


def show_memory(number: int) -> str:
    """The short form CONFIG REWRITE uses: whole gb, mb or kb where it divides evenly."""
    for unit, size in (("gb", 1024**3), ("mb", 1024**2), ("kb", 1024)):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def _check_range(number: int, low: int, high: int) -> int:
    if not low <= number <= high:
        raise BadValue(f"argument must be between {low} and {high} inclusive")
    return number


@dataclass(frozen=True, slots=True)
class _OneWord:
    @property
    def several_words(self) -> bool:
        return False

    def show(self, value: object) -> str:
        return str(value)

    def written(self, value: object) -> list[str]:
        return [self.show(value)]


@dataclass(frozen=True, slots=True)
class YesNo(_OneWord):
    def parse(self, words: Sequence[str], before: object) -> bool:
        word = words[0].lower()
        if word not in ("yes", "no"):
            raise BadValue("argument must be 'yes' or 'no'")
        return word == "yes"

    def show(self, value: object) -> str:
        return "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class NeverYes(YesNo):
    """A switch that cannot be turned on here; `why` is the answer."""

    why: str = ""

    def parse(self, words: Sequence[str], before: object) -> bool:
        if YesNo.parse(self, words, before):
            raise BadValue(self.why)
        return False


@dataclass(frozen=True, slots=True)
class Integer(_OneWord):
    """Refused outside low..high; then moved into clamp_low..clamp_high, where Redis corrects in silence."""

    low: int = 0
    high: int = INT_MAX
    clamp_low: int = -(2**63)
    clamp_high: int = ULONG_MAX

    def parse(self, words: Sequence[str], before: object) -> int:
        number = parse_integer(words[0])
        if number is None:
            raise BadValue("argument couldn't be parsed into an integer")
        return min(max(_check_range(number, self.low, self.high), self.clamp_low), self.clamp_high)


@dataclass(frozen=True, slots=True)
class Memory(_OneWord):
    low: int = 0
    high: int = LONG_MAX
    clamp_low: int = 0

    def parse(self, words: Sequence[str], before: object) -> int:
        number = parse_memory(words[0])
        if number is None:
            raise BadValue("argument must be a memory value")
        return max(_check_range(number, self.low, self.high), self.clamp_low)

    def written(self, value: object) -> list[str]:
        assert isinstance(value, int)
        return [show_memory(value)]


@dataclass(frozen=True, slots=True)
class MemoryOrPercent(_OneWord):
    """Bytes, or a percentage (of maxmemory), which is held as a negative number."""

    def parse(self, words: Sequence[str], before: object) -> int:
        text = words[0]
        if text.endswith("%"):
            percent = parse_integer(text[:-1])
            if percent is None or percent < 0:
                raise BadValue("argument must be a memory or percent value")
            if percent > 100:
                raise BadValue("percentage argument must be less or equal to 100")
            return -percent
        number = parse_memory(text)
        if number is None or number > LONG_MAX:
            raise BadValue("argument must be a memory or percent value")
        return number

    def show(self, value: object) -> str:
        assert isinstance(value, int)
        return f"{-value}%" if value < 0 else str(value)

    def written(self, value: object) -> list[str]:
        assert isinstance(value, int)
        return [self.show(value) if value < 0 else show_memory(value)]


@dataclass(frozen=True, slots=True)
class Octal(_OneWord):
    """File permissions."""

    high: int = 0o777

    def parse(self, words: Sequence[str], before: object) -> int:
        if not re.fullmatch(r"-?[0-7]+", words[0], re.ASCII):
            raise BadValue("argument couldn't be parsed as an octal number")
        number = int(words[0], 8)
        if not 0 <= number <= self.high:
            raise BadValue(f"argument must be between 0 and {self.high:o} inclusive")
        return number

    def show(self, value: object) -> str:
        assert isinstance(value, int)
        return f"{value:o}"


@dataclass(frozen=True, slots=True)
class Choice(_OneWord):
    """One of a few words, in any case; `synonyms` are further words, read as one of them."""

    options: tuple[str, ...]
    synonyms: Mapping[str, str] | None = None

    def parse(self, words: Sequence[str], before: object) -> str:
        word = words[0].lower()
        meant = (self.synonyms or {}).get(word, word)
        if meant not in self.options:
            raise BadValue("argument(s) must be one of the following: " + ", ".join(self._names()))
        return meant

    def _names(self) -> list[str]:
        names = list(self.options)
        for synonym, meant in (self.synonyms or {}).items():
            names.insert(names.index(meant) + 1, synonym)
        return names


@dataclass(frozen=True, slots=True)
class Text(_OneWord):
    """Any word. `check` raises BadValue; bytes that are no UTF-8 travel as surrogates. Most are names of files, and no
    call of the system takes one with a NUL: `any_byte` is for the others."""

    check: Callable[[str], None] | None = None
    any_byte: bool = False

    def parse(self, words: Sequence[str], before: object) -> str:
        if "\0" in words[0] and not self.any_byte:
            raise BadValue("argument can't contain a NUL")
        if self.check is not None:
            self.check(words[0])
        return words[0]

    def written(self, value: object) -> list[str]:
        return [quote(str(value))]
