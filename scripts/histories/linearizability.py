"""Is there an order of the operations on one key that explains every answer, and keeps to what was over before what?

The search is that of Wing and Gong (Testing and Verifying Concurrent Objects, 1993), with Lowe's memory of what was
tried (Testing for Linearizability, 2017): the set of operations that have had their turn, together with the state that
they led to, is never tried twice. Herlihy and Wing's locality (Linearizability, 1990) lets each key be searched alone.

It is exponential in the operations that are under way at one time, and in those whose outcome nobody knows, for those
never end. Two observations keep the latter harmless. What nobody has read cannot be told apart: an unknown write to a
register that no read returned may be left out, and such elements of a list count only for their number. And of unknown
operations that are alike, the one that was begun first may be taken for the one that had its effect first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from scripts.histories.models import IMPOSSIBLE, MODELS, Model
from scripts.histories.operations import Action, Kind, Operation, Outcome, Value, shortened

DEFAULT_BUDGET = 2_000_000
"""Steps of one search; a million takes about two seconds."""


class Answer(Enum):
    LINEARIZABLE = auto()
    NOT = auto()
    UNDECIDED = auto()
    """The budget was used up."""


@dataclass(frozen=True, slots=True)
class Result:
    """`stuck` is an operation that no order explains which explains all that was over before it, and `state` what the
    key was after the longest order that was found."""

    answer: Answer
    stuck: Operation | None = None
    state: Hashable = None

    def __str__(self) -> str:
        if self.answer is Answer.LINEARIZABLE:
            return "linearizable"
        if self.answer is Answer.UNDECIDED:
            return "undecided: too many operations at one time"
        return f"no order explains {self.stuck}; before it there was {_state_text(self.state)}"


def _state_text(state: Hashable) -> str:
    return shortened(tuple(map(str, state))) if isinstance(state, tuple) else str(state)


def check(
    operations: Sequence[Operation],
    losable: Callable[[Operation], bool] = lambda operation: False,
    budget: int = DEFAULT_BUDGET,
) -> Result:
    """Whether the operations on one key are linearizable, when those that are `losable` may have had no effect."""
    known = [operation for operation in operations if operation.outcome is Outcome.OK]
    pending = _pending(operations, known)
    if not known:
        return Result(Answer.LINEARIZABLE)
    entries = _Entries(known, pending, losable)
    return _search(MODELS[known[0].kind], entries, budget)


def _pending(operations: Sequence[Operation], known: Sequence[Operation]) -> list[Operation]:
    """The writes of unknown outcome that may matter, those that nobody has read made alike."""
    unknown = [
        operation for operation in operations
        if operation.outcome is Outcome.UNKNOWN and operation.action is Action.WRITE
    ]  # fmt: skip
    if not unknown or unknown[0].kind is Kind.COUNTER:
        return unknown
    results = [operation.result for operation in known if operation.action is Action.READ]
    if unknown[0].kind is Kind.REGISTER:
        returned = set(results)
        return [operation for operation in unknown if operation.argument in returned]
    seen = {element for result in results for element in _elements(result)}
    return [
        operation if operation.argument in seen else replace(operation, argument=None) for operation in unknown
    ]  # fmt: skip


def _elements(result: Value) -> tuple[str, ...]:
    return result if isinstance(result, tuple) else ()


class _Entries:
    """Begins and ends in the order of time, as a linked list from which an operation is lifted when it has its turn.

    Operation `i` begins at entry `i + 1`, and ends at entry `i + 1 + size` if it does; entry 0 is before all.
    """

    def __init__(
        self, known: Sequence[Operation], pending: Sequence[Operation], losable: Callable[[Operation], bool]
    ) -> None:
        self.operations = [*known, *pending]
        self.size = size = len(self.operations)
        self.known = len(known)
        self.losable = [at < self.known and losable(operation) for at, operation in enumerate(self.operations)]
        self.twin = _twins(self.operations, self.known)
        moments = [(operation.begun_ns, 0, at + 1) for at, operation in enumerate(self.operations)]
        moments += [(operation.ended_ns, 1, at + 1 + size) for at, operation in enumerate(known)]
        order = [0, *(entry for _, _, entry in sorted(moments))]
        self.next = [0] * (2 * size + 1)
        self.before = [0] * (2 * size + 1)
        for one, other in zip(order, [*order[1:], 0], strict=True):
            self.next[one] = other
            self.before[other] = one

    def _ends_of(self, at: int) -> Iterator[int]:
        yield at + 1
        if at < self.known:
            yield at + 1 + self.size

    def lift(self, at: int) -> None:
        for entry in self._ends_of(at):
            self.next[self.before[entry]] = self.next[entry]
            self.before[self.next[entry]] = self.before[entry]

    def put_back(self, at: int) -> None:
        for entry in reversed(list(self._ends_of(at))):
            self.next[self.before[entry]] = entry
            self.before[self.next[entry]] = entry


def _twins(operations: Sequence[Operation], known: int) -> list[int]:
    """For each unknown operation the bit of the one that is like it and was begun just before, else 0."""
    twins = [0] * len(operations)
    last: dict[Hashable, int] = {}
    for at in sorted(range(known, len(operations)), key=lambda at: operations[at].begun_ns):
        twins[at] = last.get(operations[at].argument, 0)
        last[operations[at].argument] = 1 << at
    return twins


def _search(model: Model, entries: _Entries, budget: int) -> Result:
    operations, following = entries.operations, entries.next
    state: Hashable = model.initial
    done = 0
    """The operations that have had their turn, a bit each."""
    left = entries.known
    tried: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, Hashable, int, int]] = []
    fewest_left, best = left + 1, Result(Answer.NOT)
    entry, choice = following[0], 0
    while left:
        budget -= 1
        if budget < 0:
            return Result(Answer.UNDECIDED)
        if entry > entries.size:  # An end: who ends here must have had its turn, and what came after must come later.
            if left < fewest_left:
                fewest_left, best = left, Result(Answer.NOT, operations[entry - 1 - entries.size], state)
            if not stack:
                return best
            at, state, done, choice = stack.pop()
            entries.put_back(at)
            left += at < entries.known
            entry = at + 1
            continue
        at = entry - 1
        bit = 1 << at
        if choice == 0 and done & entries.twin[at] == entries.twin[at]:
            after = model.step(state, operations[at])
        elif choice == 1 and entries.losable[at]:
            after = state
        else:
            after = IMPOSSIBLE
        if after is not IMPOSSIBLE and (done | bit, after) not in tried:
            tried.add((done | bit, after))
            stack.append((at, state, done, choice + 1))
            entries.lift(at)
            left -= at < entries.known
            state, done, entry, choice = after, done | bit, following[0], 0
        elif choice == 0 and entries.losable[at]:
            choice = 1
        else:
            entry, choice = following[entry], 0
    return Result(Answer.LINEARIZABLE)
