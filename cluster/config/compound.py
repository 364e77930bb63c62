"""The types of directives whose value is several words: save points, output limits, addresses and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from cluster.config.quoting import quote_if_needed
from cluster.config.values import INT_MAX, BadValue, parse_integer, parse_memory, show_memory

MAX_BIND_ADDRESSES = 16
EVENT_LETTERS = "g$lshzxetdn"
"""The classes of keyspace events in the order CONFIG GET shows them; then K, E and m."""
_ALL_EVENTS = "g$lshzxetd"
"""What the letter A stands for: neither m (misses) nor n (new keys) is in it."""
_SHUTDOWN_OPTIONS = ("save", "nosave", "now", "force")


class OutputLimit(NamedTuple):
    """A client is closed at once over `hard_bytes`, and when over `soft_bytes` for `soft_seconds`; 0: no limit."""

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


class SavePoint(NamedTuple):
    """A snapshot is due when `changes` keys changed within `seconds`."""

    seconds: int
    changes: int


def _tuple(before: object) -> tuple[Any, ...]:
    return before if isinstance(before, tuple) else ()


@dataclass(frozen=True, slots=True)
class _Words:
    @property
    def several_words(self) -> bool:
        return True

    def show(self, value: object) -> str:
        return str(value)

    def written(self, value: object) -> list[str]:
        return [self.show(value) or '""']


@dataclass(frozen=True, slots=True)
class SavePoints(_Words):
    """Pairs of seconds and changes; no pair means no snapshots. Repeated lines of a file add up."""

    def parse(self, words: Sequence[str], before: object) -> tuple[SavePoint, ...]:
        if list(words) == [""]:
            return ()
        if len(words) % 2:
            raise BadValue("Invalid save parameters")
        points = []
        for seconds_text, changes_text in zip(words[::2], words[1::2], strict=True):
            seconds, changes = parse_integer(seconds_text), parse_integer(changes_text)
            if seconds is None or seconds < 1 or changes is None or not 0 <= changes <= INT_MAX:
                raise BadValue("Invalid save parameters")
            points.append(SavePoint(seconds, changes))
        return (*_tuple(before), *points)

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return " ".join(f"{point.seconds} {point.changes}" for point in value)

    def written(self, value: object) -> list[str]:
        assert isinstance(value, tuple)
        return [f"{point.seconds} {point.changes}" for point in value] or ['""']


@dataclass(frozen=True, slots=True)
class OutputLimits(_Words):
    """{'normal' | 'replica' | 'pubsub': OutputLimit}. Classes that are not named keep their limits."""

    def parse(self, words: Sequence[str], before: object) -> Mapping[str, OutputLimit]:
        if list(words) == [""]:
            words = []
        if len(words) % 4:
            raise BadValue("Wrong number of arguments in buffer limit configuration.")
        limits: dict[str, OutputLimit] = dict(before) if isinstance(before, Mapping) else {}
        for at in range(0, len(words), 4):
            name = {"slave": "replica"}.get(words[at].lower(), words[at].lower())
            if name not in ("normal", "replica", "pubsub"):
                raise BadValue("Invalid client class specified in buffer limit configuration.")
            hard, soft = parse_memory(words[at + 1]), parse_memory(words[at + 2])
            seconds = parse_integer(words[at + 3])
            if hard is None or soft is None or seconds is None or seconds < 0:
                raise BadValue("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limits[name] = OutputLimit(hard, soft, seconds)
        return MappingProxyType(limits)

    def show(self, value: object) -> str:
        assert isinstance(value, Mapping)
        return " ".join(
            f"{shown} {limit.hard_bytes} {limit.soft_bytes} {limit.soft_seconds}"
            for shown, limit in (("normal", value["normal"]), ("slave", value["replica"]), ("pubsub", value["pubsub"]))
        )

    def written(self, value: object) -> list[str]:
        assert isinstance(value, Mapping)
        return [
            f"{name} {show_memory(limit.hard_bytes)} {show_memory(limit.soft_bytes)} {limit.soft_seconds}"
            for name, limit in value.items()
        ]


@dataclass(frozen=True, slots=True)
class Addresses(_Words):
    """The addresses of `bind`: * and ::* are all of IPv4 and IPv6; a '-' before one lets it be missing."""

    def parse(self, words: Sequence[str], before: object) -> tuple[str, ...]:
        if len(words) > MAX_BIND_ADDRESSES:
            raise BadValue("Too many bind addresses specified.")
        return () if list(words) == [""] else tuple(words)

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return " ".join(value)


@dataclass(frozen=True, slots=True)
class ScoreAdjustments(_Words):
    """The three values of oom-score-adj-values."""

    def parse(self, words: Sequence[str], before: object) -> tuple[int, ...]:
        if len(words) != 3:
            raise BadValue("wrong number of arguments")
        numbers = [parse_integer(word) for word in words]
        scores = tuple(number for number in numbers if number is not None and -2000 <= number <= 2000)
        if len(scores) != 3:
            raise BadValue("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        return scores

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return " ".join(map(str, value))


@dataclass(frozen=True, slots=True)
class Percentiles(_Words):
    def parse(self, words: Sequence[str], before: object) -> tuple[float, ...]:
        if list(words) == [""]:
            return ()
        numbers = []
        for word in words:
            if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", word, re.ASCII):
                raise BadValue("Invalid latency-tracking-info-percentiles parameters")
            number = float(word)
            if not 0 <= number <= 100:
                raise BadValue("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
            numbers.append(number)
        return tuple(numbers)

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return " ".join(repr(number).removesuffix(".0") for number in value)


@dataclass(frozen=True, slots=True)
class EventClasses:
    """notify-keyspace-events: the letters, A written out where the parts need it; '' is none."""

    @property
    def several_words(self) -> bool:
        return False

    def parse(self, words: Sequence[str], before: object) -> str:
        letters = set(words[0])
        if letters - set(EVENT_LETTERS) - set("AKEm"):
            raise BadValue("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        if "A" in letters:
            letters = letters - {"A"} | set(_ALL_EVENTS)
        return "".join(letter for letter in EVENT_LETTERS + "KEm" if letter in letters)

    def show(self, value: object) -> str:
        assert isinstance(value, str)
        if not set(_ALL_EVENTS) <= set(value):
            return value
        return "A" + "".join(letter for letter in value if letter in "KEm")

    def written(self, value: object) -> list[str]:
        return [f'"{self.show(value)}"']


@dataclass(frozen=True, slots=True)
class ShutdownOptions(_Words):
    """shutdown-on-sigterm and -sigint: 'default', or some of save, nosave, now, force."""

    def parse(self, words: Sequence[str], before: object) -> tuple[str, ...]:
        given = {word.lower() for word in words}
        if given - {"default", *_SHUTDOWN_OPTIONS}:
            options = ", ".join(("default", *_SHUTDOWN_OPTIONS))
            raise BadValue(f"argument(s) must be one of the following: {options}")
        if {"save", "nosave"} <= given:
            raise BadValue("shutdown options SAVE and NOSAVE can't be used simultaneously")
        return tuple(option for option in _SHUTDOWN_OPTIONS if option in given)

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return " ".join(value) or "default"


@dataclass(frozen=True, slots=True)
class PrimaryAddress(_Words):
    """replicaof: (host, port), or None for 'no one'."""

    def parse(self, words: Sequence[str], before: object) -> tuple[str, int] | None:
        if list(words) == [""]:
            return None
        if len(words) != 2:
            raise BadValue("wrong number of arguments")
        if [word.lower() for word in words] == ["no", "one"]:
            return None
        port = parse_integer(words[1])
        if port is None or not 0 <= port <= 65535:
            raise BadValue("Invalid master port")
        return words[0], port

    def show(self, value: object) -> str:
        if value is None:
            return ""
        assert isinstance(value, tuple)
        return f"{value[0]} {value[1]}"

    def written(self, value: object) -> list[str]:
        return [self.show(value)] if value is not None else []


@dataclass(frozen=True, slots=True)
class Lines(_Words):
    """A directive that stands for itself each time (rename-command, user, loadmodule): all its lines, in order."""

    fewest: int
    most: int | None = None

    def parse(self, words: Sequence[str], before: object) -> tuple[tuple[str, ...], ...]:
        if before is None:
            return ()
        if len(words) < self.fewest or (self.most is not None and len(words) > self.most):
            raise BadValue("Bad directive or wrong number of arguments")
        return (*_tuple(before), tuple(words))

    def show(self, value: object) -> str:
        assert isinstance(value, tuple)
        return ", ".join(" ".join(line) for line in value)

    def written(self, value: object) -> list[str]:
        assert isinstance(value, tuple)
        return [" ".join(map(quote_if_needed, line)) for line in value]
