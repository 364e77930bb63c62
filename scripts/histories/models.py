"""What a key would be if one client after another used it: a register, a counter, a list that is appended to.

A model is a function: the state that an operation leaves, or `IMPOSSIBLE` when in that state it cannot have answered
as it did. An operation whose result nobody knows is possible in every state. States are hashable.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from scripts.histories.operations import Action, Kind, Operation, Outcome

IMPOSSIBLE: Final = object()

Step = Callable[[Hashable, Operation], Hashable]


@dataclass(frozen=True, slots=True)
class Model:
    initial: Hashable
    step: Step


def _register(state: Hashable, operation: Operation) -> Hashable:
    if operation.action is Action.WRITE:
        return operation.argument
    return state if operation.result == state else IMPOSSIBLE


def _counter(state: Hashable, operation: Operation) -> Hashable:
    assert isinstance(state, int)
    if operation.action is Action.READ:
        return state if (operation.result or 0) == state else IMPOSSIBLE
    assert isinstance(operation.argument, int)
    after = state + operation.argument
    return after if operation.outcome is not Outcome.OK or operation.result == after else IMPOSSIBLE


def _list(state: Hashable, operation: Operation) -> Hashable:
    assert isinstance(state, tuple)
    if operation.action is Action.READ:
        return state if operation.result == state else IMPOSSIBLE
    after = (*state, operation.argument)
    return after if operation.outcome is not Outcome.OK or operation.result == len(after) else IMPOSSIBLE


MODELS: Mapping[Kind, Model] = {
    Kind.REGISTER: Model(None, _register),
    Kind.COUNTER: Model(0, _counter),
    Kind.LIST: Model((), _list),
}
