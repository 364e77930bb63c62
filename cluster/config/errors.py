"""The one error of everything that reads a configuration."""

from __future__ import annotations


class ConfigError(Exception):
    """A configuration that cannot be used: one line that names the place and the cause.

    `place` is a file with its line number, the path of a key in cluster.yaml, or 'command line'.
    """

    def __init__(self, cause: str, place: str = "", line: str = "") -> None:
        self.cause = cause
        self.place = place
        self.line = line
        text = f"{place}: {cause}" if place else cause
        super().__init__(f"{text}: >>> {line!r}" if line else text)
