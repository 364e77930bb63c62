"""redis.conf: comments, includes, places in errors, and the command line's form of it."""

from __future__ import annotations

import pytest

from cluster.commands import all_commands
from cluster.config.errors import ConfigError
from cluster.config.redis_conf import parse_file, parse_options, parse_text
from cluster.config.store import Configuration
from cluster.reconfigure import rename_commands


class Files:
    """A directory in memory, with the two functions the parser wants."""

    def __init__(self, **texts: str) -> None:
        self.texts = {name.replace("_", "."): text for name, text in texts.items()}

    def read(self, path: str) -> str:
        if path not in self.texts:
            raise FileNotFoundError(2, "No such file or directory")
        return self.texts[path]

    def expand(self, pattern: str) -> list[str]:
        if "*" in pattern:
            return sorted(name for name in self.texts if name.endswith(pattern.lstrip("*")))
        return [pattern]


def load(**texts: str) -> Configuration:
    files = Files(**texts)
    return Configuration(parse_file("a.conf", files.read, files.expand))


def failure(**texts: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**texts)
    return str(caught.value)


def test_comments_blanks_and_case() -> None:
    config = load(a_conf="# port 1\n\n   # port 2\n\tPORT   7001\r\nmaxmemory 64mb\n")
    assert (config.port, config.maxmemory) == (7001, 64 << 20)


def test_later_lines_win_and_save_adds_up() -> None:
    config = load(a_conf="timeout 1\ntimeout 2\nsave 60 1\nsave 30 2\n")
    assert config.timeout == 2
    assert config.save == ((60, 1), (30, 2))
    assert load(a_conf="save 60 1\nsave ''\nsave 5 5\n").save == ((5, 5),)


def test_old_names_set_the_new_directives() -> None:
    config = load(a_conf="slave-read-only no\nhash-max-ziplist-entries 7\nslaveof 127.0.0.1 6379\n")
    assert (config.replica_read_only, config.hash_max_listpack_entries) == (False, 7)
    assert config.replicaof == ("127.0.0.1", 6379)


def test_includes_stand_where_they_stand() -> None:
    config = load(a_conf="timeout 1\ninclude b.conf\nhz 20\n", b_conf="timeout 2\nhz 30\n")
    assert (config.timeout, config.hz) == (2, 20)


def test_a_pattern_includes_all_it_matches_and_none_is_fine() -> None:
    assert load(a_conf="include *.inc\ninclude *.none\n", x_inc="timeout 3\n", y_inc="timeout 4\n").timeout == 4


def test_lines_that_are_no_values() -> None:
    config = load(a_conf='rename-command CONFIG ""\nrename-command GET G\nuser bob on >a\n')
    assert config.rename_command == (("CONFIG", ""), ("GET", "G"))
    assert config.user == (("bob", "on", ">a"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port 0\n\n# c\nfoo bar\n", "a.conf:4: 'foo bar': Bad directive or wrong number of arguments"),
        ("hz 5\ntimeout\n", "a.conf:2: 'timeout': wrong number of arguments"),
        ("timeout a b", "a.conf:1: 'timeout a b': wrong number of arguments"),
        ("timeout   'abc\n", "a.conf:1: 'timeout   'abc': Unbalanced quotes in configuration line"),
        ("port x", "a.conf:1: 'port x': argument couldn't be parsed into an integer"),
        ("hz 5\ninclude c.conf",
         "a.conf:2: 'include c.conf': can't open config file 'c.conf': No such file or directory"),
        ("hzz 1", "a.conf:1: 'hzz 1': Bad directive or wrong number of arguments (did you mean 'hz'?)"),
        ("rename-command A", "a.conf:1: 'rename-command A': Bad directive or wrong number of arguments"),
        ('dir "a\\x00b"', "a.conf:1: 'dir \"a\\x00b\"': argument can't contain a NUL"),
        ('include "a\\x00*"', "a.conf:1: 'include \"a\\x00*\"': Bad directive or wrong number of arguments"),
    ],
)
def test_errors_name_file_line_and_cause(text: str, message: str) -> None:
    assert failure(a_conf=text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port 1\n\nrename-command FLUSHALL PING\nrename-command GET G",
         "a.conf:3: 'rename-command FLUSHALL PING': Target command name already exists"),
        ("rename-command GET a\nrename-command SET A",
         "a.conf:2: 'rename-command SET A': Target command name already exists"),
        ("rename-command GET a\nrename-command GET b",
         "a.conf:2: 'rename-command GET b': No such command in rename-command"),
        ("include b.conf", "b.conf:1: 'rename-command NIX a': No such command in rename-command"),
    ],
)  # fmt: skip
def test_a_command_is_only_renamed_to_what_is_free(text: str, message: str) -> None:
    table = all_commands()
    with pytest.raises(ConfigError) as caught:
        rename_commands(table, load(a_conf=text, b_conf="rename-command NIX a"))
    assert str(caught.value) == message
    assert (ping := table.find(b"PING")) is not None
    assert ping.name == "ping"


def test_a_name_that_was_given_up_is_free() -> None:
    table = all_commands()
    rename_commands(table, load(a_conf="rename-command PING ''\nrename-command GET ping\nrename-command SET set\n"))
    assert {name: entry and entry.name for name in (b"ping", b"get", b"set") for entry in [table.find(name)]} == {
        b"ping": "get", b"get": None, b"set": "set",
    }  # fmt: skip


def test_an_error_in_an_included_file_names_that_file() -> None:
    assert failure(a_conf="include b.conf", b_conf="\nhz x\n").startswith("b.conf:2: 'hz x': ")


def test_a_file_that_includes_itself_ends() -> None:
    assert "includes are nested deeper than 16" in failure(a_conf="include a.conf")


def test_standard_input_has_a_name() -> None:
    assert next(parse_text("port 1", "standard input")).place == "standard input:1"


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--port", "7000", "--hz", "5"], [("port", ("7000",)), ("hz", ("5",))]),
        (["--save", "--port", "1"], [("save", ("",)), ("port", ("1",))]),
        (["--save"], [("save", ("",))]),
        (["--save", "60", "1", "30", "2"], [("save", ("60", "1", "30", "2"))]),
        (["--masterauth", "--x", "--hz", "5"], [("masterauth", ("--x",)), ("hz", ("5",))]),
        (["--slowlog-log-slower-than", "-1"], [("slowlog-log-slower-than", ("-1",))]),
        (["--sentinel", "--port", "1"], [("sentinel", ()), ("port", ("1",))]),
        (["maxmemory", "3mb", "--port", "1"], [("maxmemory", ("3mb",)), ("port", ("1",))]),
        (["--maxmemory"], [("maxmemory", ())]),
    ],
)
def test_options(arguments: list[str], settings: list[tuple[str, tuple[str, ...]]]) -> None:
    assert [(setting.name, setting.words) for setting in parse_options(arguments)] == settings
