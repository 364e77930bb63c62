"""Users made of rules: the parts that no comparison with redis-server pins down by itself."""

from __future__ import annotations

import hashlib

import pytest

from cluster.acl.catalogue import Catalogue
from cluster.acl.errors import AFTER_ALL_KEYS, NO_SUCH_PASSWORD, SYNTAX, UNKNOWN_NAME, RuleError, UnmatchedParenthesis
from cluster.acl.request import Denied, Request
from cluster.acl.user import User, merged, new_user
from cluster.acl.users import BadUsersFile, Users
from cluster.commands import all_commands
from cluster.commands.categories import categories
from cluster.commands.keys import READS

TABLE = all_commands()
CATALOGUE = Catalogue((one.full_name, categories(one)) for one in TABLE.original)


def user(*rules: str) -> User:
    return new_user(b"u", CATALOGUE).follow(rule.encode() for rule in rules)


def request(line: str) -> Request:
    arguments = [word.encode() for word in line.split()]
    command = TABLE.find(arguments[0])
    assert command is not None
    if command.subcommands:
        command = command.subcommands[arguments[1].lower()]
    return Request(command, arguments)


def denied(who: User, line: str) -> Denied | None:
    return who.denies(request(line))


def test_a_new_user_may_do_nothing() -> None:
    assert denied(user(), "PING") == ("command", 0)
    assert denied(user(), "AUTH x") is None, "but log in as somebody else"
    assert not user().takes_password(b"")


def test_a_rule_leaves_the_user_as_it_was() -> None:
    before = user("+get", "~a")
    after = before.follow([b"-get", b"resetkeys"])
    assert denied(before, "GET a") is None
    assert denied(after, "GET a") == ("command", 0)


def test_none_of_the_rules_holds_when_one_is_wrong() -> None:
    with pytest.raises(RuleError) as wrong:
        user("+get", "+nosuch")
    assert (wrong.value.cause, wrong.value.rule) == (UNKNOWN_NAME, b"+nosuch")
    with pytest.raises(RuleError, match="allkeys"):
        user("allkeys", "~a")
    assert AFTER_ALL_KEYS.startswith("Adding a pattern")


@pytest.mark.parametrize("rules", [
    ("~*", "&*", "+@all"), ("allkeys", "allchannels", "allcommands"), ("~*", "&*", "+@all", "-get", "+get"),
    ("off", "(~* &* +@all)"),
])  # fmt: skip
def test_who_may_do_everything(rules: tuple[str, ...]) -> None:
    assert user(*rules).is_unrestricted


@pytest.mark.parametrize("rules", [
    ("~*", "&*", "+@all", "-get"), ("~a", "&*", "+@all"), ("~*", "&a", "+@all"), ("~*", "&*", "+@all", "resetkeys"),
    ("~*", "+@all", "(&*)"), ("~*", "&*", "+@all", "-client|id"),
])  # fmt: skip
def test_who_may_not(rules: tuple[str, ...]) -> None:
    assert not user(*rules).is_unrestricted


def test_what_may_be_done_to_a_key() -> None:
    who = user("+@all", "%R~r*", "%W~w*", "~b*")
    assert denied(who, "COPY r1 w1") is None
    assert denied(who, "COPY b1 b2") is None
    assert denied(who, "COPY w1 r1") == ("key", 1)
    assert denied(who, "COPY r1 r2") == ("key", 2)
    assert denied(who, "SET w1 x") is None
    assert denied(who, "SET w1 x GET") == ("key", 1), "which tells what was there"
    assert denied(who, "XREADGROUP GROUP g c STREAMS b1 w1 > >") == ("key", 6)


def test_patterns_of_the_same_keys_add_up() -> None:
    who = user("+@all", "%R~x", "%W~x")
    assert who.selectors[0].keys_shown == b"~x"
    assert denied(who, "GETSET x 1") is None


def test_a_renamed_command_keeps_its_flags() -> None:
    """What SET does to a key depends on its words, and not on how the client calls it."""
    command = TABLE.find(b"set")
    assert command is not None
    assert user("+set", "%R~x").denies(Request(command, [b"put", b"x", b"1"])) == ("key", 1)


def test_selectors_allow_a_command_as_a_whole_or_not() -> None:
    who = user("+get", "~a", "(+set ~b)", "(+mget ~c)")
    assert denied(who, "GET a") is None
    assert denied(who, "SET b 1") is None
    assert denied(who, "SET a 1") == ("key", 1)
    assert denied(who, "GET b") == ("key", 1)
    assert denied(who, "MGET c a") == ("key", 2), "the selector that got furthest says why"
    assert denied(who, "DEL a") == ("command", 0)


def test_a_first_argument() -> None:
    who = user("+select|0", "allkeys")
    assert denied(who, "SELECT 0") is None
    assert denied(who, "SELECT 1") == ("command", 0)
    assert denied(who.follow([b"+select"]), "SELECT 1") is None
    assert denied(who.follow([b"-@connection"]), "SELECT 0") == ("command", 0)


def test_channels() -> None:
    who = user("+@all", "&news.*", "&a")
    assert denied(who, "SUBSCRIBE a news.1") is None
    assert denied(who, "SUBSCRIBE a b") == ("channel", 2)
    assert denied(who, "PSUBSCRIBE news.*") is None
    assert denied(who, "PSUBSCRIBE news.1*") == ("channel", 1), "a pattern has to be there as it is"
    assert denied(who, "PUBLISH b x") == ("channel", 1)
    assert denied(who, "SPUBLISH news.2 x") is None
    assert denied(who, "UNSUBSCRIBE b") is None


def test_keys_that_nobody_can_name() -> None:
    sort = request("SORT a BY w*")
    assert user("+sort", "%R~*").allows_any_key(sort, READS)
    assert not user("+sort", "%W~*", "%R~a").allows_any_key(sort, READS)
    assert not user("+sort", "~a", "(%R~* +get)").allows_any_key(sort, READS), "of a selector that does not allow it"


def test_passwords() -> None:
    who = user("on", ">one", "#" + hashlib.sha256(b"two").hexdigest())
    assert [who.takes_password(word) for word in (b"one", b"two", b"three", b"")] == [True, True, False, False]
    assert not who.follow([b"<one"]).takes_password(b"one")
    assert not who.follow([b"off"]).takes_password(b"one")
    assert who.follow([b"nopass"]).takes_password(b"anything")
    assert not who.follow([b"resetpass"]).takes_password(b"one")
    with pytest.raises(RuleError, match=NO_SUCH_PASSWORD):
        who.follow([b"<three"])


def test_reset_follows_the_default_for_channels() -> None:
    open_catalogue = Catalogue([("get", ["read"])], opens_channels=True)
    assert new_user(b"u", open_catalogue).follow([b"resetchannels", b"reset"]).selectors[0].all_channels
    assert new_user(b"u", open_catalogue).follow([b"(+get)"]).selectors[1].all_channels
    assert not user("allchannels", "reset").selectors[0].all_channels


def test_words_of_a_selector_are_put_together() -> None:
    assert merged([b"on", b"(+get", b"~a", b"&b)", b"(x)", b"off"]) == [b"on", b"(+get ~a &b)", b"(x)", b"off"]
    with pytest.raises(UnmatchedParenthesis) as wrong:
        merged([b"(+get", b"~a"])
    assert wrong.value.rule == b"(+get"


# -- all users -----------------------------------------------------------------------------------------------------


def test_a_text_of_users_is_read_as_it_was_written() -> None:
    users = Users(CATALOGUE)
    users.change(b"a", [b"on", b">x", b"~k*", b"%R~r", b"&c", b"+@read", b"-get", b"+select|0", b"(+set ~s)"])
    users.change(b"b", [b"nopass", b"skip-sanitize-payload"])
    users.set_default_password(b"secret")
    again = users.read(users.text, "users.acl")
    assert again.text == users.text
    assert [one.name for one in again.every()] == [b"a", b"b", b"default"]


def test_a_text_without_the_default_user_has_it_open() -> None:
    users = Users(CATALOGUE)
    users.set_default_password(b"secret")
    assert users.read(b"user a on\n", "f").default.needs_no_password


def test_every_fault_of_a_text_is_told() -> None:
    users = Users(CATALOGUE)
    with pytest.raises(BadUsersFile) as wrong:
        users.read(b"user a on\n\nuser a off\nfoo\nuser b +nosuch foo bar\nuser c (+get\nuser d\v on\n", "f")
    assert str(wrong.value) == (
        "WARNING: Duplicate user 'a' found on line 3. f:4 should start with user keyword followed by the username. "
        f"f:5: Error in applying operation '+nosuch': {UNKNOWN_NAME}. f:5: {SYNTAX}. "
        "f:6: Unmatched parenthesis in selector definition.'f:7: username 'd\v' contains invalid characters. "
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    )


def test_a_user_is_changed_whole_or_not_at_all() -> None:
    users = Users(CATALOGUE)
    users.change(b"a", [b"on", b"+get"])
    before = users.get(b"a")
    with pytest.raises(RuleError):
        users.change(b"a", [b"off", b"foo"])
    assert users.get(b"a") is before
    with pytest.raises(RuleError):
        users.change(b"b", [b"foo"])
    assert users.get(b"b") is None
