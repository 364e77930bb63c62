"""The errors of a configuration: one that cannot be used, and a file that cannot be rewritten."""

from __future__ import annotations

MOST_CHARACTERS = 1000
"""Of what a file has on one line, or for a key."""


class ConfigError(Exception):
    """A configuration that cannot be used: one line that names the place and the cause.

    `place` is a file with its line number, the path of a key in cluster.yaml, or 'command line'; `line` the text there.
    """

    def __init__(self, cause: str, place: str = "", line: str = "") -> None:
        self.cause = cause
        self.place = place
        self.line = line
        parts = [place] if place else []
        if line:
            parts.append("'" + line.encode("utf-8", "surrogateescape").decode("utf-8", "replace") + "'")
        super().__init__(_one_line(": ".join([*parts, cause])))


def _one_line(text: str) -> str:
    """`text` without line breaks and the like, and no longer than a person reads."""
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS - 4]} ..."
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)


class RewriteError(Exception):
    """CONFIG REWRITE failed; the message is the error reply."""
