"""The configuration: attributes, CONFIG GET's patterns, and CONFIG SET's all or nothing."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from cluster.config.attributes import Attributes
from cluster.config.directives import DIRECTIVES
from cluster.config.errors import ConfigError
from cluster.config.store import ConfigSetError, Configuration, Setting
from cluster.config.values import BadValue


def refused(config: Configuration, *pairs: tuple[str, str]) -> str:
    with pytest.raises(ConfigSetError) as caught:
        config.set(pairs)
    return caught.value.message


def test_the_typed_attributes_are_those_of_the_table() -> None:
    assert list(get_type_hints(Attributes)) == [directive.attribute for directive in DIRECTIVES]


def test_get_takes_several_patterns_and_names() -> None:
    config = Configuration()
    assert config.get(["hz", "timeout"]) == [("hz", "10"), ("timeout", "0")]
    assert dict(config.get(["hash-max-*", "hz"])) == {
        "hash-max-listpack-entries": "512", "hash-max-ziplist-entries": "512",
        "hash-max-listpack-value": "64", "hash-max-ziplist-value": "64", "hz": "10",
    }  # fmt: skip
    assert config.get(["h?", "H[yz]", "nope"]) == [("hz", "10")]


def test_a_pattern_that_is_odd_or_hostile_is_answered_at_once() -> None:
    config = Configuration()
    assert config.get(["[z-a]z", "h[z"]) == [("hz", "10")]
    assert config.get(["[^", "*" * 200 + "q" + "*?" * 200, "*a" * 100]) == []


def test_a_name_comes_back_as_it_was_asked_for_and_once() -> None:
    assert Configuration().get(["HZ"]) == [("HZ", "10")]
    assert Configuration().get(["hz", "HZ", "h?"]) == [("hz", "10")]


def test_hidden_directives_answer_to_their_name_only() -> None:
    config = Configuration()
    assert config.get(["rdb-key*"]) == []
    assert config.get(["rdb-key-save-delay"]) == [("rdb-key-save-delay", "0")]
    assert config.get(["rename-command", "user"]) == []


def test_set_says_what_changed_and_by_which_name() -> None:
    config = Configuration()
    assert config.set([("HZ", "11"), ("slave-read-only", "yes"), ("maxmemory", "1mb")]) == ["hz", "maxmemory"]
    assert (config.hz, config.maxmemory) == (11, 1 << 20)


def test_every_directive_that_can_be_set_is_set_to_what_it_is() -> None:
    for directive in DIRECTIVES:
        if not (directive.immutable or directive.unlisted or directive.protected):
            config = Configuration()
            assert config.set([(directive.name, config.text(directive))]) in ([], [directive.name])


def test_save_is_replaced_at_run_time() -> None:
    config = Configuration([Setting("save", ("60", "1"))])
    config.set([("save", "5 6 7 8")])
    assert config.save == ((5, 6), (7, 8))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("nope", "x")], "Unknown option or number of arguments for CONFIG SET - 'nope'"),
        ([("hz", "x"), ("nope", "4")], "Unknown option or number of arguments for CONFIG SET - 'nope'"),
        (
            [("databases", "3")],
            "CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
        ),
        (
            [("databases", "x"), ("hz", "y")],
            "CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
        ),
        ([("dir", "/")], "CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"),
        ([("hz", "5"), ("hz", "6")], "CONFIG SET failed (possibly related to argument 'hz') - duplicate parameter"),
        (
            [("HZ", "x")],
            "CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer",
        ),
        ([("rename-command", "a")], "Unknown option or number of arguments for CONFIG SET - 'rename-command'"),
    ],
)
def test_refusals_have_the_texts_of_redis(pairs: list[tuple[str, str]], message: str) -> None:
    assert refused(Configuration(), *pairs) == message


def test_one_bad_value_leaves_everything_as_it_was() -> None:
    config = Configuration()
    refused(config, ("maxmemory", "5mb"), ("save", ""), ("timeout", "x"))
    assert (config.maxmemory, len(config.save), config.timeout) == (0, 3, 0)


def test_a_veto_undoes_all_and_tells_those_who_had_been_told() -> None:
    config = Configuration()
    seen: list[int] = []

    def watch(changed: Configuration) -> None:
        seen.append(changed.hz)

    def veto(changed: Configuration) -> None:
        raise BadValue("Unable to listen on this port")

    config.on_change(["hz"], watch)
    config.on_change(["port"], veto)
    message = refused(config, ("port", "1"), ("hz", "20"))
    assert message == "CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port"
    assert seen == [20, 10]
    assert (config.port, config.hz) == (6379, 10)


def test_nobody_is_told_of_a_value_that_stayed() -> None:
    config = Configuration()
    seen: list[int] = []
    config.on_change(["hz", "timeout"], lambda changed: seen.append(changed.hz))
    config.set([("hz", "10")])
    assert seen == []
    config.set([("hz", "12"), ("timeout", "5")])
    assert seen == [12]


def test_protected_directives_open_to_those_who_may() -> None:
    config = Configuration()
    config.set([("dbfilename", "x.rdb")], protected_allowed=True)
    assert config.dbfilename == "x.rdb"


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ([("cluster-enabled", "yes"), ("replicaof", "h 1")], "replicaof directive not allowed in cluster mode"),
        ([("cluster-enabled", "yes"), ("port", "60000")], "Redis port number too high"),
        ([("port", "0")], "configured to not listen anywhere"),
        ([("tls-port", "6379")], "they cannot be the same"),
        ([("user", "bob on"), ("aclfile", "x")], "'aclfile x': Configuring users here and an aclfile as well"),
        ([("loadmodule", "/x.so")], "Can't load module: modules are not supported"),
    ],
)
def test_values_that_cannot_be_followed(settings: list[tuple[str, str]], cause: str) -> None:
    config = Configuration(Setting(name, tuple(word.split()), "x.conf:1", f"{name} {word}") for name, word in settings)
    with pytest.raises(ConfigError, match=cause):
        config.check()


def test_limits_given_in_a_file_keep_the_other_classes() -> None:
    config = Configuration([Setting("client-output-buffer-limit", ("normal", "1", "2", "3"))])
    assert config.client_output_buffer_limit["normal"] == (1, 2, 3)
    assert config.client_output_buffer_limit["pubsub"].soft_seconds == 60
