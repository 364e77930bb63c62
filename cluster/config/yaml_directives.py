"""Directives in cluster.yaml: any of redis.conf's, as ``name: value``, checked against the table where they stand.

A value is what stands after the name in redis.conf; yes and no may be YAML's own. A list is a line an entry where
lines of redis.conf add up (save, rename-command …), else the words of the one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from cluster.config.directive import Directive
from cluster.config.directives import BY_NAME
from cluster.config.quoting import split_words
from cluster.config.store import Setting
from cluster.config.values import BadValue, Octal, Text
from cluster.config.yaml_reader import Reader, shown

_SET_BY_KEYS = {
    "port": "port",
    "cluster-port": "bus_port",
    "dir": "directory",
    "cluster-enabled": "nothing: every node of cluster.yaml is one of a cluster",
}
"""Directives that have a key of their own, so that there is one place to look at."""


def directive_settings(section: Reader) -> Sequence[Setting]:
    """The settings of a `directives` mapping. Raises ConfigError."""
    settings = []
    for key, value in section.values.items():
        name = str(key)
        directive = BY_NAME.get(name.lower())
        if directive is None:
            near = difflib.get_close_matches(name.lower(), BY_NAME, n=1)
            raise section.error(name, "unknown directive" + (f" (did you mean '{near[0]}'?)" if near else ""))
        if directive.name in _SET_BY_KEYS:
            raise section.error(name, f"is not set here but by {_SET_BY_KEYS[directive.name]}")
        for words in _lines(section, name, directive, value):
            try:
                directive.kind.parse(words, directive.initial())
            except BadValue as error:
                raise section.error(name, str(error)) from None
            place = f"{section.file}: {section.path}.{name}"
            settings.append(Setting(directive.name, tuple(words), place))
    return settings


def _lines(section: Reader, name: str, directive: Directive, value: object) -> list[list[str]]:
    if isinstance(directive.kind, Octal) and not isinstance(value, str):
        raise section.error(name, "must be in quotes, since YAML reads 0700 as another number")
    if isinstance(value, list):
        if directive.adds_up:
            return [_words(section, name, directive, entry) for entry in value]
        return [[_word(section, name, entry) for entry in value]]
    return [_words(section, name, directive, value)]


def _words(section: Reader, name: str, directive: Directive, value: object) -> list[str]:
    if isinstance(directive.kind, Text) and not isinstance(value, str):
        raise section.error(name, f"must be a text, in quotes if need be, not {shown(value)}")
    text = _word(section, name, value)
    if not directive.kind.several_words:
        return [text]
    words = split_words(text)
    if words is None:
        raise section.error(name, "Unbalanced quotes")
    return words or [""]


def _word(section: Reader, name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | str):
        return str(value)
    raise section.error(name, f"must be a text, a number, yes or no, not {shown(value)}")
