"""The line `user default …` that CONFIG REWRITE of redis-server leaves in a file: it says what holds anyway."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_ALL_RIGHTS = frozenset(("on", "sanitize-payload", "~*", "allkeys", "&*", "allchannels", "+@all", "allcommands"))


def is_default_user(words: Sequence[str], password: str) -> bool:
    """Whether a `user` line is about the default user as it is: all rights, and requirepass's `password` or none."""
    name, *rules = words
    known = {*_ALL_RIGHTS, _secret(password), f">{password}" if password else "nopass"}
    return name == "default" and {rule if rule[:1] == ">" else rule.lower() for rule in rules} <= known


def default_user(password: str) -> str:
    """That line, without the word `user`, for the requirepass of now."""
    return f"default on {_secret(password)} ~* &* +@all"


def _secret(password: str) -> str:
    if not password:
        return "nopass"
    return "#" + hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()
