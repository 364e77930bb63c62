"""A user: a name, passwords, and selectors. A rule makes another user of one."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cluster.acl import errors
from cluster.acl.catalogue import Catalogue
from cluster.acl.errors import RuleError, UnmatchedParenthesis
from cluster.acl.request import Denied, Request
from cluster.acl.selector import Selector
from cluster.config.quoting import split_words

_HASH = re.compile(rb"[0-9a-f]{64}")
_BLANK = re.compile(rb"[\s\0]")


@dataclass(frozen=True, slots=True, eq=False)
class User:
    """A new one may do nothing, and nobody can log in as it."""

    name: bytes
    selectors: tuple[Selector, ...]
    """The user's own comes first."""
    enabled: bool = False
    needs_no_password: bool = False
    checks_payloads: bool = True
    passwords: tuple[bytes, ...] = ()
    """SHA-256, in hexadecimal digits."""

    @property
    def is_unrestricted(self) -> bool:
        return any(one.is_unrestricted for one in self.selectors)

    @property
    def outright(self) -> frozenset[str]:
        """Commands that are allowed whatever their arguments are."""
        return frozenset().union(*(one.outright for one in self.selectors))

    # -- rules -----------------------------------------------------------------------------------------------

    def follow(self, rules: Iterable[bytes]) -> User:
        """This user with more rules. Raises RuleError, which names the rule."""
        user = self
        for rule in rules:
            try:
                user = user._follow_one(rule)
            except RuleError as error:
                raise RuleError(error.cause, rule) from None
        return user

    def _follow_one(self, rule: bytes) -> User:
        sign, rest = rule[:1], rule[1:]
        if not rule:
            return self
        if sign in (b">", b"#"):
            return self._with_password(_digest(rest) if sign == b">" else _checked(rest))
        if sign in (b"<", b"!"):
            return self._without_password(_digest(rest) if sign == b"<" else _checked(rest))
        if sign == b"(" and rule.endswith(b")"):
            return self._with_selector(rest[:-1])
        changed = self._switched(rule.lower())
        if changed is not None:
            return changed
        return replace(self, selectors=(self.selectors[0].follow(rule), *self.selectors[1:]))

    def _switched(self, word: bytes) -> User | None:
        """By a rule that is a word about the user as such; None when it is none."""
        if word in (b"on", b"off"):
            return replace(self, enabled=word == b"on")
        if word == b"nopass":
            return replace(self, needs_no_password=True, passwords=())
        if word == b"resetpass":
            return replace(self, needs_no_password=False, passwords=())
        if word in (b"sanitize-payload", b"skip-sanitize-payload"):
            return replace(self, checks_payloads=word == b"sanitize-payload")
        if word == b"clearselectors":
            return replace(self, selectors=self.selectors[:1])
        if word == b"reset":
            return new_user(self.name, self.selectors[0].catalogue)
        return None

    def _with_password(self, digest: bytes) -> User:
        known = self.passwords
        return replace(self, needs_no_password=False, passwords=known if digest in known else (*known, digest))

    def _without_password(self, digest: bytes) -> User:
        if digest not in self.passwords:
            raise RuleError(errors.NO_SUCH_PASSWORD)
        return replace(self, passwords=tuple(one for one in self.passwords if one != digest))

    def _with_selector(self, rules: bytes) -> User:
        selector = new_selector(self.selectors[0].catalogue)
        for word in split_words(rules.decode("utf-8", "surrogateescape")) or ():
            selector = selector.follow(word.encode("utf-8", "surrogateescape"))
        return replace(self, selectors=(*self.selectors, selector))

    # -- shown -----------------------------------------------------------------------------------------------

    @property
    def flags(self) -> list[bytes]:
        words = [b"on" if self.enabled else b"off"]
        if self.needs_no_password:
            words.append(b"nopass")
        words.append(b"sanitize-payload" if self.checks_payloads else b"skip-sanitize-payload")
        return words

    @property
    def shown(self) -> bytes:
        """The name, and the rules that make this user of a new one."""
        root, *others = self.selectors
        passwords = [b"#" + one for one in self.passwords]
        selectors = [b"(" + one.shown + b")" for one in others]
        return b" ".join([self.name, *self.flags, *passwords, root.shown, *selectors])

    # -- asked -----------------------------------------------------------------------------------------------

    def takes_password(self, password: bytes) -> bool:
        """Whether one can log in as this user with `password`."""
        if not self.enabled:
            return False
        if self.needs_no_password:
            return True
        digest = _digest(password)
        return any(hmac.compare_digest(digest, one) for one in self.passwords)

    def denies(self, request: Request) -> Denied | None:
        """What keeps a command from being run; None when one of the selectors allows it."""
        worst: Denied | None = None
        for selector in self.selectors:
            denied = selector.denies(request)
            if denied is None:
                return None
            if worst is None or denied.rank > worst.rank:
                worst = denied
        return worst

    def allows_any_key(self, request: Request, needed: int) -> bool:
        """Whether the command may be run even if it touches keys that nobody can name beforehand."""
        return any(one.denies(request) is None and one.allows_any_key(needed) for one in self.selectors)


def new_user(name: bytes, catalogue: Catalogue) -> User:
    return User(name, (new_selector(catalogue),))


def new_selector(catalogue: Catalogue) -> Selector:
    return Selector(catalogue, all_channels=catalogue.opens_channels)


def merged(rules: Sequence[bytes]) -> list[bytes]:
    """`rules` with the words of each selector in parentheses put together. Raises UnmatchedParenthesis."""
    found: list[bytes] = []
    pieces: list[bytes] = []
    for rule in rules:
        if pieces:
            pieces.append(rule)
        elif rule.startswith(b"(") and not rule.endswith(b")"):
            pieces = [rule]
        else:
            found.append(rule)
            continue
        if rule.endswith(b")"):
            found.append(b" ".join(pieces))
            pieces = []
    if pieces:
        raise UnmatchedParenthesis(errors.SYNTAX, pieces[0])
    return found


def check_name(name: bytes) -> None:
    """Raises RuleError for a name that no line could hold."""
    if _BLANK.search(name):
        raise RuleError(errors.SPACES_IN_NAME, name)


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).hexdigest().encode()


def _checked(digest: bytes) -> bytes:
    if not _HASH.fullmatch(digest):
        raise RuleError(errors.BAD_HASH)
    return digest
