"""The bus with one of its safeguards taken away: what the checkers of the simulation have to find out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bus import core, election, events, ownership
from bus.core import BusCore
from bus.due import Save
from bus.events import LinkId
from bus.messages import Vote, VoteRequest
from bus.state import Peer, State
from bus.view import NodeInfo, PersistentState

NEVER = 0
NEWEST = 1 << 40

Mutation = Callable[[pytest.MonkeyPatch], None]


def _with(s: State, name: str, value: Any, call: Callable[[], Any]) -> Any:
    """`call` with one of the state's fields as given, and back again unless it was changed."""
    before = getattr(s, name)
    setattr(s, name, value)
    try:
        return call()
    finally:
        if getattr(s, name) == value:
            setattr(s, name, before)


def a_vote_is_saved_after_it_is_sent(patch: pytest.MonkeyPatch) -> None:
    original = election.on_vote_request

    def on_vote_request(s: State, sender: Peer, link_id: LinkId, message: VoteRequest) -> None:
        wanted = s.saving.wanted
        original(s, sender, link_id, message)
        if s.saving.wanted is not wanted:
            s.saving.wanted = wanted or Save.LATER

    patch.setattr(election, "on_vote_request", on_vote_request)


def a_vote_is_not_saved(patch: pytest.MonkeyPatch) -> None:
    original = State.persistent

    def persistent(s: State, infos: dict[str, NodeInfo]) -> PersistentState:
        return replace(original(s, infos), last_vote_epoch=NEVER)

    patch.setattr(State, "persistent", persistent)


def votes_are_forgotten_by_a_restart(patch: pytest.MonkeyPatch) -> None:
    original = core._restore

    def restore(s: State, state: PersistentState) -> None:
        original(s, replace(state, last_vote_epoch=NEVER))

    patch.setattr(core, "_restore", restore)


def the_current_epoch_is_forgotten_by_a_restart(patch: pytest.MonkeyPatch) -> None:
    original = core._restore

    def restore(s: State, state: PersistentState) -> None:
        original(s, replace(state, current_epoch=NEVER))
        s.current_epoch = s.me.config_epoch

    patch.setattr(core, "_restore", restore)


def nothing_outlives_a_loss_of_power(patch: pytest.MonkeyPatch) -> None:
    original = BusCore._finish

    def finish(self: BusCore, reply: events.Reply | None) -> list[events.Effect]:
        effects = original(self, reply)
        return [replace(one, durable=False) if isinstance(one, events.Persist) else one for one in effects]

    patch.setattr(BusCore, "_finish", finish)


def _quorum_is_one_less(s: State) -> int:
    return max(1, s.size // 2)


def a_majority_is_one_less(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "quorum", property(_quorum_is_one_less))


def an_election_is_won_with_one_vote_less(patch: pytest.MonkeyPatch) -> None:
    original = election.on_vote

    def on_vote(s: State, sender: Peer, message: Vote) -> None:
        right = State.quorum
        State.quorum = property(_quorum_is_one_less)  # type: ignore[method-assign, assignment]
        try:
            original(s, sender, message)
        finally:
            State.quorum = right  # type: ignore[method-assign]

    patch.setattr(election, "on_vote", on_vote)


def a_second_vote_is_given_in_an_epoch(patch: pytest.MonkeyPatch) -> None:
    original = election._refusal

    def refusal(s: State, sender: Peer, message: VoteRequest) -> str:
        return str(_with(s, "last_vote_epoch", NEVER, lambda: original(s, sender, message)))

    patch.setattr(election, "_refusal", refusal)


def a_vote_is_given_in_an_epoch_that_is_over(patch: pytest.MonkeyPatch) -> None:
    original = election._refusal

    def refusal(s: State, sender: Peer, message: VoteRequest) -> str:
        return str(_with(s, "current_epoch", NEVER, lambda: original(s, sender, message)))

    patch.setattr(election, "_refusal", refusal)


def who_has_less_data_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(election, "_rank", lambda s, primary: 0)


def data_may_be_of_any_age(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(election, "_is_fit", lambda s: True)


def a_claim_is_believed_whatever_its_epoch(patch: pytest.MonkeyPatch) -> None:
    original = ownership.claim

    def claim(s: State, sender: Peer) -> None:
        epoch, sender.claimed_epoch = sender.claimed_epoch, NEWEST
        original(s, sender)
        sender.claimed_epoch = epoch

    patch.setattr(ownership, "claim", claim)


def a_collision_of_epochs_is_left_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ownership, "settle_collision", lambda s, peer: None)


def no_claim_is_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ownership, "claim", lambda s, sender: None)
