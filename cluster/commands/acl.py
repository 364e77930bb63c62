"""ACL: the users of the node, and what they may do."""

from __future__ import annotations

from collections.abc import Sequence

from cluster import errors
from cluster.acl.catalogue import CATEGORIES
from cluster.acl.errors import SPACES_IN_NAME, RuleError, UnmatchedParenthesis
from cluster.acl.log import Entry
from cluster.acl.request import COMMAND, Request
from cluster.acl.selector import Selector
from cluster.acl.users import DEFAULT, BadUsersFile
from cluster.commands.context import Context
from cluster.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, Command, command, container
from cluster.errors import CommandError, wrong_subcommand
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies

_FLAGS = {NOSCRIPT, LOADING, STALE}
_ADMIN = {ADMIN, *_FLAGS}
_EVERYWHERE = ("request_policy:all_nodes", "response_policy:all_succeeded")
_NO_FILE = (
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    "command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store "
    "users in the Redis configuration."
)
_NOT_SAVED = "ERR There was an error trying to save the ACLs. Please check the server logs for more information"
_PASSWORD_BITS = 256
_PASSWORD_BITS_LIMIT = 4096
_SHOWN_ENTRIES = 10

ACL = container("ACL", group="server", since="6.0.0", summary="Holds the commands about users and their rights.")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@command("ACL CAT", arity=-2, flags=_FLAGS, group="server", since="6.0.0",
         summary="Names the categories of commands, or the commands of one.", syntax="[category]")
def acl_cat(ctx: Context, *category: bytes) -> bytes:
    if len(category) > 1:
        raise wrong_subcommand("acl")
    if not category:
        return replies.bulk_array([name.encode() for name in CATEGORIES])
    name = _text(category[0])
    if name.lower() not in CATEGORIES:
        raise CommandError(f"ERR Unknown category '{name}'")
    return replies.bulk_array([one.encode() for one in ctx.server.access.users.catalogue.members(name.lower())])


@command("ACL SETUSER", arity=-3, flags=_ADMIN, group="server", since="6.0.0", tips=_EVERYWHERE,
         summary="Makes a user, or changes one, by rules.", complexity="O(N) in the number of rules",
         syntax="username [rule...]")
def acl_setuser(ctx: Context, name: bytes, *rules: bytes) -> bytes:
    try:
        ctx.server.access.change(name, rules)
    except UnmatchedParenthesis as error:
        raise CommandError(
            f"ERR Unmatched parenthesis in acl selector starting at '{_text(error.rule)}'."
        ) from None
    except RuleError as error:
        if error.cause == SPACES_IN_NAME:
            raise CommandError(f"ERR {error.cause}") from None
        raise CommandError(f"ERR Error in ACL SETUSER modifier '{_text(error.rule)}': {error.cause}") from None
    return replies.OK


@command("ACL GETUSER", arity=3, flags=_ADMIN, group="server", since="6.0.0", summary="Shows what a user may do.",
         complexity="O(N) in the number of passwords, commands and patterns", syntax="username")
def acl_getuser(ctx: Context, name: bytes) -> bytes:
    user = ctx.server.access.users.get(name)
    if user is None:
        return ctx.null
    root, *others = user.selectors
    return replies.string_map({
        "flags": replies.set_reply([replies.bulk(word) for word in user.flags], ctx.resp),
        "passwords": replies.bulk_array(user.passwords),
        **_shown(root),
        "selectors": replies.array([replies.string_map(_shown(one), ctx.resp) for one in others]),
    }, ctx.resp)


def _shown(selector: Selector) -> dict[str, bytes]:
    return {
        "commands": replies.bulk(selector.commands_shown),
        "keys": replies.bulk(selector.keys_shown),
        "channels": replies.bulk(selector.channels_shown),
    }


@command("ACL DELUSER", arity=-3, flags=_ADMIN, group="server", since="6.0.0", tips=_EVERYWHERE,
         summary="Removes users, and cuts off who is logged in as one of them.", syntax="username...")
def acl_deluser(ctx: Context, *names: bytes) -> bytes:
    if DEFAULT in names:
        raise CommandError("ERR The 'default' user cannot be removed")
    return replies.integer(sum([ctx.server.access.delete(name) for name in names]))


@command("ACL USERS", arity=2, flags=_ADMIN, group="server", since="6.0.0", summary="Names the users.",
         complexity="O(N) in the number of users")
def acl_users(ctx: Context) -> bytes:
    return replies.bulk_array([user.name for user in ctx.server.access.users.every()])


@command("ACL LIST", arity=2, flags=_ADMIN, group="server", since="6.0.0",
         summary="Shows the users as a file would hold them, a line each.",
         complexity="O(N) in the number of users")
def acl_list(ctx: Context) -> bytes:
    return replies.bulk_array([b"user " + user.shown for user in ctx.server.access.users.every()])


@command("ACL WHOAMI", arity=2, flags=_FLAGS, group="server", since="6.0.0",
         summary="Answers the user that the connection is logged in as.")
def acl_whoami(ctx: Context) -> bytes:
    user = ctx.client.user
    return ctx.null if user is None else replies.bulk(user.name)


@command("ACL DRYRUN", arity=-4, flags=_ADMIN, group="server", since="7.0.0",
         summary="Tells whether a user might run a command, without running it.", syntax="username command [arg...]")
def acl_dryrun(ctx: Context, name: bytes, *line: bytes) -> bytes:
    user = ctx.server.access.users.get(name)
    if user is None:
        raise CommandError(f"ERR User '{_text(name)}' not found")
    entry = _found(ctx, line)
    if not entry.minimum <= len(line) <= entry.maximum or entry.handler is None:
        raise errors.wrong_arity(entry.full_name)
    denied = user.denies(Request(entry, line))
    if denied is None:
        return replies.OK
    what = f"run the '{entry.full_name}' command"
    if denied.reason != COMMAND:
        what = f"access the '{_text(line[denied.position])}' {denied.reason}"
    return replies.text(f"User {_text(user.name)} has no permissions to {what}")


def _found(ctx: Context, line: Sequence[bytes]) -> Command:
    entry = ctx.server.table.find(line[0])
    if entry is not None and entry.subcommands and len(line) > 1:
        entry = entry.subcommands.get(line[1].lower())
    if entry is None:
        raise CommandError(f"ERR Command '{_text(line[0])}' not found")
    return entry


@command("ACL GENPASS", arity=-2, flags=_FLAGS, group="server", since="6.0.0",
         summary="Makes up a password that nobody can guess.", syntax="[bits:integer]")
def acl_genpass(ctx: Context, *bits: bytes) -> bytes:
    if len(bits) > 1:
        raise wrong_subcommand("acl")
    count = parse_integer(bits[0]) if bits else _PASSWORD_BITS
    if not 0 < count <= _PASSWORD_BITS_LIMIT:
        raise CommandError(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to "
            f"{_PASSWORD_BITS_LIMIT}"
        )
    digits = (count + 3) // 4
    return replies.bulk(ctx.server.shell.random_bytes((digits + 1) // 2).hex()[:digits].encode())


@command("ACL LOG", arity=-2, flags=_ADMIN, group="server", since="6.0.0",
         summary="Shows what was denied lately, or forgets it.", complexity="O(N) in the number of entries shown",
         syntax="[count:integer | RESET]")
def acl_log(ctx: Context, *arguments: bytes) -> bytes:
    if len(arguments) > 1:
        raise wrong_subcommand("acl")
    log = ctx.server.access.log
    if arguments and arguments[0].lower() == b"reset":
        log.clear()
        return replies.OK
    count = parse_integer(arguments[0]) if arguments else _SHOWN_ENTRIES
    return replies.array([_entry(ctx, one) for one in log.newest(count)])


def _entry(ctx: Context, entry: Entry) -> bytes:
    return replies.string_map({
        "count": replies.integer(entry.count),
        "reason": replies.text(entry.reason),
        "context": replies.text(entry.context),
        "object": replies.bulk(entry.object),
        "username": replies.bulk(entry.username),
        "age-seconds": replies.double((ctx.now_ms - entry.updated_ms) / 1000, ctx.resp),
        "client-info": replies.text(entry.client),
        "entry-id": replies.integer(entry.number),
        "timestamp-created": replies.integer(entry.created_ms),
        "timestamp-last-updated": replies.integer(entry.updated_ms),
    }, ctx.resp)


@command("ACL LOAD", arity=2, flags=_ADMIN, group="server", since="6.0.0",
         summary="Has the users of the aclfile instead of those that there are.",
         complexity="O(N) in the number of users")
def acl_load(ctx: Context) -> bytes:
    if not ctx.config.aclfile:
        raise CommandError(_NO_FILE)
    try:
        ctx.server.access.load()
    except BadUsersFile as error:
        raise CommandError(f"ERR {error}") from None
    return replies.OK


@command("ACL SAVE", arity=2, flags=_ADMIN, group="server", since="6.0.0", tips=_EVERYWHERE,
         summary="Writes the users to the aclfile.", complexity="O(N) in the number of users")
def acl_save(ctx: Context) -> bytes:
    if not ctx.config.aclfile:
        raise CommandError(_NO_FILE)
    try:
        ctx.server.access.save()
    except OSError as error:
        ctx.server.log("warning", f"Saving ACLs to {ctx.config.aclfile}: {error.strerror}")
        raise CommandError(_NOT_SAVED) from None
    ctx.server.log("notice", "All the ACL users were saved.")
    return replies.OK


@command("ACL HELP", arity=2, flags={LOADING, STALE}, group="server", since="6.0.0",
         summary="Lists the subcommands.")
def acl_help(_ctx: Context) -> bytes:
    return replies.help_text("ACL", [
        ("CAT [<category>]", "The categories of commands, or the commands of one."),
        ("DELUSER <username> [<username> ...]", "Remove users."),
        ("DRYRUN <username> <command> [<arg> ...]", "Whether a user might run a command."),
        ("GENPASS [<bits>]", "A password that nobody can guess, of 256 bits or as many as given."),
        ("GETUSER <username>", "What a user may do."),
        ("LIST", "The users as a file would hold them."),
        ("LOAD", "Have the users of the aclfile."),
        ("LOG [<count>|RESET]", "What was denied lately; or forget it."),
        ("SAVE", "Write the users to the aclfile."),
        ("SETUSER <username> [<rule> ...]", "Make or change a user."),
        ("USERS", "The names of the users."),
        ("WHOAMI", "The user of this connection."),
    ])
