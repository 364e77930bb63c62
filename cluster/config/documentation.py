"""docs/directives.md, made from the table, so that it cannot say anything else.

``python -m cluster.config.documentation > docs/directives.md`` writes it anew; a test holds the two together.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from cluster.config.directive import Directive
from cluster.config.directives import SECTIONS
from cluster.config.values import Choice, Integer, Kind, Memory

_INTRODUCTION = """\
# Directives

Every directive of redis.conf 7.0 to 7.2 is known, in a file, on the command line, in `cluster.yaml` and to CONFIG.
Those marked *no effect* are accepted, checked and shown by CONFIG GET, and have no meaning in this node; why is said
beside them. *At start* means that CONFIG SET refuses the directive, *protected* that it does so unless
`enable-protected-configs` lets the client; a *hidden* one is shown by CONFIG GET for its exact name only.

Memory sizes are bytes or `64kb`, `64mb`, `1gb` (powers of 1024), `1k`, `1m`, `1g` (powers of 1000).

This page is made from the table of directives: `python -m cluster.config.documentation > docs/directives.md`.
"""

_TYPES: Mapping[str, str] = {
    "YesNo": "yes or no",
    "NeverYes": "no",
    "MemoryOrPercent": "memory size, or percent",
    "Octal": "octal number",
    "Text": "text",
    "SavePoints": "pairs of seconds and changes",
    "OutputLimits": "class, hard limit, soft limit, seconds",
    "Addresses": "addresses",
    "ScoreAdjustments": "three numbers",
    "Percentiles": "numbers from 0 to 100",
    "EventClasses": "letters of `Ag$lshzxeKEtmdn`",
    "ShutdownOptions": "`default`, or some of `save` `nosave` `now` `force`",
    "PrimaryAddress": "host and port, or `no one`",
    "Lines": "words, any number of lines",
}


def directives_page() -> str:
    """The whole page, in Markdown."""
    parts = [_INTRODUCTION]
    for section in SECTIONS:
        rows = "".join(_row(directive) for directive in section.directives)
        parts.append(f"## {section.title}\n\n| directive | value | default | |\n|---|---|---|---|\n{rows}")
    return "\n".join(parts)


def _row(directive: Directive) -> str:
    name = f"`{directive.name}`" + (f" (`{directive.alias}`)" if directive.alias else "")
    default = f"`{directive.default}`" if directive.default else ""
    marks = {
        "*no effect*": not directive.has_effect,
        "*at start*": directive.immutable,
        "*protected*": directive.protected,
        "*hidden*": directive.hidden,
    }
    said = ", ".join(mark for mark, holds in marks.items() if holds)
    about = directive.about + (f" ({said})" if said else "")
    return f"| {name} | {_type(directive.kind)} | {default} | {about} |\n"


def _type(kind: Kind) -> str:
    if isinstance(kind, Choice):
        return " ".join(f"`{option}`" for option in kind.options)
    if isinstance(kind, Memory):
        return "memory size" + (f" from {kind.low}" if kind.low else "")
    if isinstance(kind, Integer):
        low, high = kind.low, kind.high
        if high < 2**31 - 1:
            return f"{low} to {high}"
        return "number" if low < -1 else f"number from {low}"
    return _TYPES[type(kind).__name__]


if __name__ == "__main__":
    sys.stdout.write(directives_page())
