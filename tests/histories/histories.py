"""Histories for tests: written by hand, or made by running a model and letting the operations overlap."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from scripts.histories.models import IMPOSSIBLE, MODELS
from scripts.histories.operations import Action, Kind, Operation, Outcome, Value

APART = 10


def op(
    kind: Kind, argument: str | int | None, result: Value, begun: int, ended: int,
    *, outcome: Outcome = Outcome.OK, node: str = "a", key: str = "key",
) -> Operation:  # fmt: skip
    """A write of `argument`, or a read where that is None."""
    action = Action.READ if argument is None else Action.WRITE
    return Operation(0, kind, key, action, argument, outcome, result, begun, ended, node)


def sequential(kind: Kind, count: int, rng: random.Random, key: str = "key") -> list[Operation]:
    """What one client after another would see, `APART` between them; half of the operations are reads."""
    state: object = MODELS[kind].initial
    made = []
    for number in range(count):
        at = number * APART
        result: object = state
        argument: str | int | None = None
        if rng.random() < 0.5:
            argument = 1 if kind is Kind.COUNTER else f"v{number}"
            if isinstance(state, tuple):
                state = (*state, argument)
                result = len(state)
            elif isinstance(state, int):
                state = result = state + 1
            else:
                state, result = argument, None
        assert result is None or isinstance(result, (str, int, tuple))
        made.append(op(kind, argument, result, at, at + 1, key=key))
    return made


def overlapped(history: Sequence[Operation], rng: random.Random, reach: int = 3 * APART) -> list[Operation]:
    """The same with begins earlier and ends later: it stays linearizable. Some answers get lost on the way."""
    wider = []
    for one in history:
        wide = replace(one, begun_ns=one.begun_ns - rng.randrange(reach), ended_ns=one.ended_ns + rng.randrange(reach))
        if rng.random() < 0.1:
            wide = replace(wide, outcome=Outcome.UNKNOWN, result=None)
        wider.append(wide)
    return wider


def explained_by_an_order(history: Sequence[Operation]) -> bool:
    """The naive twin of the search: every order of every subset that has all that is known."""
    known = [one for one in history if one.outcome is Outcome.OK]
    unknown = [one for one in history if one.outcome is Outcome.UNKNOWN and one.action is Action.WRITE]
    for chosen in range(1 << len(unknown)):
        taken = [*known, *(one for at, one in enumerate(unknown) if chosen >> at & 1)]
        if any(_keeps_time(order) and _is_possible(order) for order in permutations(taken)):
            return True
    return not known


def _keeps_time(order: Sequence[Operation]) -> bool:
    return not any(
        later.outcome is Outcome.OK and later.ended_ns < earlier.begun_ns
        for at, earlier in enumerate(order)
        for later in order[at + 1 :]
    )


def _is_possible(order: Sequence[Operation]) -> bool:
    if not order:
        return True
    model = MODELS[order[0].kind]
    state = model.initial
    for one in order:
        state = model.step(state, one)
        if state is IMPOSSIBLE:
            return False
    return True
