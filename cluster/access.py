"""Who may do what on this node: its users, and what they mean to its clients.

The rules themselves are `cluster.acl`; here they meet the configuration, the sessions and the log of what was denied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster import errors
from cluster.acl import errors as acl_errors
from cluster.acl.catalogue import Catalogue
from cluster.acl.errors import RuleError
from cluster.acl.log import AccessLog
from cluster.acl.request import AUTH, CHANNEL, COMMAND, KEY, Denied, Request
from cluster.acl.selector import allows_channel
from cluster.acl.users import BadUsersFile, Users
from cluster.commands.categories import categories
from cluster.commands.client import describe
from cluster.commands.registry import Narrowed
from cluster.config.errors import ConfigError
from cluster.config.quoting import quote_if_needed
from cluster.errors import CommandError
from cluster.pubsub import Subscriptions

if TYPE_CHECKING:
    from cluster.acl.user import User
    from cluster.commands.registry import Command, CommandTable
    from cluster.config.store import Configuration
    from cluster.network.session import Session
    from cluster.server import Server

_LATER = (
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is "
    "no longer allowed for the following reason: "
)
_REASONS = {
    COMMAND: "no permission to execute the command or subcommand",
    KEY: "no permission to touch the specified keys",
    CHANNEL: "no permission to access one of the channels used as arguments to the command",
}


def configured_users(config: Configuration, table: CommandTable) -> Users:
    """The users as requirepass and the `user` lines have them. Raises ConfigError."""
    catalogue = Catalogue(
        ((one.full_name, categories(one)) for one in table.original),
        opens_channels=config.acl_pubsub_default == "allchannels",
    )
    users = Users(catalogue)
    if config.requirepass:
        users.set_default_password(_bytes(config.requirepass))
    seen: set[str] = set()
    for (name, *rules), line in zip(config.user, config.lines("user"), strict=True):
        try:
            if name in seen:
                raise RuleError(acl_errors.DUPLICATE_USER)
            users.define(_bytes(name), [_bytes(rule) for rule in rules])
        except RuleError as error:
            raise ConfigError(f"Error in user declaration '{name}': {error.cause}", line.place, line.line) from None
        seen.add(name)
    return users


class Access:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._config = server.config
        self.users = configured_users(server.config, server.table)
        self.log = AccessLog()
        self._narrowed: dict[User, Narrowed] = {}
        self._settle()

    def _settle(self) -> None:
        """`default` is the default user of now; `is_open`: clients are it without logging in."""
        self.default = self.users.default
        self.is_open = self.default.enabled and self.default.needs_no_password

    # -- the road --------------------------------------------------------------------------------------------

    def road(self, user: User | None) -> CommandTable | Narrowed:
        """Which commands of this user go straight to their handlers: all that do, or those that are allowed whatever
        their arguments are."""
        if user is None or user.is_unrestricted:
            return self._server.table
        road = self._narrowed.get(user)
        if road is None:
            road = self._narrowed[user] = Narrowed(user.outright)
            road.follow(self._server.table)
        return road

    def follow_table(self) -> None:
        """What the table has on the fast road may have changed."""
        for road in self._narrowed.values():
            road.follow(self._server.table)

    # -- clients ---------------------------------------------------------------------------------------------

    def authenticate(self, session: Session, name: bytes, password: bytes) -> None:
        """Log a client in. Raises WRONGPASS."""
        user = self.users.get(name)
        if user is None or not user.takes_password(password):
            command = self._server.ctx.command
            typed = command.name.upper().encode() if command is not None else b"AUTH"
            self._note(session, AUTH, self._context(session), typed, name)
            raise CommandError(errors.WRONGPASS)
        session.become(user)

    def check(self, session: Session, command: Command, arguments: list[bytes]) -> None:
        """Raise NOPERM if the client may not run that."""
        denied = self._denied(session, command, arguments, self._context(session))
        if denied is not None:
            raise CommandError(f"NOPERM {self._told(session, command, denied)}")

    def check_queued(self, session: Session, command: Command, arguments: list[bytes]) -> None:
        """The same of a command of a transaction, when this is run."""
        denied = self._denied(session, command, arguments, "multi")
        if denied is not None:
            raise CommandError(_LATER + _REASONS[denied.reason])

    def check_in_script(self, session: Session, command: Command, arguments: list[bytes]) -> None:
        """The same of a command of a script that the client runs."""
        denied = self._denied(session, command, arguments, "lua")
        if denied is not None:
            raise CommandError(f"ERR ACL failure in script: {self._told(session, command, denied)}")

    def allows(self, session: Session, command: Command, arguments: list[bytes]) -> bool:
        """Whether the client may run that; nobody is told."""
        return session.user is None or session.user.denies(Request(command, arguments)) is None

    def allows_any_key(self, session: Session, command: Command, arguments: list[bytes], needed: int) -> bool:
        """Whether it may be run even if it touches keys that nobody can name beforehand."""
        return session.user is None or session.user.allows_any_key(Request(command, arguments), needed)

    def _denied(
        self, session: Session, command: Command, arguments: list[bytes], context: str
    ) -> Denied | None:
        user = session.user
        denied = None if user is None else user.denies(Request(command, arguments))
        if user is not None and denied is not None:
            what = arguments[denied.position] if denied.reason != COMMAND else command.full_name.encode()
            self._note(session, denied.reason, context, what, user.name)
        return denied

    @staticmethod
    def _told(session: Session, command: Command, denied: Denied) -> str:
        if denied.reason == COMMAND:
            assert session.user is not None
            return f"User {_text(session.user.name)} has no permissions to run the '{command.full_name}' command"
        return f"No permissions to access a {denied.reason}"

    def _context(self, session: Session) -> str:
        return "multi" if session.transaction is not None or not self._server.ctx.allows_blocking else "toplevel"

    def _note(self, session: Session, reason: str, context: str, what: bytes, username: bytes) -> None:
        """Count and log what was denied."""
        server = self._server
        server.stats.denied[reason] = server.stats.denied.get(reason, 0) + 1
        self.log.add(
            reason, context, what, username, describe(server.ctx, session), now_ms=server.ctx.now_ms,
            limit=self._config.acllog_max_len,
        )  # fmt: skip

    # -- changes ---------------------------------------------------------------------------------------------

    def change(self, name: bytes, rules: Sequence[bytes]) -> None:
        """ACL SETUSER. Raises RuleError."""
        self.users.change(name, rules)
        self._users_changed()

    def delete(self, name: bytes) -> bool:
        """Whether there was such a user; who was logged in as it is cut off."""
        found = self.users.delete(name)
        if found:
            self._users_changed()
        return found

    def configure(self) -> None:
        """acl-pubsub-default may have changed."""
        self.users.catalogue.opens_channels = self._config.acl_pubsub_default == "allchannels"

    def take_password(self) -> None:
        """requirepass has changed."""
        self.users.set_default_password(_bytes(self._config.requirepass))
        self._users_changed()

    def _users_changed(self) -> None:
        """Every client has the rights of its user as it is now; or is gone with the user, or with a channel that it
        listens to and may not any more."""
        self._settle()
        self._narrowed = {user: road for user, road in self._narrowed.items() if self.users.get(user.name) is user}
        for session in list(self._server.clients.values()):
            before = session.user
            if before is None:
                continue
            after = self.users.get(before.name)
            if after is None:
                self._cut(session)
            elif after is not before:
                opened = after is self.default and self.is_open
                session.become(after, authenticated=session.authenticated or opened)
                if session.subscribed is not None and not _may_listen(after, session.subscribed):
                    self._cut(session)

    def _cut(self, session: Session) -> None:
        session.become(self.default, authenticated=False)
        if session is self._server.ctx.client:
            session.close_after_replies()  # the one who has just done it is to hear that it is done
        else:
            self._server.kill(session)

    # -- files -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the users of the aclfile, if there is one. Raises BadUsersFile."""
        if self._config.aclfile:
            try:
                self.load()
            except BadUsersFile as error:
                raise BadUsersFile(f"Aborting Redis startup because of ACL errors: {error}") from None
            return
        for user in self.users.every():
            if not user.enabled:
                self._server.log("notice", (
                    f"The user '{_text(user.name)}' is disabled (there is no 'on' modifier in the user description). "
                    "Make sure this is not a configuration error."
                ))

    def load(self) -> None:
        """ACL LOAD: have the users of the aclfile, or, with BadUsersFile, those that there are."""
        path = self._config.aclfile
        try:
            text = self._server.shell.read_users()
        except OSError as error:
            raise BadUsersFile(f"Error loading ACLs, opening file '{path}': {error.strerror}") from None
        self.users.replace(self.users.read(text, path))
        self._users_changed()

    def save(self) -> None:
        """ACL SAVE. Raises OSError."""
        self._server.shell.write_users(self.users.text)

    def lines_to_rewrite(self) -> list[str] | None:
        """What CONFIG REWRITE makes of the `user` lines; None to leave things alone, since requirepass says it all."""
        if self._config.aclfile:
            return []
        usual = Users(self.users.catalogue)
        if self._config.requirepass:
            usual.set_default_password(_bytes(self._config.requirepass))
        if usual.text == self.users.text and not self._config.user:
            return None
        return [
            " ".join(word if word.startswith("#") else quote_if_needed(word) for word in _text(user.shown).split(" "))
            for user in self.users.every()
        ]


def _may_listen(user: User, listening: Subscriptions) -> bool:
    if any(one.all_channels for one in user.selectors):
        return True
    patterns = tuple(pattern for one in user.selectors for pattern in one.channel_patterns)
    channels = [*listening.channels, *listening.shard_channels]
    return all(allows_channel(patterns, one, literally=True) for one in listening.patterns) and all(
        allows_channel(patterns, one, literally=False) for one in channels
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
