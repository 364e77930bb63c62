"""The command line: the three ways to start, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cli import StartOptions, fatal_line, parse_command_line
from cluster.config.directives import DIRECTIVES
from cluster.config.errors import ConfigError
from cluster.config.files import enter_directory
from cluster.config.store import Configuration

FILES = {
    "r.conf": "port 6380\nmaxmemory 1mb\n",
    "s.conf": "sentinel monitor m 127.0.0.1 6379 2\n",
    "c.yaml": "nodes: [{port: 7000}, {port: 7001}]\n",
    "secret": " hush\n",
    "empty": "\n",
    "-": "hz 33\n",
}


def read(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path]


def options(*argv: str, program: str = "cluster-node") -> StartOptions:
    return parse_command_line(argv, read, lambda pattern: [pattern], program)


def config(*argv: str) -> Configuration:
    found = options(*argv).config
    assert found is not None
    return found


def failure(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        options(*argv)
    return str(caught.value)


def test_without_a_file_it_is_a_node_of_a_cluster() -> None:
    found = options("--port", "7003")
    assert found.config is not None
    assert found.create_directory
    assert (found.config.cluster_enabled, found.config.port, found.config.dir) == (True, 7003, "./cluster-node-7003")
    assert not found.config.appendonly
    assert config().port == 7000


def test_a_directory_that_is_named_is_not_ours_to_make() -> None:
    found = options("--port", "7003", "--dir", "/x")
    assert found.config is not None
    assert (found.config.dir, found.create_directory) == ("/x", False)


def test_files_that_are_named_without_a_directory_stand_where_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = options("--port", "7003", "--tls-cert-file", "node.crt", "--aclfile", "/etc/users.acl")
    assert found.config is not None
    enter_directory(found.config, create=found.create_directory, paths_from_start=found.paths_from_start)
    assert Path.cwd() == tmp_path / "cluster-node-7003"
    settings = found.config
    assert (settings.tls_cert_file, settings.aclfile, settings.logfile) == (
        f"{tmp_path}/node.crt", "/etc/users.acl", ""
    )


def test_files_that_are_named_with_a_directory_stand_in_it() -> None:
    assert options("--dir", "/x", "--tls-cert-file", "node.crt").paths_from_start == ()


def test_with_a_file_it_is_what_redis_server_would_be() -> None:
    found = options("r.conf", "--maxmemory", "2mb")
    assert found.config is not None
    assert not found.create_directory
    settings = found.config
    assert (settings.cluster_enabled, settings.port, settings.maxmemory) == (False, 6380, 2 << 20)
    assert (settings.dir, settings.file_path) == (".", "r.conf")


@pytest.mark.parametrize("argv", [("-", "--port", "1"), ("--port", "1", "-")])
def test_standard_input_is_a_file_too(argv: tuple[str, ...]) -> None:
    settings = config(*argv)
    assert (settings.hz, settings.port, settings.cluster_enabled, settings.file_path) == (33, 1, False, "")


def test_a_file_and_standard_input() -> None:
    settings = config("r.conf", "--timeout", "5", "-")
    assert (settings.port, settings.hz, settings.timeout, settings.file_path) == (6380, 33, 5, "r.conf")


def test_an_include_on_the_command_line() -> None:
    assert config("--include", "r.conf").maxmemory == 1 << 20


def test_a_node_of_a_yaml_file() -> None:
    found = options("--config", "c.yaml", "--port", "7001", "--hz", "20")
    assert found.config is not None
    assert found.create_directory
    assert (found.config.port, found.config.dir, found.config.hz) == (7001, "data/7001", 20)
    assert config("--config", "c.yaml", "--node", "1").port == 7000


def test_the_secret_can_come_from_a_file() -> None:
    assert config("--cluster-secret-file", "secret").cluster_secret == "hush"
    assert "'empty' is empty" in failure("--cluster-secret-file", "empty")
    assert "can't read 'nope': No such file or directory" in failure("--cluster-secret-file", "nope")
    assert "both set" in failure("--cluster-secret-file", "secret", "--cluster-secret", "x")


def test_sentinel_by_switch_and_by_name() -> None:
    for found in (
        options("s.conf", "--sentinel"), options("s.conf", program="/usr/bin/redis-sentinel"),
        options("s.conf", program="cluster-sentinel"),
    ):  # fmt: skip
        assert found.sentinel
        assert found.config is not None
        assert found.config.sentinel == (("monitor", "m", "127.0.0.1", "6379", "2"),)
    assert failure("s.conf").endswith("sentinel directive while not in sentinel mode")
    assert not options("--port", "1", program="/opt/cluster-sentinel/bin/cluster-node").sentinel


def test_a_sentinel_has_other_defaults() -> None:
    found = options("s.conf", "--sentinel").config
    assert found is not None
    assert (found.port, found.protected_mode) == (26379, False)
    assert options("s.conf", "--sentinel", "--port", "5000").config is not None


def test_a_sentinel_needs_a_file() -> None:
    ended = subprocess.run([sys.executable, "-m", "cluster", "--sentinel"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Sentinel needs config file on disk to save state" in ended.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nope.conf"], "can't open config file 'nope.conf': No such file or directory"),
        (["--foo", "x"], "command line: 'foo \"x\"': Bad directive or wrong number of arguments"),
        (["--port", "abc"], "command line: 'port \"abc\"': argument couldn't be parsed into an integer"),
        (["--port", "1", "x"], "command line: 'port \"1\" \"x\"': wrong number of arguments"),
        (["--config", "nope.yaml"], "--config: can't open 'nope.yaml': No such file or directory"),
        (["--config"], "command line: '--config': wrong number of arguments"),
        (["--config", "c.yaml", "--node", "x"], "--node: 'x' is not a number"),
        (
            ["--replicaof", "h", "1"],
            "command line: 'replicaof \"h\" \"1\"': replicaof directive not allowed in cluster mode",
        ),
    ],
)
def test_errors_are_one_line_with_the_place(argv: list[str], message: str) -> None:
    assert failure(*argv) == message


def test_the_line_on_stderr_has_the_words_tools_look_for() -> None:
    line = fatal_line(ConfigError("bad", "x.conf:3", "hz x"))
    assert line.startswith("*** FATAL CONFIG FILE ERROR (")
    assert line.endswith("*** x.conf:3: 'hz x': bad")


def test_help_names_every_directive_and_version_is_a_line() -> None:
    text = options("--help").show
    for directive in DIRECTIVES:
        assert directive.hidden or directive.name in text
    assert "--cluster-fast-failover [yes]" in text
    for directive in DIRECTIVES:
        if not directive.has_effect:
            assert f"--{directive.name} " not in text, "it would promise what it does not do"
    assert max(map(len, text.splitlines())) <= 120
    assert options("-v").show == options("--version").show
    assert "\n" not in options("-v").show
