"""One thing that a client did, as it is recorded; and the times in which a cluster may lose what it acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TypeAlias


class Kind(StrEnum):
    """What a key is, and so which model its operations are held against."""

    REGISTER = "register"
    COUNTER = "counter"
    LIST = "list"


class Action(StrEnum):
    READ = "read"
    WRITE = "write"
    """SET of a register, INCRBY of a counter, RPUSH to a list."""


class Outcome(StrEnum):
    OK = "ok"
    FAIL = "fail"
    """The operation has certainly had no effect and will have none."""
    UNKNOWN = "unknown"
    """No answer, or one that does not say: it may take effect at any time after it was begun, or never."""


Value: TypeAlias = str | int | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """`argument` is what was set, added or appended, and None for a read.

    `result` is what a read returned, or the number that INCRBY or RPUSH answered. `node` names who answered. Times are
    of one monotonic clock.
    """

    client: int
    kind: Kind
    key: str
    action: Action
    argument: str | int | None
    outcome: Outcome
    result: Value
    begun_ns: int
    ended_ns: int
    node: str = ""

    def __str__(self) -> str:
        what = f"{self.action} {self.key}" + ("" if self.argument is None else f" {self.argument}")
        at = f"{self.begun_ns / 1e9:.3f}-{self.ended_ns / 1e9:.3f} s"
        by = f" by {self.node}" if self.node else ""
        return f"client {self.client}: {what} -> {shortened(self.result, self.outcome)}{by} at {at}"


def shortened(result: Value, outcome: Outcome = Outcome.OK) -> str:
    """A result as a person reads it, long lists by their end."""
    if outcome is not Outcome.OK:
        return str(outcome)
    if isinstance(result, tuple):
        shown = ", ".join(result[-3:])
        return f"{len(result)} elements [{'… ' if len(result) > 3 else ''}{shown}]"
    return str(result)


@dataclass(frozen=True, slots=True)
class Exposure:
    """From `from_ns` to `to_ns` what `node` acknowledged may be lost: it was about to be replaced, or cut off."""

    node: str
    from_ns: int
    to_ns: int
    why: str = ""

    def covers(self, operation: Operation) -> bool:
        return operation.node == self.node and self.from_ns <= operation.ended_ns <= self.to_ns


def told(key: str, operations: Iterable[Operation], exposures: Sequence[Exposure]) -> str:
    """All that was done with a key, a line each in the order of begin, for a person who looks for a cause.

    Seconds count from the first operation of the run; what an exposure covers says so.
    """
    every = sorted(operations, key=lambda operation: operation.begun_ns)
    if not every:
        return f"{key}: nothing was done"
    zero = every[0].begun_ns
    lines = [
        f"{one.node} exposed {(one.from_ns - zero) / 1e9:.3f}-{(one.to_ns - zero) / 1e9:.3f} s: {one.why}"
        for one in exposures
    ]
    for one in every:
        if one.key == key:
            since = replace(one, begun_ns=one.begun_ns - zero, ended_ns=one.ended_ns - zero)
            lines.append(f"{since}{', exposed' if any(other.covers(one) for other in exposures) else ''}")
    return "\n".join(lines)


def to_lines(operations: Iterable[Operation]) -> Iterator[str]:
    """A line of JSON each, for a file that can be read again."""
    for operation in operations:
        yield json.dumps(asdict(operation)) + "\n"


def from_lines(lines: Iterable[str]) -> Iterator[Operation]:
    """Raises ValueError, KeyError or TypeError for what `to_lines` did not write."""
    for line in lines:
        fields = json.loads(line)
        result = fields.pop("result")
        yield Operation(
            kind=Kind(fields.pop("kind")),
            action=Action(fields.pop("action")),
            outcome=Outcome(fields.pop("outcome")),
            result=tuple(result) if isinstance(result, list) else result,
            **fields,
        )
