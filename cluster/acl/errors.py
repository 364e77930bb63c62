"""What is wrong with a rule, in redis-server's words."""

from __future__ import annotations

SYNTAX = "Syntax error"
UNKNOWN_NAME = "Unknown command or category name in ACL"
FIRST_ARGUMENT_OF_SUBCOMMAND = "Allowing first-arg of a subcommand is not supported"
AFTER_ALL_KEYS = (
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. "
    "Try 'resetkeys' to start with an empty list of patterns"
)
AFTER_ALL_CHANNELS = (
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. "
    "Try 'resetchannels' to start with an empty list of channels"
)
BAD_HASH = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
NO_SUCH_PASSWORD = "The password you are trying to remove from the user does not exist"
DUPLICATE_USER = "Duplicate user found. A user can only be defined once in config files"
SPACES_IN_NAME = "Usernames can't contain spaces or null characters"


class RuleError(Exception):
    """A rule that cannot be followed. `rule` is the one, `cause` a text of this module."""

    def __init__(self, cause: str, rule: bytes = b"") -> None:
        super().__init__(cause)
        self.cause = cause
        self.rule = rule


class UnmatchedParenthesis(RuleError):
    """A selector that begins in `rule` has no end."""
