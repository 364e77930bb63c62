"""ACL as clients meet it: logins, refusals, what becomes of those whose rights change, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.access import configured_users
from cluster.config.errors import ConfigError
from cluster.config.redis_conf import parse_text
from cluster.config.store import Configuration
from tests.commands.in_process import Client, InProcessNode
from tests.commands.whole import WholeNode

WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."
NO_KEY = "NOPERM No permissions to access a key"


def user(node: InProcessNode, *rules: str, name: str = "u") -> Client:
    """A client that is logged in as a user of these rules."""
    assert node("ACL", "SETUSER", name, "on", ">secret", *rules) == b"OK"
    client = node.connect()
    assert client("AUTH", name, "secret") == b"OK"
    return client


@pytest.fixture
def whole(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path)


def test_who_am_i(node: InProcessNode) -> None:
    client = user(node, "+acl|whoami", "+client")
    assert node("ACL", "WHOAMI") == b"default"
    assert client("ACL", "WHOAMI") == b"u"
    assert b" user=u " in client("CLIENT", "INFO")
    assert node("CLIENT", "LIST").count(b" user=u ") == 1
    client("RESET")
    assert client("ACL", "WHOAMI") == b"default"


def fast(client: Client) -> set[bytes]:
    """What this client may send straight to the handlers."""
    assert not client.session.unusual
    return set(client.session.road.fast)


def test_the_fast_road_is_for_what_needs_no_question(node: InProcessNode) -> None:
    client = user(node, "+@all", "~*", "&*")
    everything = fast(node.client)
    assert fast(client) == everything
    node("ACL", "SETUSER", "u", "-get", "resetchannels")
    assert fast(client) == everything - {b"get", b"GET", b"publish", b"PUBLISH", b"spublish", b"SPUBLISH"}
    assert client("SET", "a", 1) == b"OK"
    assert client.error("GET", "a") == "NOPERM User u has no permissions to run the 'get' command"
    assert client.error("PUBLISH", "a", 1) == "NOPERM No permissions to access a channel"
    node("ACL", "SETUSER", "u", "resetkeys", "~a", "(%R~b +@all)")
    assert fast(client) == set()
    assert client.error("SET", "b", 1) == NO_KEY
    node("ACL", "SETUSER", "u", "reset", "(~* &* +set)")
    assert fast(client) == {b"set", b"SET"}
    node("ACL", "SETUSER", "u", "+@all", "~*", "&*")
    assert fast(client) == everything


def test_a_replicas_writes_stay_off_the_fast_road(node: InProcessNode) -> None:
    client = user(node, "~*", "+@string")
    assert b"SET" in fast(client)
    node.server.is_replica = True
    node.server.refresh_road()
    assert b"SET" not in fast(client)
    assert b"GET" in fast(client)
    assert client.error("SET", "a", 1).startswith("READONLY")
    node.server.is_replica = False
    node.server.refresh_road()
    assert b"SET" in fast(client)


def test_a_disabled_user_stays_logged_in_but_nobody_else_gets_in(node: InProcessNode) -> None:
    client = user(node, "+ping")
    node("ACL", "SETUSER", "u", "off")
    assert client("PING") == b"PONG"
    assert node.connect().error("AUTH", "u", "secret") == WRONGPASS


def test_hello_logs_in(node: InProcessNode) -> None:
    user(node, "+acl|whoami")
    client = node.connect()
    assert client.error("HELLO", 2, "AUTH", "u", "wrong") == WRONGPASS
    client("HELLO", 2, "AUTH", "u", "secret", "SETNAME", "me")
    assert client("ACL", "WHOAMI") == b"u"


# -- the default user ----------------------------------------------------------------------------------------------


def test_requirepass_is_the_password_of_the_default_user() -> None:
    node = InProcessNode(("requirepass", "one"))
    assert node.error("PING").startswith("NOAUTH")
    assert node("AUTH", "one") == b"OK"
    node("ACL", "SETUSER", "default", "resetpass", ">two")
    assert node.connect()("AUTH", "two") == b"OK"
    assert node.connect().error("AUTH", "one") == WRONGPASS
    assert node("CONFIG", "GET", "requirepass") == [b"requirepass", b"one"], "as it was set"


def test_who_waits_at_the_door_is_let_in_when_it_is_opened() -> None:
    node = InProcessNode(("requirepass", "one"))
    waiting = node.connect()
    assert waiting.error("PING").startswith("NOAUTH")
    node("AUTH", "one")
    node("ACL", "SETUSER", "default", "nopass")
    assert waiting("PING") == b"PONG"
    assert node.error("AUTH", "x").startswith("ERR AUTH <password> called without any password configured")


def test_a_disabled_default_user_lets_nobody_in(node: InProcessNode) -> None:
    node("ACL", "SETUSER", "u", "on", "nopass", "+@all")
    node("ACL", "SETUSER", "default", "off")
    client = node.connect()
    assert client.error("PING").startswith("NOAUTH")
    assert client("AUTH", "u", "whatever") == b"OK"
    assert client("PING") == b"PONG"


def test_default_cannot_be_deleted(node: InProcessNode) -> None:
    node("ACL", "SETUSER", "u")
    assert node.error("ACL", "DELUSER", "u", "default") == "ERR The 'default' user cannot be removed"
    assert node("ACL", "USERS") == [b"default", b"u"]
    assert node("ACL", "DELUSER", "u", "nobody", "u") == 1


# -- refusals ------------------------------------------------------------------------------------------------------


def test_a_command_that_is_refused_while_queued_fails_the_transaction(node: InProcessNode) -> None:
    client = user(node, "+@all", "~a*")
    client("MULTI")
    assert client("SET", "a", 1) == b"QUEUED"
    assert client.error("SET", "b", 1) == NO_KEY
    assert client.error("EXEC").startswith("EXECABORT")
    assert node("EXISTS", "a") == 0


def test_rights_that_go_before_exec_are_gone(node: InProcessNode) -> None:
    client = user(node, "+@all", "~a*")
    client("MULTI")
    client("SET", "a", 1)
    client("GET", "a")
    node("ACL", "SETUSER", "u", "-set")
    refused, got = client("EXEC")
    assert str(refused).endswith("following reason: no permission to execute the command or subcommand")
    assert got is None
    entry = node("ACL", "LOG")[0]
    assert (entry[5], entry[7]) == (b"multi", b"set")


def test_a_transaction_that_fails_in_part_is_replicated_in_part(node: InProcessNode) -> None:
    client = user(node, "+@all", "~a*")
    client("MULTI")
    client("SET", "a1", 1)
    client("DEL", "a1")
    node("ACL", "SETUSER", "u", "-del")
    node.effects.clear()
    client("EXEC")
    assert node.effects == [[b"SET", b"a1", b"1"]]


def test_scripts_have_the_rights_of_who_runs_them(node: InProcessNode) -> None:
    client = user(node, "+@all", "-set", "~a*")
    assert "ERR ACL failure in script: No permissions to access a key" in client.error(
        "EVAL", "return redis.call('GET', 'b')", 0
    )
    refused = client("EVAL", "return redis.pcall('SET', 'a', 1).err", 0)
    assert refused == b"ERR ACL failure in script: User u has no permissions to run the 'set' command"
    assert node("EVAL", "return redis.call('SET', 'a', 1).ok", 0) == b"OK"
    assert client("EVAL", "return redis.acl_check_cmd('GET', 'a')", 0) == 1
    assert client("EVAL", "return redis.acl_check_cmd('GET', 'b')", 0) is None
    assert client("EVAL", "return redis.acl_check_cmd('SET', 'a', 1)", 0) is None
    assert [entry[5] for entry in node("ACL", "LOG")] == [b"lua", b"lua"], "asking alone is no attempt"


def test_sort_looks_at_keys_only_for_who_may_read_all(node: InProcessNode) -> None:
    client = user(node, "+sort", "~l")
    node("RPUSH", "l", 2, 1)
    assert client("SORT", "l") == [b"1", b"2"]
    text = "ERR {} option of SORT denied due to insufficient ACL permissions."
    assert client.error("SORT", "l", "BY", "w*") == text.format("BY")
    assert client.error("SORT", "l", "GET", "#") == text.format("GET")
    node("ACL", "SETUSER", "u", "%R~*")
    assert client("SORT", "l", "GET", "w*") == [None, None]


def test_who_waits_is_asked_again_when_there_is_something(node: InProcessNode) -> None:
    client = user(node, "+blpop", "~q")
    assert client.raw("BLPOP", "q", 0) == b""
    node("ACL", "SETUSER", "u", "resetkeys")
    node("RPUSH", "q", "job")
    assert str(client.decoded(client.received())) == NO_KEY
    assert node("LRANGE", "q", 0, -1) == [b"job"]


def test_refusals_are_counted(node: InProcessNode) -> None:
    client = user(node, "+get", "+publish", "~a", "+auth")
    client("GET", "b")
    client("GET", "c")
    client("SET", "a", 1)
    client("PUBLISH", "x", 1)
    client("AUTH", "u", "wrong")
    stats = node("INFO", "stats").decode()
    counts = {"auth": 1, "cmd": 1, "key": 2, "channel": 1}
    assert [f"acl_access_denied_{name}:{count}" in stats for name, count in counts.items()] == [True] * 4
    assert b"errorstat_NOPERM:count=4" in node("INFO", "errorstats")
    assert b"errorstat_WRONGPASS:count=1" in node("INFO", "errorstats")
    assert b"cmdstat_get:calls=0,usec=0,usec_per_call=0.00,rejected_calls=2,failed_calls=0" in node(
        "INFO", "commandstats"
    )


def test_the_log_has_a_limit_and_can_be_forgotten(node: InProcessNode) -> None:
    node("CONFIG", "SET", "acllog-max-len", 2)
    client = user(node)
    for key in "abcd":
        client("GET", key)
        client("AUTH", key, key)
    assert [(entry[1], entry[7], entry[9]) for entry in node("ACL", "LOG")] == [(1, b"AUTH", b"d"), (4, b"get", b"u")]
    assert len(node("ACL", "LOG", 1)) == 1
    assert node("ACL", "LOG", "RESET") == b"OK"
    assert node("ACL", "LOG") == []


def test_the_slow_log_holds_no_rules(whole: WholeNode) -> None:
    whole.server.times.slow_ns = 0
    whole("ACL", "SETUSER", "u", ">secret")
    whole("ACL", "GETUSER", "u")
    entries = [entry[3] for entry in whole("SLOWLOG", "GET")]
    assert [b"ACL", b"SETUSER", b"(redacted)", b"(redacted)"] in entries
    assert [b"ACL", b"GETUSER", b"(redacted)"] in entries


def test_a_renamed_command_is_known_by_its_own_name(node: InProcessNode) -> None:
    node.server.table.rename("get", "fetch")
    client = user(node, "+get", "~a")
    assert client("FETCH", "a") is None
    assert node.error("ACL", "SETUSER", "u", "+fetch").endswith("Unknown command or category name in ACL")


# -- who is cut off ------------------------------------------------------------------------------------------------


def test_who_is_deleted_is_cut_off(whole: WholeNode) -> None:
    client, other = user(whole, "+@all"), user(whole, "+@all", name="v")
    assert whole("ACL", "DELUSER", "u") == 1
    assert whole.hung_up == [client.session]
    assert other("PING") == b"PONG"


def test_who_deletes_itself_hears_that_it_is_done(whole: WholeNode) -> None:
    client = user(whole, "+@all")
    assert client("ACL", "DELUSER", "u") == 1
    assert client.session.closing
    assert whole.hung_up == []


def test_who_listens_to_what_it_may_not_any_more_is_cut_off(whole: WholeNode) -> None:
    rules = ("+@all", "~*", "&a*", "&b", "&p*")
    listening = {
        words: user(whole, *rules) for words in (("SUBSCRIBE", "a1"), ("SSUBSCRIBE", "b"), ("PSUBSCRIBE", "p*"))
    }
    for words, client in listening.items():
        client(*words)
    quiet = user(whole, *rules)
    whole("ACL", "SETUSER", "u", "resetchannels", "&a1", "&b", "&p*")
    assert whole.hung_up == []
    whole("ACL", "SETUSER", "u", "resetchannels", "&a?", "&p?*")
    assert whole.hung_up == [listening["SSUBSCRIBE", "b"].session, listening["PSUBSCRIBE", "p*"].session]
    assert quiet("PING") == b"PONG"


def test_clients_are_killed_by_user(whole: WholeNode) -> None:
    client = user(whole, "+@all")
    assert whole.error("CLIENT", "KILL", "USER", "nobody") == "ERR No such user 'nobody'"
    assert whole("CLIENT", "KILL", "USER", "u") == 1
    assert whole.hung_up == [client.session]


# -- files and directives ------------------------------------------------------------------------------------------


def test_the_aclfile_is_loaded_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text("user reader on nopass ~* +@read\n")
    node = WholeNode(tmp_path, ("aclfile", str(path)))
    node.server.access.start()
    assert node("ACL", "USERS") == [b"default", b"reader"]
    node("ACL", "SETUSER", "writer", "on", ">x", "+set", "(~a +get)")
    assert node("ACL", "SAVE") == b"OK"
    lines = path.read_text().splitlines()
    assert lines == [line.decode() for line in node("ACL", "LIST")]
    path.write_text("\n".join(line for line in lines if "writer" not in line))
    assert node("ACL", "LOAD") == b"OK"
    assert node("ACL", "USERS") == [b"default", b"reader"]


def test_a_broken_aclfile_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text("user a on\n")
    node = WholeNode(tmp_path, ("aclfile", str(path)))
    node.server.access.start()
    path.write_text("user b on\nuser c foo\n")
    assert node.error("ACL", "LOAD") == (
        f"ERR {path}:2: Syntax error. WARNING: ACL errors detected, no change to the previously active ACL rules was "
        "performed"
    )
    path.unlink()
    assert node.error("ACL", "LOAD") == f"ERR Error loading ACLs, opening file '{path}': No such file or directory"
    assert node("ACL", "USERS") == [b"a", b"default"]
    node.server.config.replace("aclfile", str(tmp_path / "nosuch" / "users.acl"))
    assert node.error("ACL", "SAVE").startswith("ERR There was an error trying to save the ACLs.")


def test_acl_load_cuts_off_who_is_gone_or_may_not_listen(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text("user a on nopass +@all &*\nuser b on nopass +@all &*\nuser c on nopass +@all &*\n")
    node = WholeNode(tmp_path, ("aclfile", str(path)))
    node.server.access.start()
    clients = {name: node.connect() for name in "abc"}
    for name, client in clients.items():
        client("AUTH", name, "x")
        client("SUBSCRIBE", "news")
    path.write_text("user b on nopass +@all &other\nuser c on nopass +@all &news\n")
    node("ACL", "LOAD")
    assert node.hung_up == [clients["a"].session, clients["b"].session]


def test_user_lines_are_users() -> None:
    config = Configuration(parse_text("user a on >x ~k* (+set ~s)\nuser default off\nrequirepass y\n", "x.conf"))
    config.check()
    node = InProcessNode(*[("user", " ".join(words)) for words in config.user], ("requirepass", "y"))
    assert node.error("PING").startswith("NOAUTH")
    assert node.error("AUTH", "y") == WRONGPASS, "what a user line says holds"
    assert node("AUTH", "a", "x") == b"OK"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("user a on +nosuch", "'user a on +nosuch': Error in user declaration 'a': Unknown command or category name"),
        ("user a on\nuser a off", "2: 'user a off': Error in user declaration 'a': Duplicate user found."),
        ("user a (+get", "Error in user declaration 'a': Syntax error"),
        ('user "a b" on', "Usernames can't contain spaces or null characters"),
    ],
)
def test_user_lines_that_are_wrong_end_the_start(text: str, cause: str) -> None:
    node = InProcessNode()
    config = Configuration(parse_text(text, "x.conf"))
    with pytest.raises(ConfigError) as wrong:
        configured_users(config, node.server.table)
    assert cause in str(wrong.value)


def rewritten(path: Path, *commands: tuple[str, ...]) -> list[str]:
    """The `user` lines of a file after these commands and CONFIG REWRITE."""
    config = Configuration(parse_text(path.read_text(), str(path)))
    node = WholeNode(path.parent, *[("user", " ".join(words)) for words in config.user],
                     *([("requirepass", config.requirepass)] if config.requirepass else []))
    node.server.config.file_path = str(path)
    if config.requirepass:
        node("AUTH", config.requirepass)
    for command in commands:
        assert node(*command) == b"OK"
    assert node("CONFIG", "REWRITE") == b"OK"
    return [line for line in path.read_text().splitlines() if line.startswith("user ")]


def test_config_rewrite_writes_the_users(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("user old on +get\n")
    lines = rewritten(path, ("ACL", "SETUSER", "new", "on", ">x", "~a*", '~"q"'), ("ACL", "SETUSER", "old", "-get"))
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert lines == [
        "user default on nopass sanitize-payload ~* &* +@all",
        f'user new on sanitize-payload #{digest} ~a* "~\\"q\\"" resetchannels -@all',
        "user old on sanitize-payload resetchannels -@all -get",
    ]
    assert sorted(rewritten(path)) == lines, "what was written can be read"


def test_config_rewrite_leaves_a_file_alone_whose_requirepass_says_it_all(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text("requirepass a\n")
    assert rewritten(path, ("CONFIG", "SET", "requirepass", "b")) == []
    assert 'requirepass "b"' in path.read_text()


def test_new_users_may_use_channels_where_the_default_says_so(whole: WholeNode) -> None:
    whole("CONFIG", "SET", "acl-pubsub-default", "allchannels")
    whole("ACL", "SETUSER", "u")
    assert whole("ACL", "GETUSER", "u")[9] == b"&*"
    whole("CONFIG", "SET", "acl-pubsub-default", "resetchannels")
    whole("ACL", "SETUSER", "u", "reset")
    assert whole("ACL", "GETUSER", "u")[9] == b""


def test_passwords_that_are_made_up(node: InProcessNode) -> None:
    made = node("ACL", "GENPASS")
    assert len(made) == 64
    assert int(made, 16) >= 0
    assert node("ACL", "GENPASS") != made
    assert len(node("ACL", "GENPASS", 5)) == 2
    assert len(node("ACL", "GENPASS", 4)) == 1


def test_help_names_every_subcommand(node: InProcessNode) -> None:
    text = b"\n".join(node("ACL", "HELP"))
    assert [name for name in node.server.table.commands["acl"].subcommands if name.upper() not in text] == []
