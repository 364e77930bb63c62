"""redis.conf: text to settings, with redis-server's rules. Pure: files are read by functions that are given.

A line is a directive and its words, quoted as in `quoting`; a line that begins with # is a comment (a # later in a
line is not). `include` stands for the lines of the files its pattern names. What follows a file on the command line,
``--name word word --other word``, are further lines at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cluster.config.errors import ConfigError
from cluster.config.quoting import split_words
from cluster.config.store import Setting

MAX_INCLUDE_DEPTH = 16
"""Deeper than any sane tree of includes; a file that includes itself ends here with an error."""

ReadText = Callable[[str], str]
Expand = Callable[[str], list[str]]


def parse_file(path: str, read: ReadText, expand: Expand, depth: int = 0) -> Iterator[Setting]:
    """The settings of a file and of those it includes, in order. Raises ConfigError."""
    try:
        text = read(path)
    except OSError as error:
        raise ConfigError(f"can't open config file '{path}': {error.strerror}") from None
    shown = "standard input" if path == "-" else path
    for setting in parse_text(text, shown):
        if setting.name != "include":
            yield setting
            continue
        if len(setting.words) != 1:
            raise ConfigError("Bad directive or wrong number of arguments", setting.place, setting.line)
        if depth == MAX_INCLUDE_DEPTH:
            raise ConfigError(f"includes are nested deeper than {MAX_INCLUDE_DEPTH}", setting.place, setting.line)
        for included in expand(setting.words[0]):
            yield from parse_file(included, read, expand, depth + 1)


def parse_text(text: str, name: str) -> Iterator[Setting]:
    """The settings of one text, `include` among them; places read ``name:line``."""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r\n")
        if not line or line.startswith("#"):
            continue
        place = f"{name}:{number}"
        words = split_words(line)
        if words is None:
            raise ConfigError("Unbalanced quotes in configuration line", place, line)
        yield Setting(words[0].lower(), tuple(words[1:]), place, line)


def parse_options(arguments: Sequence[str]) -> Iterator[Setting]:
    """The settings of a command line. An option's words end where the next ``--option`` begins.

    Two of redis-server's ways: an option without a word that is followed by another option has the empty word
    (``--save --port 7000``), except ``--sentinel`` and the like which stand alone; and a sole word is split at
    blanks where the directive takes several.
    """
    at = 0
    while at < len(arguments):
        option = arguments[at]
        if not option.startswith("--") or len(option) == 2:
            raise ConfigError("Bad directive or wrong number of arguments", "command line", option)
        end = at + 1
        while end < len(arguments) and not arguments[end].startswith("--"):
            end += 1
        words = arguments[at + 1 : end]
        shown = " ".join((option, *words))
        yield Setting(option[2:].lower(), tuple(words) or ("",), "command line", shown)
        at = end
