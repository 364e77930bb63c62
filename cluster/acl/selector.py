"""A selector: what one set of rules allows, of commands, of keys and of channels.

A user has one of its own (the root), and may have more; what any of them allows as a whole is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cluster.acl import errors
from cluster.acl.catalogue import CATEGORIES, Catalogue
from cluster.acl.errors import RuleError
from cluster.acl.request import ABOUT_CHANNELS, CHANNEL, COMMAND, KEY, Denied, Request
from cluster.commands.keys import READS, WRITES
from cluster.keyspace.glob import Glob

READ_WRITE = READS | WRITES
_PERMISSIONS = {"r": READS, "w": WRITES}
_NAMED = {READS: b"%R~", WRITES: b"%W~", READ_WRITE: b"~"}
_BLANKS = frozenset(b" \t\n\v\f\r\0")


class KeyPattern(NamedTuple):
    """`permissions`: the bits READS and WRITES, of what may be done to a key that fits."""

    glob: Glob
    permissions: int

    @property
    def shown(self) -> bytes:
        return _NAMED[self.permissions] + self.glob.pattern


@dataclass(frozen=True, slots=True, eq=False)
class Selector:
    """Without rules nothing is allowed. `follow` makes another one."""

    catalogue: Catalogue
    commands: frozenset[str] = frozenset()
    """Full names of those that may be run."""
    allows_unknown: bool = False
    """Whether the rules about commands begin with all of them (+@all) or with none: what a later version adds."""
    command_rules: tuple[str, ...] = ()
    first_arguments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of commands that may be run with these first arguments only (``+select|0``)."""
    all_keys: bool = False
    key_patterns: tuple[KeyPattern, ...] = ()
    all_channels: bool = False
    channel_patterns: tuple[Glob, ...] = ()

    @property
    def is_unrestricted(self) -> bool:
        return self.all_keys and self.all_channels and len(self.commands) == len(self.catalogue.every)

    @property
    def outright(self) -> frozenset[str]:
        """Commands that are allowed whatever their arguments are: nobody has to look at these."""
        if not self.all_keys:
            return frozenset()
        return self.commands if self.all_channels else self.commands - ABOUT_CHANNELS

    # -- rules -----------------------------------------------------------------------------------------------

    def follow(self, rule: bytes) -> Selector:
        """This selector with one rule more. Raises RuleError."""
        word = rule.lower()
        if word in (b"allkeys", b"~*"):
            return replace(self, all_keys=True, key_patterns=())
        if word == b"resetkeys":
            return replace(self, all_keys=False, key_patterns=())
        if word in (b"allchannels", b"&*"):
            return replace(self, all_channels=True, channel_patterns=())
        if word == b"resetchannels":
            return replace(self, all_channels=False, channel_patterns=())
        if word in (b"allcommands", b"+@all"):
            return replace(
                self, commands=self.catalogue.every, allows_unknown=True, command_rules=(), first_arguments={}
            )
        if word in (b"nocommands", b"-@all"):
            return replace(
                self, commands=frozenset(), allows_unknown=False, command_rules=(), first_arguments={}
            )
        if rule[:1] in (b"~", b"%"):
            return self._with_key_pattern(rule)
        if rule[:1] == b"&":
            return self._with_channel_pattern(rule[1:])
        if rule[:1] in (b"+", b"-"):
            return self._with_commands(rule[1:].decode("utf-8", "surrogateescape"), allowed=rule[:1] == b"+")
        raise RuleError(errors.SYNTAX, rule)

    def _with_key_pattern(self, rule: bytes) -> Selector:
        if self.all_keys:
            raise RuleError(errors.AFTER_ALL_KEYS, rule)
        permissions, pattern = _permissions(rule)
        if not _BLANKS.isdisjoint(pattern):
            raise RuleError(errors.SYNTAX, rule)
        patterns = list(self.key_patterns)
        for at, known in enumerate(patterns):
            if known.glob.pattern == pattern:
                patterns[at] = known._replace(permissions=known.permissions | permissions)
                break
        else:
            patterns.append(KeyPattern(Glob(pattern), permissions))
        return replace(self, key_patterns=tuple(patterns))

    def _with_channel_pattern(self, pattern: bytes) -> Selector:
        if self.all_channels:
            raise RuleError(errors.AFTER_ALL_CHANNELS, pattern)
        if not _BLANKS.isdisjoint(pattern):
            raise RuleError(errors.SYNTAX, pattern)
        if any(known.pattern == pattern for known in self.channel_patterns):
            return self
        return replace(self, channel_patterns=(*self.channel_patterns, Glob(pattern)))

    def _with_commands(self, what: str, *, allowed: bool) -> Selector:
        name = what.lower()
        if name.startswith("@"):
            if name[1:] not in CATEGORIES:
                raise RuleError(errors.UNKNOWN_NAME)
            return self._with(name, self.catalogue.reached(name[1:]), allowed=allowed)
        if name in self.catalogue.every:
            return self._with(name, self.catalogue.whole(name), allowed=allowed)
        parent, bar, first = name.rpartition("|")
        if not allowed or not bar or parent not in self.catalogue.every:
            raise RuleError(errors.UNKNOWN_NAME)
        if "|" in parent:
            raise RuleError(errors.FIRST_ARGUMENT_OF_SUBCOMMAND)
        if not first:
            raise RuleError(errors.SYNTAX)
        if self.catalogue.has_subcommands(parent):
            raise RuleError(errors.UNKNOWN_NAME)
        known = self.first_arguments.get(parent, ())
        arguments = known if first in known else (*known, first)
        return replace(
            self, first_arguments={**self.first_arguments, parent: arguments}, command_rules=self._ruled(name, allowed)
        )

    def _with(self, name: str, reached: frozenset[str], *, allowed: bool) -> Selector:
        return replace(
            self,
            commands=self.commands | reached if allowed else self.commands - reached,
            first_arguments={one: found for one, found in self.first_arguments.items() if one not in reached},
            command_rules=self._ruled(name, allowed),
        )

    def _ruled(self, name: str, allowed: bool) -> tuple[str, ...]:
        """The rules about commands, the one about `name` last; what it makes pointless is left out."""
        kept = [rule for rule in self.command_rules if rule[1:] != name and not rule[1:].startswith(f"{name}|")]
        return (*kept, ("+" if allowed else "-") + name)

    # -- shown -----------------------------------------------------------------------------------------------

    @property
    def keys_shown(self) -> bytes:
        return b"~*" if self.all_keys else b" ".join(one.shown for one in self.key_patterns)

    @property
    def channels_shown(self) -> bytes:
        return b"&*" if self.all_channels else b" ".join(b"&" + one.pattern for one in self.channel_patterns)

    @property
    def commands_shown(self) -> bytes:
        rules = " ".join(("+@all" if self.allows_unknown else "-@all", *self.command_rules))
        return rules.encode("utf-8", "surrogateescape")

    @property
    def shown(self) -> bytes:
        """The rules that make this selector of a new one."""
        channels = self.channels_shown if self.all_channels else b"resetchannels " + self.channels_shown
        return b" ".join(filter(None, (self.keys_shown, channels.strip(), self.commands_shown)))

    # -- asked -----------------------------------------------------------------------------------------------

    def denies(self, request: Request) -> Denied | None:
        """What keeps a command from being run; None when nothing does."""
        if request.name not in self.commands and not request.is_free and not self._allows_first(request):
            return Denied(COMMAND, 0)
        if not self.all_keys:
            for at, needed in request.keys:
                if not self.allows_key(request.arguments[at], needed):
                    return Denied(KEY, at)
        if not self.all_channels:
            for at in request.channels:
                if not allows_channel(self.channel_patterns, request.arguments[at], literally=request.names_patterns):
                    return Denied(CHANNEL, at)
        return None

    def _allows_first(self, request: Request) -> bool:
        known = self.first_arguments.get(request.name)
        if known is None or len(request.arguments) < 2:
            return False
        return request.arguments[1].decode("utf-8", "surrogateescape").lower() in known

    def allows_key(self, key: bytes, needed: int) -> bool:
        return any(permissions & needed == needed and glob.matches(key) for glob, permissions in self.key_patterns)

    def allows_any_key(self, needed: int) -> bool:
        """Whether all keys, even those that nobody can name beforehand, are open to what is `needed`."""
        return self.all_keys or any(
            glob.pattern == b"*" and permissions & needed == needed for glob, permissions in self.key_patterns
        )


def allows_channel(patterns: tuple[Glob, ...], channel: bytes, *, literally: bool) -> bool:
    """`literally`: a subscription to a pattern needs that very pattern."""
    if literally:
        return any(one.pattern == channel for one in patterns)
    return any(one.matches(channel) for one in patterns)


def _permissions(rule: bytes) -> tuple[int, bytes]:
    """(permissions, pattern) of ``~pattern`` or ``%RW~pattern``."""
    if rule[:1] == b"~":
        return READ_WRITE, rule[1:]
    letters, _, pattern = rule[1:].partition(b"~")
    permissions = 0
    for letter in letters.decode("latin-1").lower():
        permission = _PERMISSIONS.get(letter, 0)
        if not permission or permissions & permission:
            raise RuleError(errors.SYNTAX, rule)
        permissions |= permission
    if not permissions:
        raise RuleError(errors.SYNTAX, rule)
    return permissions, pattern
