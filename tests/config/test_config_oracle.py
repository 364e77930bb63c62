"""The table beside a real redis-server: names, defaults, what CONFIG SET takes, and what it answers to the rest."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.cli import parse_command_line
from cluster.config.directives import BY_NAME
from cluster.config.errors import ConfigError
from cluster.config.files import expand, read_text
from cluster.config.quoting import split_words
from cluster.config.redis_conf import parse_text
from cluster.config.rewrite import rewrite
from cluster.config.store import ConfigSetError, Configuration

if shutil.which("redis-server") is None and not os.environ.get("CI"):
    pytest.skip("redis-server is not installed", allow_module_level=True)

NEWER = {"cluster-announce-human-name", "locale-collate", "set-max-listpack-entries", "set-max-listpack-value"}
"""Directives of Redis 7.2 that the 7.0 server beside us does not have."""

PLACES = {"port", "dir", "logfile"}
"""Directives whose values say where a server runs, so that they differ."""

_EFFECTS = {"bind", "appendonly", "maxclients", "maxmemory", "activedefrag", "requirepass", "oom-score-adj",
            "jemalloc-bg-thread", "watchdog-period"}  # fmt: skip
"""Not tried with good values: they would do something to the real server (or need privileges)."""

_START_SECONDS = 10.0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    directory = tmp_path_factory.mktemp("oracle")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--dir", str(directory), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    client: Any = redis.Redis(port=port, decode_responses=True)
    try:
        _await(client)
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def _await(client: Any) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            assert time.monotonic() < deadline, "redis-server did not start"
        else:
            return


def test_names_and_defaults_are_those_of_redis(real: Any) -> None:
    theirs = {name: value for name, value in real.config_get("*").items() if name not in {*PLACES, "bind"}}
    ours = {name: value for name, value in Configuration().get(["*"]) if name not in {*PLACES, "bind", *NEWER}}
    assert ours == theirs


TRIED = ["zzz", "", "-1", "0", "1", "7", "99999999999999999999", "5mb", "5%", "yes", "no", "1 2 3", "a/b", "007"]


def test_config_set_answers_as_redis_does(real: Any) -> None:
    """Every directive with a value of every kind: the same is taken, with the same effect, or the same is said."""
    differences = []
    for name in sorted(set(BY_NAME) - PLACES - NEWER - _EFFECTS):
        if BY_NAME[name].unlisted or not real.config_get(name):
            continue
        for value in TRIED:
            theirs, ours = _theirs(real, name, value), _ours(name, value)
            if theirs != ours and not _known_to_differ(name, value):
                differences.append((name, value, theirs, ours))
    assert not differences, "\n".join(map(str, differences))


def _known_to_differ(name: str, value: str) -> bool:
    """The real server opens certificates as soon as one is set; 7.2 knows one loglevel more; where its arithmetic
    overflows (2^64 - 1 bytes are taken for minus one, that is 1 %) we refuse, and so we do to announce an address that
    is none.
    """
    if name == "cluster-announce-ip":
        return value in ("5%", "1 2 3", "a/b")
    return name.startswith("tls-") or name == "loglevel" or (name == "maxmemory-clients" and len(value) > 19)


def _theirs(real: Any, name: str, value: str) -> str:
    before = real.config_get(name)[name]
    try:
        real.config_set(name, value)
    except redis.ResponseError as error:
        return str(error)
    after = real.config_get(name)[name]
    real.config_set(name, before)
    return f"= {after}"


def _ours(name: str, value: str) -> str:
    config = Configuration()
    try:
        config.set([(name, value)])
    except ConfigSetError as error:
        return error.message
    return f"= {config.get([name])[0][1]}"


@pytest.mark.parametrize(
    "pairs",
    [
        ["hz", "5", "hz", "6"],
        ["slave-read-only", "no", "replica-read-only", "no"],
        ["hz", "5", "timeout", "x"],
        ["HZ", "x", "timeout", "y"],
        ["hz", "7", "databases", "3"],
        ["databases", "x", "hz", "y"],
        ["hz", "x", "nope", "4"],
        ["dbfilename", "x", "hz", "10"],
    ],
)
def test_several_at_once_are_all_or_nothing_as_in_redis(real: Any, pairs: list[str]) -> None:
    config = Configuration()
    try:
        theirs = str(real.execute_command("CONFIG", "SET", *pairs))
    except redis.ResponseError as error:
        theirs = str(error)
    try:
        config.set(list(zip(pairs[::2], pairs[1::2], strict=True)))
        ours = "OK"
    except ConfigSetError as error:
        ours = error.message
    assert ours == theirs
    assert real.config_get("hz") == dict(config.get(["hz"]))


@pytest.mark.parametrize(
    "patterns",
    [
        ["hz", "HZ", "h?"], ["slave-r*"], ["hash-max-*", "hz"], ["rdb-key*"], ["rdb-key-save-delay"], ["[lm]ua-*"],
        ["[^a-z]*"], ["*-[a-c]*", "hz"], ["nope"],
        ["[z-g]z"], ["h[z"], ["[^"], ["[^]z"], ["h[\\]z]"], ["[[a-z]*"], ["h**"],
    ],
)  # fmt: skip
def test_patterns_match_as_in_redis(real: Any, patterns: list[str]) -> None:
    theirs = {name.lower() for name in real.config_get(*patterns)}
    ours = {name.lower() for name, _ in Configuration().get(patterns)}
    assert ours - NEWER == theirs


def test_a_real_server_reads_what_we_rewrite(real: Any, tmp_path: Path) -> None:
    text = f"port 0\nunixsocket {tmp_path}/s\ndir {tmp_path}\n"
    config = Configuration(parse_text(text, "a.conf"))
    config.set([
        ("save", "60 1 30 2"), ("maxmemory", "5mb"), ("notify-keyspace-events", "KEA"), ("requirepass", 'a "b\x01é'),
        ("client-output-buffer-limit", "slave 1mb 2mb 3"), ("replica-read-only", "no"), ("maxmemory-clients", "5%"),
        ("latency-tracking-info-percentiles", "1 2.5"), ("shutdown-on-sigterm", "nosave now"),
    ])  # fmt: skip
    path = tmp_path / "a.conf"
    path.write_text(rewrite(text, config))
    process = subprocess.Popen(["redis-server", str(path)], stdout=subprocess.DEVNULL)
    client: Any = redis.Redis(
        unix_socket_path=f"{tmp_path}/s", password=config.requirepass, decode_responses=True
    )
    try:
        _await(client)
        theirs = client.config_get("*")
    finally:
        client.close()
        process.kill()
        process.wait()
    assert theirs == {name: value for name, value in config.get(["*"]) if name not in NEWER}


@pytest.mark.parametrize(
    "text",
    [
        "foo bar\n", "hz 5\ntimeout\n", "timeout a b\n", "timeout 'abc\n", "port x\n", "port 70000\n", "save 60\n",
        "maxmemory\t10mb # trailing\n", "client-output-buffer-limit normal 1\n", "rename-command a\n",
        'save "900 1" "300 10"\n', "sentinel monitor x\n", "dbfilename a/b\n", "appendonly maybe\n", "replicaof x\n",
        "replicaof a b\n", "notify-keyspace-events q\n", "unixsocketperm 999\n", "oom-score-adj-values 1 2 x\n",
    ],
)  # fmt: skip
def test_a_bad_file_has_the_cause_that_redis_names(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text(text)
    theirs = subprocess.run(["redis-server", str(path)], capture_output=True, text=True, timeout=10, check=False)
    assert theirs.returncode == 1
    with pytest.raises(ConfigError) as caught:
        parse_command_line([str(path)], read_text, expand)
    lines = (theirs.stdout + theirs.stderr).strip().splitlines()
    assert caught.value.cause == lines[-1]
    assert lines[-2] == f">>> '{caught.value.line}'"
    assert f"at line {text.count(chr(10))}" in lines[-3]


_PIECES = st.sampled_from(['"', "'", "\\", "x41", "xzz", "a", "b", " ", "\t", "n", "\\'", '\\"', "#", "é"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PIECES, max_size=12).map("".join))
def test_words_are_split_as_redis_splits_an_inline_command(real: Any, line: str) -> None:
    port = real.connection_pool.connection_kwargs["port"]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"EVAL \"return ARGV\" 0 " + line.encode() + b"\r\nQUIT\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    words = split_words(line)
    if words is None:
        assert b"unbalanced quotes" in answer
        return
    reader = hiredis.Reader()
    reader.feed(answer)
    assert reader.gets() == [word.encode("utf-8", "surrogateescape") for word in words]
