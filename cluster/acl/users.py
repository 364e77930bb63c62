"""All users of a node, by name; and the text of the file that holds them, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cluster.acl import errors
from cluster.acl.catalogue import Catalogue
from cluster.acl.errors import RuleError, UnmatchedParenthesis
from cluster.acl.user import User, check_name, merged, new_user

DEFAULT = b"default"
NOTHING_CHANGED = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
_OPEN = (b"on", b"nopass", b"~*", b"&*", b"+@all")


class BadUsersFile(Exception):
    """`str()` names every fault that was found, as redis-server does."""


class Users:
    """There is always a default user; at first everybody is it, and may do everything."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._by_name: dict[bytes, User] = {DEFAULT: self._fresh(DEFAULT).follow(_OPEN)}

    @property
    def default(self) -> User:
        return self._by_name[DEFAULT]

    def get(self, name: bytes) -> User | None:
        return self._by_name.get(name)

    def every(self) -> list[User]:
        """In the order of their names."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def change(self, name: bytes, rules: Sequence[bytes]) -> User:
        """Make the user, or change it: by all of the rules, or, with RuleError, by none."""
        check_name(name)
        user = (self._by_name.get(name) or self._fresh(name)).follow(merged(rules))
        self._by_name[name] = user
        return user

    def define(self, name: bytes, rules: Sequence[bytes]) -> User:
        """As `change`, forgetting what there was of the user: as a line of a file says it."""
        check_name(name)
        user = self._fresh(name).follow(merged(rules))
        self._by_name[name] = user
        return user

    def set_default_password(self, password: bytes) -> User:
        """requirepass: the one password of the default user; with an empty one it needs none."""
        return self.change(DEFAULT, [b"resetpass", b">" + password if password else b"nopass"])

    def delete(self, name: bytes) -> bool:
        """Whether there was such a user. The default one stays."""
        return self._by_name.pop(name, None) is not None

    def replace(self, users: Users) -> None:
        """Have the users of `users` instead."""
        self._by_name = dict(users._by_name)

    def _fresh(self, name: bytes) -> User:
        return new_user(name, self.catalogue)

    # -- the file --------------------------------------------------------------------------------------------

    @property
    def text(self) -> bytes:
        return b"".join(b"user %b\n" % user.shown for user in self.every())

    def read(self, text: bytes, path: str) -> Users:
        """The users of a file's text; `path` is for what there is to say of it. Raises BadUsersFile."""
        found = Users(self.catalogue)
        seen: set[bytes] = set()
        faults: list[str] = []
        for number, line in enumerate(text.split(b"\n"), start=1):
            words = line.strip(b" \t\r\n").split(b" ")
            if words != [b""]:
                faults += found._read_line(words, seen, f"{path}:{number}", number)
        if faults:
            raise BadUsersFile(f"{''.join(faults)}{NOTHING_CHANGED}")
        return found

    def _read_line(self, words: list[bytes], seen: set[bytes], place: str, number: int) -> Iterable[str]:
        """Take one line; what is wrong with it."""
        if words[0] != b"user" or len(words) < 2:
            return [f"{place} should start with user keyword followed by the username. "]
        name, rules = words[1], words[2:]
        if name in seen:
            return [f"WARNING: Duplicate user '{_text(name)}' found on line {number}. "]
        seen.add(name)
        try:
            check_name(name)
        except RuleError:
            return [f"'{place}: username '{_text(name)}' contains invalid characters. "]
        try:
            rules = merged(rules)
        except UnmatchedParenthesis:
            return [f"{place}: Unmatched parenthesis in selector definition."]
        return self._follow_line(self._fresh(name), [rule.strip(b"\t\r\n") for rule in rules], place)

    def _follow_line(self, user: User, rules: list[bytes], place: str) -> list[str]:
        faults: list[str] = []
        is_told = False
        for rule in rules:
            try:
                user = user.follow([rule])
            except RuleError as error:
                if error.cause == errors.UNKNOWN_NAME:
                    faults.append(f"{place}: Error in applying operation '{_text(rule)}': {error.cause}. ")
                elif not is_told:  # what follows may only be wrong because of it
                    faults.append(f"{place}: {error.cause}. ")
                    is_told = True
        self._by_name[user.name] = user
        return faults


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
