"""Names that a sentinel looks up, which may come from anybody's hello."""

from __future__ import annotations

from threading import Event

import pytest
import trio
import trio.testing

from cluster.sentinel import names
from tests.bus.sides import eventually


@pytest.mark.parametrize("name", ["a..b", "x" * 70, "\udcff", "a\0b", ""])
def test_what_no_resolver_takes_is_not_found(name: str) -> None:
    assert names._look_up(name) is None


def test_an_address_is_its_own() -> None:
    assert names._look_up("127.0.0.1") == "127.0.0.1"


def test_names_of_strangers_take_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(names, "_look_up", asked.append)
    known = names.Names()
    known.enabled = True
    for number in range(names.KNOWN_LIMIT + 1):
        known.resolve(f"host{number}")
    known.resolve("host0")
    assert asked.count("host0") == 2, "it had to be forgotten"
    known.resolve(f"host{names.KNOWN_LIMIT}")
    assert asked.count(f"host{names.KNOWN_LIMIT}") == 1


def test_once_it_runs_no_name_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = iter(["10.0.0.1", "10.0.0.2", None])
    answers: list[bool] = []
    monkeypatch.setattr(names, "_look_up", lambda host: next(addresses, None))
    monkeypatch.setattr(names, "FRESH_SECONDS", 0.0)
    known = names.Names(answers.append)
    known.enabled = True

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(known.run)
            await trio.testing.wait_all_tasks_blocked()
            assert (known.resolve("db"), known.is_awaited("db")) == (None, True)
            await eventually(lambda: answers == [True])
            assert known.resolve("db") == "10.0.0.1"
            assert not known.is_awaited("db"), "its address is known"
            await eventually(lambda: known.resolve("db") == "10.0.0.2")
            await eventually(lambda: next(addresses, "all asked for") == "all asked for" and not known._under_way)
            assert known.resolve("db") == "10.0.0.2", "a name that is not found for once keeps its address"
            assert known.resolve("nowhere") is None
            await eventually(lambda: answers == [True, False])
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_name_that_nobody_answers_for_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = Event()
    monkeypatch.setattr(names, "_look_up", lambda host: silence.wait(20) and None if host == "slow" else "10.0.0.1")
    known = names.Names()
    known.enabled = True

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(known.run)
            await trio.testing.wait_all_tasks_blocked()
            known.resolve("slow")
            await eventually(lambda: known.resolve("fast") == "10.0.0.1")
            assert known.is_awaited("slow")
            nursery.cancel_scope.cancel()

    trio.run(main)
    silence.set()
