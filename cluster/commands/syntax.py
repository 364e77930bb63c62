"""The arguments of commands, as COMMAND DOCS describes them and redis-cli shows them while one types.

Each command says its syntax in one line, in the notation of manuals made strict::

    key value [NX | XX]@2.6.12 [GET]@6.2.0 [EX seconds:integer | PXAT milliseconds:unix-time]

A word in capitals (or quoted: '~') is typed as it stands; in front of a value or of parentheses it is their token, and
they belong together. A word in small letters stands for a value: a string, or of the type behind its last colon; `key`
is a key. Brackets are optional, parentheses group, a bar divides alternatives, three points follow what may come
again (behind a bracket: with its token each time), and @ the version that brought it. Keys belong to the command's key
specifications one by one, where # does not say to which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

VALUE_TYPES: Final = ("string", "integer", "double", "key", "pattern", "unix-time")
_PIECE: Final = re.compile(
    r"\s*(?:(?P<mark>\.\.\.|[][()|])|@(?P<since>\d+\.\d+\.\d+)|'(?P<quoted>[^']*)'|(?P<token>[A-Z][A-Z0-9-]*)"
    r"|#(?P<spec>\d+)|(?P<value>[a-z][a-z0-9_:/-]*))"
)


@dataclass(frozen=True, slots=True)
class Argument:
    """type: one of VALUE_TYPES, "pure-token", or "oneof" and "block", whose `parts` are alternatives or a sequence."""

    name: str
    type: str
    token: str | None = None
    since: str | None = None
    optional: bool = False
    multiple: bool = False
    repeats_token: bool = False
    key_spec: int | None = None
    parts: tuple[Argument, ...] = ()

    def tokens(self) -> Iterator[str]:
        """Every word in it that is typed as it stands."""
        if self.token is not None:
            yield self.token
        for part in self.parts:
            yield from part.tokens()


def parse_syntax(text: str) -> tuple[Argument, ...]:
    """The arguments behind the name; ValueError where `text` is not in the notation."""
    reader = _Reader(text)
    found = reader.sequence()
    if reader.kind:
        raise ValueError(f"unbalanced {reader.text!r} in {text!r}")
    return found


class _Reader:
    """`kind` and `text` are the piece at hand: a mark is its own kind, the end has none."""

    def __init__(self, line: str) -> None:
        self._line = line.rstrip()
        self._at = 0
        self.kind = self.text = ""
        self._advance()

    def _advance(self) -> None:
        if self._at == len(self._line):
            self.kind = self.text = ""
            return
        found = _PIECE.match(self._line, self._at)
        if found is None:
            raise ValueError(f"what is {self._line[self._at :]!r}?")
        self._at = found.end()
        self.kind = found.lastgroup or ""
        self.text = found[self.kind]
        if self.kind == "mark":
            self.kind = self.text

    def _taken(self) -> str:
        text = self.text
        self._advance()
        return text

    def sequence(self) -> tuple[Argument, ...]:
        found = []
        while self.kind and self.kind not in "])|":
            found.append(self._element())
        return tuple(found)

    def _element(self) -> Argument:
        if self.kind in ("token", "quoted"):
            token = self._taken()
            if self.kind in ("value", "("):
                return self._suffixed(replace(self._core(), token=token))
            return self._suffixed(Argument(token.lower(), "pure-token", token=token))
        return self._suffixed(self._core())

    def _core(self) -> Argument:
        if self.kind == "value":
            name, _, kind = self._taken().rpartition(":")
            if not name or kind not in VALUE_TYPES:
                name = f"{name}:{kind}" if name else kind
                kind = "key" if name == "key" else "string"
            return self._suffixed(Argument(name, kind))
        if self.kind not in ("(", "["):
            raise ValueError(f"{self.text!r} out of place in {self._line!r}")
        optional = self._taken() == "["
        group = self._group()
        if self._taken() != ("]" if optional else ")"):
            raise ValueError(f"a group without an end in {self._line!r}")
        return replace(group, optional=True) if optional else group

    def _group(self) -> Argument:
        alternatives = [self.sequence()]
        while self.kind == "|":
            self._advance()
            alternatives.append(self.sequence())
        parts = tuple(one[0] if len(one) == 1 else _named("block", one) for one in alternatives)
        return parts[0] if len(parts) == 1 else _named("oneof", parts)

    def _suffixed(self, argument: Argument) -> Argument:
        while self.kind in ("...", "since", "spec"):
            if self.kind == "since":
                argument = replace(argument, since=self.text)
            elif self.kind == "spec":
                argument = replace(argument, key_spec=int(self.text))
            else:
                again = argument.optional and argument.token is not None
                argument = replace(argument, multiple=True, repeats_token=again)
            self._advance()
        return argument


def _named(kind: str, parts: tuple[Argument, ...]) -> Argument:
    """A group is called by its parts; nobody is shown that."""
    return Argument("_".join(part.name for part in parts), kind, parts=parts)
