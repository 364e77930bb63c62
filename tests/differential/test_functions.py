"""Functions come to the same as in redis-server 8.2: how libraries are loaded, what functions may, what errors say."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

import pytest

from tests.differential.server_pair import ServerPair
from tests.differential.test_scripts import SCRIPTS, shown
from tests.newer_server import newer_server

LIBRARIES = (SCRIPTS / "function_libraries.txt").read_text().splitlines()
RUN_OF_COMMANDS = 400
_EXISTS = re.compile(rb"(Function|Library) \w+ already exists")
A = "redis.register_function('a', function(keys, args) return {keys, args} end)"
HEADERS = (
    "", "x", "#!lua", "#!lua\n", "#!\n", "#!lua name=\n", "#!lua name=a-b\n", "#!js name=a\n", "#!js name=a-b\n",
    "#!lua name=a name=b\n", "#!lua nam=a\n", f"#!lua NAME=abc\n{A}", f"#!LUA name=abc\n{A}", "#!lua name=\"a b\"\n",
    "#!lua name=\"x\n", f"#!lua   name=abc   \n{A}", f"#!lua name=abc\r\n{A}", f"#!lua 'name=abc'\n{A}",
    f"#!lua name=abc flags=no-writes\n{A}", f"\n#!lua name=abc\n{A}", f"#! lua name=abc\n{A}", "#!lua name=\u00e9\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    pair = ServerPair(tmp_path_factory.mktemp("functions"), cluster=False, program=newer_server())
    for line in ("SET str x", "HSET h a 1 b 2", "SADD s a b", "ZADD z 1.5 a"):
        pair.both(line.encode().split())
    yield pair
    pair.close()


def both(pair: ServerPair, *command: str | bytes) -> tuple[object, object]:
    ours, theirs = pair.both([word if isinstance(word, bytes) else word.encode() for word in command])
    return shown(ours), shown(theirs)


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("name", ["language", "libraries"])
def test_a_function_does_what_a_script_does(newer: ServerPair, name: str, resp: int) -> None:
    newer.begin(resp)
    wrong = {}
    for line in (SCRIPTS / f"{name}.txt").read_text().splitlines():
        library = f"#!lua name=l\nredis.register_function('f', function(KEYS, ARGV)\n{line}\nend)"
        loaded = both(newer, "FUNCTION", "LOAD", "REPLACE", library)
        called = both(newer, "FCALL", "f", "1", "k", "v")
        if loaded[0] != loaded[1] or called[0] != called[1]:
            wrong[line] = loaded if loaded[0] != loaded[1] else called
    both(newer, "FUNCTION", "FLUSH")
    assert wrong == {}


@pytest.mark.parametrize("header", HEADERS)
def test_the_header(newer: ServerPair, header: str) -> None:
    newer.begin(2)
    ours, theirs = both(newer, "FUNCTION", "LOAD", header)
    assert ours == theirs
    ours, theirs = both(newer, "FUNCTION", "FLUSH")
    assert ours == theirs


def test_libraries_are_loaded_alike(newer: ServerPair) -> None:
    """Each is loaded, shown, and its functions a and b are called."""
    newer.begin(3)
    wrong = {}
    for line in LIBRARIES:
        code = f"#!lua name=l\n{line}"
        for command in (
            ("FUNCTION", "LOAD", code), ("FUNCTION", "LIST", "WITHCODE"), ("FCALL", "a", "1", "k", "v"),
            ("FCALL_RO", "a", "0"), ("FCALL", "B", "2", "x", "y"), ("FUNCTION", "STATS"), ("FUNCTION", "FLUSH"),
        ):
            ours, theirs = map(unordered, both(newer, *command))
            if ours != theirs:
                wrong[line, command] = ours, theirs
    assert wrong == {}


LINES = """
FUNCTION
FUNCTION NOSUCH
FUNCTION LOAD
FUNCTION LOAD REPLACE
FUNCTION LOAD x y
FUNCTION LOAD REPLACE REPLACE y
FUNCTION DELETE
FUNCTION DELETE nosuch
FUNCTION LIST x
FUNCTION LIST LIBRARYNAME
FUNCTION LIST LIBRARYNAME a LIBRARYNAME b
FUNCTION LIST WITHCODE WITHCODE
FUNCTION LIST libraryname L* withcode
FUNCTION FLUSH x
FUNCTION FLUSH SYNC x
FUNCTION FLUSH SYNC
FUNCTION FLUSH async
FUNCTION DUMP x
FUNCTION RESTORE
FUNCTION RESTORE x
FUNCTION RESTORE x y
FUNCTION RESTORE x FLUSH z
FUNCTION STATS
FUNCTION STATS x
FUNCTION KILL
FCALL
FCALL a
FCALL a x
FCALL nosuch 0
FCALL nosuch x
FCALL a -1
FCALL a 3 x
FCALL A 0
FCALL_RO a 0
"""


@pytest.mark.parametrize("line", LINES.split("\n")[1:-1])
def test_arguments_are_asked_for_alike(newer: ServerPair, line: str) -> None:
    newer.begin(2)
    both(newer, "FUNCTION", "FLUSH")
    both(newer, "FUNCTION", "LOAD", f"#!lua name=l\n{A}")
    ours, theirs = both(newer, *line.split())
    assert ours == theirs


def library(rng: random.Random, name: str) -> str:
    """With one or two functions, of which others may have one, too. (With two whose names differ in case only,
    redis-server dies some time later.)"""
    flags = rng.sample(("no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"), 2)
    words = ", ".join(f"'{flag}'" for flag in flags)
    functions = [
        f"redis.register_function{{function_name='{function}', callback=function(keys, args) n = n + 1 "
        f"return {{redis.call('incrby', keys[1], args[1]), n}} end, flags={{{words}}}}}"
        for function in rng.sample(rng.choice(("abcd", "ABcd")), rng.randrange(1, 3))
    ]
    return f"#!lua name={name}\nlocal n = 0\n" + "\n".join(functions)


def command(rng: random.Random, dumps: Sequence[bytes]) -> list[str | bytes]:
    name = rng.choice(("l1", "l2", "l3", "L1"))
    kind = rng.randrange(12)
    if kind < 4:
        return ["FUNCTION", "LOAD", *rng.choice(([], ["REPLACE"])), library(rng, name)]
    if kind == 4:
        return ["FUNCTION", "DELETE", name]
    if kind == 5 and dumps:
        return ["FUNCTION", "RESTORE", rng.choice(dumps), *rng.choice(([], ["APPEND"], ["replace"], ["FLUSH"]))]
    if kind == 6:
        return ["FUNCTION", "LIST", *rng.choice(([], ["WITHCODE"], ["LIBRARYNAME", "l?"]))]
    if kind == 7:
        return [*rng.choice((["FUNCTION", "STATS"], ["FUNCTION", "FLUSH"], ["FLUSHALL"], ["DEBUG", "RELOAD"]))]
    return [rng.choice(("FCALL", "FCALL", "FCALL_RO")), rng.choice("abcdAB"), "1", "k", "1"]


@pytest.mark.parametrize("seed", range(3))
def test_libraries_come_and_go_alike(newer: ServerPair, seed: int) -> None:
    newer.begin(3)
    both(newer, "FUNCTION", "FLUSH")
    rng = random.Random(seed)
    dumps: list[bytes] = []
    for _ in range(RUN_OF_COMMANDS):
        line = command(rng, dumps)
        ours, theirs = newer.both([word if isinstance(word, bytes) else word.encode() for word in line])
        assert unordered(shown(ours)) == unordered(shown(theirs)), line
        if line[:2] == ["FUNCTION", "LOAD"]:
            dump = newer.oracle(b"FUNCTION", b"DUMP").value
            assert isinstance(dump, bytes)
            dumps.append(dump)


def unordered(value: object) -> object:
    """What FUNCTION LIST shows has no order, and so the error does not name the same of several that exist."""
    if isinstance(value, (list, tuple)):
        return sorted((unordered(item) for item in value), key=repr)
    return _EXISTS.sub(b"one exists", value) if isinstance(value, bytes) else value


def test_a_dump_of_either_is_restored_by_the_other(newer: ServerPair) -> None:
    newer.begin(2)
    both(newer, "FUNCTION", "FLUSH")
    both(newer, "FUNCTION", "LOAD", f"#!lua name=l\n{A}\n--{'x' * 5000}")
    ours, theirs = newer.both([b"FUNCTION", b"DUMP"])
    assert isinstance(ours.value, bytes)
    assert isinstance(theirs.value, bytes)
    for payload in (ours.value, theirs.value):
        assert both(newer, "FUNCTION", "RESTORE", payload, "FLUSH") == (("+", b"OK"), ("+", b"OK"))
        listed = both(newer, "FUNCTION", "LIST", "WITHCODE")
        assert listed[0] == listed[1]
