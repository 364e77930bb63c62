"""The redis.conf of each node, so that it starts as any server does and CONFIG REWRITE has a file to write. Pure.

The file lies in the node's directory. Two write it: each start of the bring-up, and CONFIG REWRITE. What cluster.yaml
names is cluster.yaml's, at each start anew; a comment at the top holds the names, so that a directive which was
taken out of cluster.yaml since goes from this file too. All other lines stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.config.directives import BY_NAME
from cluster.config.quoting import quote_if_needed, split_words
from cluster.config.store import Setting

NODE_CONF = "redis.conf"

_ABOUT = "# Each start of bring-up writes the directives anew that cluster.yaml names, and leaves all other lines."
_NAMES = "# From cluster.yaml:"


def node_conf(before: str, named: Sequence[Setting], usual: Sequence[Setting]) -> str:
    """The text of the file for the next start, `before` being that of the last one, or ''.

    `named` is what cluster.yaml says; `usual` is written where neither it nor the file says anything.
    """
    ours = {setting.name for setting in named}
    kept = list(_foreign_lines(before, ours | _names_before(before)))
    said = ours | {_directive_name(line) for line in kept}
    rest = "\n".join([*kept, *(_line(setting) for setting in usual if setting.name not in said)]).strip("\n")
    return "\n".join([_ABOUT, " ".join((_NAMES, *sorted(ours))), *map(_line, named), "", rest]).rstrip("\n") + "\n"


def _line(setting: Setting) -> str:
    return " ".join((setting.name, *map(quote_if_needed, setting.words)))


def _names_before(text: str) -> set[str]:
    return {name for line in text.split("\n") if line.startswith(_NAMES) for name in line[len(_NAMES) :].split()}


def _foreign_lines(text: str, ours: set[str]) -> Iterator[str]:
    """The lines that are neither the comment nor a directive of `ours`."""
    for line in text.split("\n"):
        if line != _ABOUT and not line.startswith(_NAMES) and _directive_name(line) not in ours:
            yield line


def _directive_name(line: str) -> str:
    """The newer name of the directive a line is about; '' for a comment and for what is none."""
    words = [] if line.lstrip().startswith("#") else split_words(line.strip())
    directive = BY_NAME.get(words[0].lower()) if words else None
    return directive.name if directive is not None else ""
