"""The manifest of an append-only file: its text both ways, the errors redis-server has for it, and its steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.persistence.aof_manifest import BASE, HISTORY, INCREMENT, File, Manifest, ManifestError, old_file, parse

TWO = "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n"


def names(files: tuple[File, ...]) -> list[str]:
    return [file.name for file in files]


def test_the_text_of_redis_is_read_and_written() -> None:
    manifest = parse(TWO)
    assert manifest.base == File("a.1.base.rdb", 1, BASE)
    assert manifest.increments == (File("a.1.incr.aof", 1, INCREMENT),)
    assert names(manifest.to_load) == ["a.1.base.rdb", "a.1.incr.aof"]
    assert manifest.render() == TWO


@pytest.mark.parametrize("text", [
    "# a comment\n" + TWO,
    "  file a.1.base.rdb seq 1 type b  \nfile \"a.1.incr.aof\" seq 1 type i\n",
    "FILE a.1.base.rdb TYPE b SEQ 1\nfile a.1.incr.aof seq 1 type i and more\n",
])  # fmt: skip
def test_what_else_is_taken(text: str) -> None:
    assert parse(text).render() == TWO


@pytest.mark.parametrize(("text", "cause", "number"), [
    ("", "Found an empty AOF manifest", 0),
    ("\n", "Invalid AOF manifest file format", 1),
    ("bogus\n", "Invalid AOF manifest file format", 1),
    (TWO + "file x seq 2\n", "Invalid AOF manifest file format", 3),
    ("file x seq 0 type b\n", "Invalid AOF manifest file format", 1),
    ("file x seq one type b\n", "Invalid AOF manifest file format", 1),
    ("file x seq 1 type b more\n", "Invalid AOF manifest file format", 1),
    ('file "x seq 1 type b\n', "Invalid AOF manifest file format", 1),
    ("file x seq 1 type y\n", "Unknown AOF file type", 1),
    ("file a/x seq 1 type b\n", "File can't be a path, just a filename", 1),
    (TWO + "file y seq 2 type b\n", "Found duplicate base file information", 3),
    (TWO + "file y seq 1 type i\n", "Found a non-monotonic sequence number", 3),
    ("file x seq 1 type b", "The AOF manifest file contains too long line", 0),
    ("x" * 1100 + "\n", "The AOF manifest file contains too long line", 0),
])  # fmt: skip
def test_errors_are_those_of_redis(text: str, cause: str, number: int) -> None:
    with pytest.raises(ManifestError) as found:
        parse(text)
    assert (found.value.cause, found.value.number) == (cause, number)


def test_a_rewrite_keeps_the_increment_that_began_with_it() -> None:
    manifest, _ = Manifest().with_base("a", "rdb")
    manifest, _ = manifest.with_increment("a")
    manifest, fresh = manifest.with_increment("a")
    done, base = manifest.rewritten("a", "aof")
    assert names(done.to_load) == ["a.2.base.aof", "a.2.incr.aof"]
    assert (base.name, fresh.name) == ("a.2.base.aof", "a.2.incr.aof")
    assert names(done.history) == ["a.1.base.rdb", "a.1.incr.aof"]
    assert {file.kind for file in done.history} == {HISTORY}
    assert done.without_history().history == ()


def test_a_new_beginning_keeps_nothing_and_counts_on() -> None:
    manifest = parse("file a.4.base.rdb seq 4 type b\nfile a.9.incr.aof seq 9 type i\n")
    manifest, base = manifest.with_base("a", "rdb")
    manifest, increment = manifest.with_increment("a")
    assert (base.name, increment.name) == ("a.5.base.rdb", "a.10.incr.aof")
    assert names(manifest.to_load) == [base.name, increment.name]


def test_the_one_file_of_old_is_a_base() -> None:
    assert old_file("appendonly.aof").render() == "file appendonly.aof seq 1 type b\n"


NAMES = st.text("ab.-# \"'\\\n\r\t\x01é€", min_size=1, max_size=20)


@given(NAMES, st.booleans(), st.integers(0, 3), st.integers(0, 2))
def test_what_is_written_is_read_back(prefix: str, has_base: bool, increments: int, rewrites: int) -> None:
    manifest = Manifest()
    if has_base:
        manifest, _ = manifest.with_base(prefix, "rdb")
    for _ in range(increments):
        manifest, _ = manifest.with_increment(prefix)
    for _ in range(rewrites):
        manifest, _ = manifest.rewritten(prefix, "rdb")
    if manifest.render():
        assert parse(manifest.render()) == manifest
