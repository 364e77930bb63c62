"""The types of directives: what they take, how they show it, and Redis's texts for what they refuse."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cluster.config.compound import OutputLimit, SavePoint
from cluster.config.directives import BY_NAME, DIRECTIVES
from cluster.config.quoting import split_words
from cluster.config.values import BadValue, parse_integer, parse_memory, show_memory


def parse(name: str, *words: str, before: object = None) -> object:
    return BY_NAME[name].kind.parse(words, before)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("1", 1), ("1k", 1000), ("1K", 1000), ("1kb", 1024), ("1Mb", 1 << 20), ("5g", 5 * 10**9), ("2b", 2),
     ("", 0), ("mb", 0), ("-1", None), ("1.5mb", None), ("10%", None), ("5 mb", None), ("1tb", None),
     ("9" * 30, (1 << 64) - 1), ("9" * 5000, None)],
)  # fmt: skip
def test_memory_sizes(text: str, number: int | None) -> None:
    assert parse_memory(text) == number


@pytest.mark.parametrize("text", ["007", "+7", " 7", "", "-", "1.0", "9223372036854775808", "٣", "9" * 5000])
def test_numbers_are_strict(text: str) -> None:
    assert parse_integer(text) is None


def test_sizes_are_written_short_and_read_back() -> None:
    for number in (0, 1, 1000, 1024, 1500000, 64 << 20, 3 << 30):
        assert parse_memory(show_memory(number)) == number
    assert show_memory(64 << 20) == "64mb"


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("appendonly", ["maybe"], "argument must be 'yes' or 'no'"),
        ("port", ["x"], "argument couldn't be parsed into an integer"),
        ("port", ["70000"], "argument must be between 0 and 65535 inclusive"),
        ("maxmemory", ["-1"], "argument must be a memory value"),
        ("repl-backlog-size", ["0"], "argument must be between 1 and 9223372036854775807 inclusive"),
        ("maxmemory-clients", ["101%"], "percentage argument must be less or equal to 100"),
        ("maxmemory-clients", ["-5%"], "argument must be a memory or percent value"),
        ("unixsocketperm", ["999"], "argument couldn't be parsed as an octal number"),
        ("unixsocketperm", ["1777"], "argument must be between 0 and 777 inclusive"),
        ("appendfsync", ["x"], "argument(s) must be one of the following: everysec, always, no"),
        ("oom-score-adj", ["x"], "argument(s) must be one of the following: no, yes, relative, absolute"),
        ("save", ["60"], "Invalid save parameters"),
        ("save", ["0", "1"], "Invalid save parameters"),
        ("client-output-buffer-limit", ["normal", "1"], "Wrong number of arguments in buffer limit configuration."),
        ("oom-score-adj-values", ["1", "2"], "wrong number of arguments"),
        ("notify-keyspace-events", ["q"], "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("dbfilename", ["a/b"], "dbfilename can't be a path, just a filename"),
        ("appenddirname", [""], "appenddirname can't be empty"),
        ("shutdown-on-sigint", ["save", "nosave"], "shutdown options SAVE and NOSAVE can't be used simultaneously"),
        ("cluster-announce-hostname", ["a_b"], "Hostnames may only contain alphanumeric characters, hyphens or dots"),
        ("cluster-announce-hostname", ["x" * 256], "Hostnames must be less than 256 characters"),
        ("cluster-announce-hostname", ["a..b"], "Hostnames must have 1 to 63 characters between their dots"),
        ("cluster-announce-ip", ["x,y"], "The address must be an IP address or the name of a host"),
    ],
)
def test_refusals_have_the_texts_of_redis(name: str, words: list[str], message: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse(name, *words)
    assert str(caught.value) == message


def test_what_redis_corrects_in_silence() -> None:
    assert parse("hz", "0") == 1
    assert parse("hz", "1000") == 500
    assert parse("repl-backlog-size", "1") == 16384


def test_save_points_add_to_those_before() -> None:
    assert parse("save", "60", "1", before=(SavePoint(5, 6),)) == (SavePoint(5, 6), SavePoint(60, 1))
    assert parse("save", "", before=(SavePoint(5, 6),)) == ()


def test_output_limits_change_only_the_classes_named() -> None:
    before = BY_NAME["client-output-buffer-limit"].initial()
    limits = parse("client-output-buffer-limit", "slave", "1mb", "2", "3", before=before)
    assert isinstance(before, Mapping)
    assert isinstance(limits, Mapping)
    assert limits == {**before, "replica": OutputLimit(1 << 20, 2, 3)}


@pytest.mark.parametrize(
    ("letters", "shown"),
    [("KEA", "AKE"), ("KEx", "xKE"), ("Kg$lshzxetd", "AK"), ("KEmn", "nKEm"), ("KEAn", "AKE"), ("", "")],
)
def test_event_classes_in_the_order_redis_shows(letters: str, shown: str) -> None:
    kind = BY_NAME["notify-keyspace-events"].kind
    assert kind.show(kind.parse([letters], None)) == shown


def test_every_default_shows_as_a_text_that_parses_to_it() -> None:
    for directive in DIRECTIVES:
        if directive.unlisted:
            continue
        value = directive.initial()
        shown = directive.kind.show(value)
        words = shown.split(" ") if directive.kind.several_words else [shown]
        assert directive.kind.parse(words, None) == value, directive.name


def test_every_default_is_written_as_lines_that_parse_to_it() -> None:
    for directive in DIRECTIVES:
        if directive.unlisted:
            continue
        value: object = None
        for entry in directive.kind.written(directive.initial()):
            words = split_words(entry)
            assert words is not None
            value = directive.kind.parse(words, value)
        assert value == directive.initial(), directive.name
