"""The errors of a configuration: one that cannot be used, and a file that cannot be rewritten."""

from __future__ import annotations


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
        super().__init__(": ".join([*parts, cause]))


class RewriteError(Exception):
    """CONFIG REWRITE failed; the message is the error reply."""
