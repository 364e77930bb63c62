"""What a cluster promises of a recorded run, and where the run does not keep it.

Replication is asynchronous. So a primary that is about to be killed or cut off may acknowledge what its replica never
gets; such times are told as `Exposure`s. What is promised is:

- All that was acknowledged outside of them has its effect, and every key is linearizable. Only writes within them may
  be missing, each as if it had never been; and what was read there may have been such a write.
- Within them as well, a primary is one server: what it answered until then is linearizable with nothing missing. So
  who writes and then reads there sees what was written. What its heir has taken meanwhile it need not have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.histories.linearizability import DEFAULT_BUDGET, Answer, Result, check
from scripts.histories.operations import Action, Exposure, Kind, Operation, Outcome


@dataclass(slots=True)
class Judgement:
    """`violations` say what cannot be, `undecided` names keys whose search was given up."""

    violations: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    broken_keys: list[str] = field(default_factory=list)
    """The keys that either is about."""
    keys: int = 0
    operations: int = 0
    exposed: int = 0
    """Writes that were acknowledged by a node that was about to be cut off or replaced."""
    lost: int = 0
    """Of these, elements of lists that are not there at the end; other keys do not show how many."""

    @property
    def is_good(self) -> bool:
        return not self.violations and not self.undecided


def judge(
    operations: Sequence[Operation],
    exposures: Sequence[Exposure] = (),
    *,
    no_loss: bool = False,
    budget: int = DEFAULT_BUDGET,
) -> Judgement:
    """Hold each key's history against the promise. With `no_loss`, nothing that was acknowledged may be missing."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    judgement = Judgement(keys=len(by_key), operations=len(operations))
    for key, own in by_key.items():
        _judge_key(judgement, key, own, exposures, no_loss, budget)
    return judgement


def _judge_key(
    judgement: Judgement, key: str, own: list[Operation], exposures: Sequence[Exposure], no_loss: bool, budget: int
) -> None:
    here = [exposure for exposure in exposures if any(map(exposure.covers, own))]

    def exposed(operation: Operation) -> bool:
        return operation.outcome is Outcome.OK and any(exposure.covers(operation) for exposure in here)

    def losable(operation: Operation) -> bool:
        return not no_loss and exposed(operation)

    writes = [operation for operation in own if operation.action is Action.WRITE and exposed(operation)]
    judgement.exposed += len(writes)
    judgement.lost += _missing(own, writes)
    kept = [operation for operation in own if operation.action is Action.WRITE or not exposed(operation)]
    _note(judgement, key, check(kept, losable, budget))
    for exposure in here:
        _note(judgement, key, _check_term(own, exposure, here, no_loss, budget), f", as {exposure.node} had it")


def _check_term(
    own: Sequence[Operation], exposure: Exposure, here: Sequence[Exposure], no_loss: bool, budget: int
) -> Result:
    """What the exposed node answered, and all before, with nothing missing but by what was exposed earlier.

    Before its first answer others may have had the key: one that handed it over, or an heir of whom it does not know
    yet. A history does not tell which, so their writes of the exposed time may be there or not.
    """
    earlier = [other for other in here if other.from_ns < exposure.from_ns]
    # The key may have come to the node just now: what was over before it answered first belongs to it too.
    first = max(exposure.from_ns, min(operation.begun_ns for operation in own if exposure.covers(operation)))

    def elsewhere(operation: Operation) -> bool:
        return operation.node != exposure.node and operation.ended_ns >= exposure.from_ns

    def lost_earlier(operation: Operation) -> bool:
        return any(other.covers(operation) for other in earlier)

    def losable(operation: Operation) -> bool:
        return elsewhere(operation) or (not no_loss and lost_earlier(operation))

    def belongs(operation: Operation) -> bool:
        if operation.outcome is not Outcome.OK:
            return operation.begun_ns <= exposure.to_ns
        if operation.action is Action.READ and (lost_earlier(operation) or elsewhere(operation)):
            return False
        return exposure.covers(operation) or operation.ended_ns < first

    term = [operation for operation in own if belongs(operation)]
    return check(term, losable, budget)


def _note(judgement: Judgement, key: str, result: Result, where: str = "") -> None:
    if result.answer is not Answer.LINEARIZABLE and key not in judgement.broken_keys:
        judgement.broken_keys.append(key)
    if result.answer is Answer.NOT:
        judgement.violations.append(f"{key}{where}: {result}")
    elif result.answer is Answer.UNDECIDED:
        judgement.undecided.append(f"{key}{where}: {result}")


def _missing(own: Sequence[Operation], writes: Sequence[Operation]) -> int:
    """How many of these appends the last read of the list does not show."""
    reads = [
        operation for operation in own
        if operation.kind is Kind.LIST and operation.action is Action.READ and operation.outcome is Outcome.OK
    ]  # fmt: skip
    if not reads:
        return 0
    last = max(reads, key=lambda operation: operation.ended_ns)
    there = set(last.result) if isinstance(last.result, tuple) else set()
    return sum(write.argument not in there for write in writes if write.ended_ns < last.begun_ns)
