"""redis.conf and the command line: text to settings, with redis-server's rules. Pure: files are read by functions
that are given.

A line is a directive and its words, quoted as in `quoting`; a line that begins with # is a comment (a # later in a
line is not). `include` stands for the lines of the files its pattern names. What follows a file on the command line,
``--name word word --other word``, are further lines at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cluster.config.errors import ConfigError
from cluster.config.quoting import quote, split_words
from cluster.config.store import Setting

MAX_INCLUDE_DEPTH = 16
"""Deeper than any sane tree of includes; a file that includes itself ends here with an error."""

COMMAND_LINE = "command line"
STANDARD_INPUT = "-"

_LONE_OPTIONS = {"save": ("",), "sentinel": ()}
"""The options that may stand without a word, and the words they then have. For any other, whatever comes next is its
word, even if it begins with dashes (``--masterauth --secret``)."""

ReadText = Callable[[str], str]
Expand = Callable[[str], list[str]]


def parse_file(
    path: str, read: ReadText, expand: Expand, depth: int = 0, *, included_by: Setting | None = None
) -> Iterator[Setting]:
    """The settings of a file and of those it includes, in order; ``-`` is standard input. Raises ConfigError."""
    try:
        text = read(path)
    except OSError as error:
        cause = f"can't open config file '{path}': {error.strerror}"
        raise (ConfigError(cause, included_by.place, included_by.line) if included_by else ConfigError(cause)) from None
    settings = parse_text(text, "standard input" if path == STANDARD_INPUT else path)
    return follow_includes(settings, read, expand, depth)


def follow_includes(settings: Iterable[Setting], read: ReadText, expand: Expand, depth: int = 0) -> Iterator[Setting]:
    """The settings, with the contents of files in place of each include."""
    for setting in settings:
        if setting.name != "include":
            yield setting
            continue
        if len(setting.words) != 1 or "\0" in setting.words[0]:
            raise ConfigError("Bad directive or wrong number of arguments", setting.place, setting.line)
        if depth == MAX_INCLUDE_DEPTH:
            raise ConfigError(f"includes are nested deeper than {MAX_INCLUDE_DEPTH}", setting.place, setting.line)
        for included in expand(setting.words[0]):
            yield from parse_file(included, read, expand, depth + 1, included_by=setting)


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
        if words:
            yield Setting(words[0].lower(), tuple(words[1:]), place, line)


def parse_options(arguments: Sequence[str]) -> Iterator[Setting]:
    """The settings of a command line. Words before the first ``--option`` are a line of their own, as in Redis."""
    at = 0
    while at < len(arguments):
        name = arguments[at].removeprefix("--")
        at += 1
        lone = name.lower() in _LONE_OPTIONS and (at == len(arguments) or arguments[at].startswith("--"))
        if lone:
            yield Setting(name.lower(), _LONE_OPTIONS[name.lower()], COMMAND_LINE, name)
            continue
        end = min(at + 1, len(arguments))
        while end < len(arguments) and not arguments[end].startswith("--"):
            end += 1
        words = tuple(arguments[at:end])
        yield Setting(name.lower(), words, COMMAND_LINE, " ".join((name, *map(quote, words))))
        at = end
