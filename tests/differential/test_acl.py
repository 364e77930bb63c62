"""Access control as redis-server has it: rules make the same users, and these may do the same.

redis-server 7.0 puts the rules about commands into an order of its own, and words most refusals otherwise than 7.2, so
what is said is compared with 8.2, and what is allowed with both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair
from tests.newer_server import newer_server

_COMMANDS = (
    "get", "set", "mget", "mset", "del", "getex", "select", "object", "object|encoding", "client", "client|id",
    "client|kill", "config|get", "acl|whoami", "publish", "spublish", "subscribe", "sort", "eval", "ping", "auth",
    "GET", "Client|Id", "nosuch", "client|nosuch", "config|", "|", "", "get|a", "select|0", "select|1", "SELECT|A",
    "config|get|a", "memory", "xgroup|create", "copy", "bitfield", "lmove",
)  # fmt: skip
_CATEGORIES = (
    "all", "read", "write", "keyspace", "string", "list", "hash", "set", "sortedset", "stream", "pubsub", "admin",
    "fast", "slow", "dangerous", "connection", "transaction", "scripting", "bitmap", "hyperloglog", "geo", "READ",
    "nosuch", "",
)  # fmt: skip
_PATTERNS = ("*", "a*", "b", "a[bc]", "?", "", "a b", "**", "\\*", "ab*c", "A*")
_PASSWORDS = ("p", "q", "", "p q")
_HASHES = ("0" * 64, "a" * 64, "A" * 64, "0" * 63, "")
_WORDS = (
    "on", "off", "nopass", "resetpass", "reset", "clearselectors", "sanitize-payload", "skip-sanitize-payload",
    "allkeys", "resetkeys", "allchannels", "resetchannels", "allcommands", "nocommands", "ON", "AllKeys", "", "foo",
    "(", ")", "()", "%", "%R", "%RW", "+", "-", "+@", "~", "&", ">", "<",
)  # fmt: skip

_about_commands = st.one_of(
    st.tuples(st.sampled_from("+-"), st.sampled_from(_COMMANDS)).map("".join),
    st.tuples(st.sampled_from(("+@", "-@")), st.sampled_from(_CATEGORIES)).map("".join),
)
_about_keys = st.one_of(
    st.tuples(
        st.sampled_from(("~", "%R~", "%W~", "%RW~", "%wr~", "%r~", "%X~", "%RR~", "%~")), st.sampled_from(_PATTERNS)
    ).map("".join),
    st.tuples(st.just("&"), st.sampled_from(_PATTERNS)).map("".join),
)
_about_passwords = st.one_of(
    st.tuples(st.sampled_from("><"), st.sampled_from(_PASSWORDS)).map("".join),
    st.tuples(st.sampled_from("#!"), st.sampled_from(_HASHES)).map("".join),
)
_of_selectors = st.one_of(_about_commands, _about_keys, st.sampled_from(_WORDS))
_selectors = st.lists(_of_selectors, max_size=4).map(lambda rules: f"({' '.join(rules)})")
_rules = st.one_of(_about_commands, _about_keys, _about_passwords, st.sampled_from(_WORDS), _selectors)
_SENSIBLE = (
    "~a*", "~b*", "%R~r*", "%W~w*", "%RW~x*", "%R~*", "allkeys", "&a*", "&b*", "&c", "allchannels", "resetchannels",
    "+@all", "+@read", "+@write", "-@dangerous", "-@admin", "-@slow", "-@fast", "+@string", "-@string", "+@pubsub",
    "+get", "-get", "+set", "-set", "+mget", "+config|get", "-config|get", "-config", "+client|id", "-client|id",
    "+select|0", "-select", "+select", "+eval", "+multi", "+exec", "+sort", "+publish", "+psubscribe", "+copy",
    "(~b* +set)", "(~r* +@all)", "(%R~w* +get +mget)", "(allkeys +mget)", "(&c +@all)", "(+@read ~x*)", "resetkeys",
)  # fmt: skip
_sensible = st.lists(st.sampled_from(_SENSIBLE), min_size=1, max_size=8)

LINES = """
GET a
GET r1
GET w1
SET a 1
SET r1 1
SET w1 1
SET x1 1 GET
SET w1 1 GET
SET b 1
MGET a r1
MGET a b
MSET a 1 b 2
MSET w1 1 x1 2
DEL r1
DEL w1 x1
EXISTS w1 r1
GETEX a EX 10
GETDEL r1
COPY r1 w1
COPY w1 r1
RENAME x1 x2
SORT a
SORT a BY w* GET x*
SORT a GET #
SORT a STORE w1
SORT_RO r1 BY x*
BITFIELD r1 GET u8 0
BITFIELD r1 SET u8 0 1
BITFIELD_RO r1 GET u8 0
LMOVE r1 w1 LEFT LEFT
LMPOP 2 a b LEFT
ZUNIONSTORE w1 2 r1 x1
ZUNIONSTORE r1 1 r2
XREADGROUP GROUP g c STREAMS a >
XREAD STREAMS r1 0
OBJECT ENCODING r1
OBJECT FREQ w1
OBJECT HELP
MEMORY USAGE w1
STRLEN w1
TYPE w1
TTL w1
EXPIRE r1 100
PERSIST w1
PFCOUNT r1
PFADD w1 x
GEOSEARCHSTORE w1 r1 FROMLONLAT 0 0 BYRADIUS 1 m
GEORADIUS r1 0 0 1 m STORE w1
WATCH w1
EVAL return\u00a01 1 a
EVAL_RO return\u00a01 1 r1
EVAL return\u00a01 0
PUBLISH a 1
PUBLISH b 1
PUBLISH c 1
SPUBLISH a 1
CONFIG GET maxmemory
CONFIG RESETSTAT
CLIENT ID
CLIENT GETNAME
CLIENT NO-EVICT off
ACL WHOAMI
ACL CAT
SELECT 0
SELECT 1
PING
ECHO a
DBSIZE
FLUSHALL
KEYS *
SCAN 0
MULTI
EXEC
DISCARD
UNWATCH
AUTH x
RESET
LPUSH w1 a
LRANGE r1 0 -1
SINTERCARD 1 r1
ZADD w1 1 a
INCR x1
APPEND w1 a
SETRANGE w1 0 a
DUMP r1
RESTORE w1 0 x
MIGRATE h 1 r1 0 1
TOUCH w1
SWAPDB 0 1
SUBSCRIBE a
SUBSCRIBE a b
PSUBSCRIBE a*
PSUBSCRIBE a
SSUBSCRIBE a
UNSUBSCRIBE b
""".strip().splitlines()
_TALKING = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "RESET", "AUTH", "FLUSHALL", "MIGRATE", "SCAN"}
"""Commands that are only asked about: they change how the connection is talked to, or what is there."""


def words(line: str) -> list[bytes]:
    return [word.replace("\u00a0", " ").encode() for word in line.split(" ")]


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """With a redis-server 8.2."""
    pair = ServerPair(tmp_path_factory.mktemp("newer"), cluster=False, program=newer_server())
    yield pair
    pair.close()


def start(pair: ServerPair, resp: int = 2) -> None:
    pair.begin(resp)
    pair.both([b"ACL", b"DELUSER", b"u", b"v"])


def set_user(pair: ServerPair, rules: list[str]) -> tuple[Reply, Reply]:
    return pair.both([b"ACL", b"SETUSER", b"u", *(rule.encode() for rule in rules)])


@given(batches=st.lists(st.lists(_rules, max_size=4), min_size=1, max_size=3), resp=st.sampled_from((2, 3)))
def test_rules_make_the_same_user(newer: ServerPair, batches: list[list[str]], resp: int) -> None:
    start(newer, resp)
    for rules in batches:
        ours, theirs = set_user(newer, rules)
        assert ours == theirs, rules
    for command in ((b"ACL", b"GETUSER", b"u"), (b"ACL", b"LIST"), (b"ACL", b"USERS")):
        ours, theirs = newer.both(command)
        assert ours == theirs, batches


def _unnamed(reply: Reply) -> object:
    """Without what 7.2 words otherwise: the name of the user."""
    text = reply.value.decode() if isinstance(reply.value, bytes) else str(reply.value)
    return re.sub(r"^(This user|User \S+) ", "", text)


@given(batches=st.lists(_sensible, min_size=1, max_size=3))
def test_users_may_run_the_same(alone: ServerPair, batches: list[list[str]]) -> None:
    start(alone)
    for rules in batches:
        set_user(alone, rules)
    wrong = {}
    for line in LINES:
        ours, theirs = alone.both([b"ACL", b"DRYRUN", b"u", *words(line)])
        if _unnamed(ours) != _unnamed(theirs):
            wrong[line] = ours, theirs
    assert wrong == {}


@given(batches=st.lists(_sensible, min_size=1, max_size=3))
def test_a_line_of_the_list_makes_the_same_user_again(alone: ServerPair, batches: list[list[str]]) -> None:
    """redis-server 7.0 shows the rules about commands in an order of its own, so it is to read ours."""
    start(alone)
    for rules in batches:
        set_user(alone, rules)
    lines, _ = alone.both([b"ACL", b"LIST"])
    assert isinstance(lines.value, tuple)
    line = next(one.value for one in lines.value if one.value.startswith(b"user u "))
    assert alone.oracle(b"ACL", b"SETUSER", b"v", *line.split(b" ")[2:]).value == b"OK"
    again, original = alone.oracle(b"ACL", b"GETUSER", b"v"), alone.oracle(b"ACL", b"GETUSER", b"u")
    assert isinstance(again.value, tuple)
    assert isinstance(original.value, tuple)
    assert again.value[3:] == original.value[3:]  # but for sanitize-payload, which 7.0 shows only when it is said


@given(rules=_sensible, lines=st.lists(st.sampled_from(LINES), max_size=12), in_script=st.booleans())
def test_refusals_read_the_same(newer: ServerPair, rules: list[str], lines: list[str], in_script: bool) -> None:
    start(newer)
    newer.both([b"FLUSHALL"])
    newer.both([b"ACL", b"LOG", b"RESET"])
    set_user(newer, ["on", "nopass", "+auth", *rules])
    newer.both([b"AUTH", b"u", b"x"])
    for line in lines:
        if line.partition(" ")[0] in _TALKING:
            continue
        command = words(line)
        if in_script and command[0] not in (b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"EVAL", b"EVAL_RO"):
            script = b"local r = redis.pcall(unpack(ARGV)); return type(r) == 'table' and r.err or 1"
            command = [b"EVAL", script, b"0", *command]
        ours, theirs = newer.both(command)
        if "NOPERM" in str(theirs.value) + str(ours.value) or "ACL failure" in str(theirs.value):
            assert ours == theirs, line
    newer.both([b"RESET"])
    assert _logged(newer.both([b"ACL", b"LOG", b"100"])[0]) == _logged(newer.oracle(b"ACL", b"LOG", b"100"))


def _logged(log: Reply) -> list[list[object]]:
    """What was denied; without times, and what 8.2 tells more of clients."""
    assert isinstance(log.value, tuple)
    return [[item.value for item in entry.value[:10]] for entry in log.value]


@pytest.mark.parametrize("resp", [2, 3])
def test_replies_about_users(newer: ServerPair, resp: int) -> None:
    start(newer, resp)
    for line in (
        "ACL CAT", "ACL CAT nosuch", "ACL CAT a b", "ACL WHOAMI", "ACL USERS", "ACL LIST", "ACL GETUSER nobody",
        "ACL GETUSER", "ACL DELUSER nobody u", "ACL DELUSER default", "ACL SETUSER", "ACL SETUSER a\u00a0b on",
        "ACL DRYRUN nobody GET", "ACL DRYRUN default nosuch", "ACL DRYRUN default GET", "ACL DRYRUN default ACL",
        "ACL DRYRUN default ACL nosuch", "ACL DRYRUN default GET a", "ACL GENPASS 0", "ACL GENPASS 4097",
        "ACL GENPASS x", "ACL GENPASS 1 2", "ACL LOG x", "ACL LOG 1 2", "ACL LOG -1", "ACL LOG RESET", "ACL LOG",
        "ACL LOAD", "ACL SAVE", "ACL nosuch", "ACL", "AUTH a b", "AUTH a", "AUTH a b c", "HELLO 3 AUTH a b",
        "CLIENT KILL USER nobody", "ACL SETUSER u (+get", "ACL SETUSER u on >p ~* +@all", "AUTH u p", "ACL WHOAMI",
        "AUTH u q", "ACL WHOAMI", "AUTH default q",
    ):  # fmt: skip
        ours, theirs = newer.both(words(line))
        assert ours == theirs, line


def test_the_commands_of_categories(newer: ServerPair) -> None:
    """ACL CAT names the subcommands, too; of what there is here, the same ones."""
    start(newer)
    categories, _ = newer.both([b"ACL", b"CAT"])
    found = {name: newer.both([b"ACL", b"CAT", name]) for name in _items(categories)}
    here = _items(found[b"slow"][0]) | _items(found[b"fast"][0])
    assert b"client|kill" in here
    for name, (ours, theirs) in found.items():
        assert _items(ours) == _items(theirs) & here, name


def _items(reply: Reply) -> set[bytes]:
    assert isinstance(reply.value, tuple)
    return {one.value for one in reply.value}


def test_entries_of_the_log(newer: ServerPair, tmp_path: Path) -> None:
    start(newer, 3)
    newer.both([b"ACL", b"LOG", b"RESET"])
    for _ in range(2):
        newer.both([b"AUTH", b"nobody", b"x"])
    ours, theirs = newer.both([b"ACL", b"LOG"])
    assert isinstance(ours.value, tuple)
    assert isinstance(theirs.value, tuple)
    (our_entry,), (their_entry,) = ours.value, theirs.value
    assert our_entry.kind == their_entry.kind == "%"
    assert [(key.value, item.kind) for key, item in our_entry.value] == [
        (key.value, item.kind) for key, item in their_entry.value
    ]
    assert our_entry.value[:5] == their_entry.value[:5]
