"""When two replies count as the same.

Nearly always when they are equal, kind and text. What is declared here is all that may differ, and why.
"""

from __future__ import annotations

from collections.abc import Callable

from cluster.keyspace.digest import value_digest
from cluster.persistence.rdb_reader import load_payload
from tests.differential.grammar import Command
from tests.differential.resp import Reply

Same = Callable[[Reply, Reply], bool]

CLOCK_SLACK_MS = 2000
"""The two servers run a command some moments apart."""


def _in_any_order(ours: Reply, theirs: Reply) -> bool:
    return ours.kind == theirs.kind and _sorted(ours.value) == _sorted(theirs.value)


def _sorted(value: object) -> object:
    return sorted(value, key=repr) if isinstance(value, tuple) else value


def _about(slack: int) -> Same:
    def same(ours: Reply, theirs: Reply) -> bool:
        if ours.kind != ":" or theirs.kind != ":":
            return ours == theirs
        one, other = int(str(ours.value, "ascii")), int(str(theirs.value, "ascii"))  # type: ignore[call-overload]
        # -1 and -2 are answers, not times.
        return bool(one == other or (min(one, other) >= 0 and abs(one - other) <= slack))

    return same


def _each_about(slack: int) -> Same:
    """The same of an array of times."""
    about = _about(slack)

    def same(ours: Reply, theirs: Reply) -> bool:
        if not isinstance(ours.value, tuple) or not isinstance(theirs.value, tuple):
            return ours == theirs
        return len(ours.value) == len(theirs.value) and all(map(about, ours.value, theirs.value))

    return same


def _scan(ours: Reply, theirs: Reply) -> bool:
    """Elements in any order, and the cursor where both are at the end."""
    if ours.kind != "*" or theirs.kind != "*":
        return ours == theirs
    return _random_scores(ours.value[1], theirs.value[1])  # type: ignore[index]


def _doubles(ours: Reply, theirs: Reply) -> bool:
    """Scores are numbers: 7.2 prints the shortest text that reads back the same, 7.0 seventeen digits."""
    if isinstance(ours.value, tuple) and isinstance(theirs.value, tuple):
        return (
            ours.kind == theirs.kind
            and len(ours.value) == len(theirs.value)
            and all(one == other or _doubles(one, other) for one, other in zip(ours.value, theirs.value, strict=True))
        )
    if ours.kind != theirs.kind or ours.kind not in "$,":
        return False
    try:
        return float(ours.value) == float(theirs.value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _random_scores(ours: Reply, theirs: Reply) -> bool:
    return ours.kind == theirs.kind and sorted(_numbers(ours), key=repr) == sorted(_numbers(theirs), key=repr)


def _numbers(reply: Reply) -> list[object]:
    """The items of an array, scores read as numbers."""
    if not isinstance(reply.value, tuple):
        try:
            return [float(reply.value)]  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return [reply.value]
    return [_numbers(item) for item in reply.value]


def _lpos(ours: Reply, theirs: Reply) -> bool:
    """A RANK that has no positive counterpart is refused since 7.2; 7.0 finds nothing, or anything."""
    passed = theirs.kind != "-" or _text(theirs).startswith(b"WRONGTYPE")
    return passed and ours.kind == "-" and "value must between" in str(ours.value)


def _bits(ours: Reply, theirs: Reply) -> bool:
    """Since 7.2 the arguments are looked at before the key; test_newer_commands.py compares with that."""
    return ours.kind == "-" and (theirs.kind == ":" or _text(theirs).startswith(b"WRONGTYPE"))


def _timeout(ours: Reply, theirs: Reply) -> bool:
    """One of more milliseconds than fit is called so since 7.2; for 7.0 it goes round and is negative."""
    return ours.kind == theirs.kind == "-" and (_text(ours), _text(theirs)) == (
        b"ERR timeout is out of range", b"ERR timeout is negative"
    )


def _popped(ours: Reply, theirs: Reply) -> bool:
    return _doubles(ours, theirs) or _timeout(ours, theirs)


def _xsetid(ours: Reply, theirs: Reply) -> bool:
    """Since 7.2 the last id does not go below what was deleted; 7.0 asks other questions, or none."""
    return ours.kind == "-" and "current max_deleted_entry_id" in str(ours.value)


def _unbalanced(ours: Reply, theirs: Reply) -> bool:
    """The text names the command since 7.2."""
    return ours.kind == theirs.kind == "-" and all(b"Unbalanced" in _text(one) for one in (ours, theirs))


def _text(reply: Reply) -> bytes:
    return reply.value if isinstance(reply.value, bytes) else b""


def _pending(ours: Reply, theirs: Reply) -> bool:
    """Entry by entry the third item is a time; the summary's is an id."""

    def timeless(reply: Reply) -> object:
        if not isinstance(reply.value, tuple) or any(item.kind != "*" for item in reply.value):
            return reply
        return [[item.value[0], item.value[1], item.value[3]] for item in reply.value]

    return timeless(ours) == timeless(theirs)


_NEW_OF_CONSUMERS = ("inactive", "active-time")
_TIMES = ("idle", "seen-time")
_INDEX = ("radix-tree-keys", "radix-tree-nodes")
"""Trimming by MINID may leave redis-server a node with nothing alive in it, which it would refuse to load."""
_LAG = "lag"
"""Which redis-server tells otherwise since 7.4 where a stream is empty, or a group behind its beginning; the tests of
newer commands compare it."""


def _stream_info(ours: Reply, theirs: Reply) -> bool:
    """Times aside, and consumers that hold nothing: 7.2 makes them when they first ask, 7.0 when they first get."""
    return _described(ours) == _described(theirs)


def _described(reply: Reply) -> object:
    value = reply.value
    if not isinstance(value, tuple):
        return reply
    if reply.kind == "%":
        fields = {key.value.decode(): item for key, item in value}
    elif value and value[0].value in (b"length", b"name"):
        fields = {key.value.decode(): item for key, item in zip(value[::2], value[1::2], strict=True)}
    else:
        found = [_described(item) for item in value]
        return [one for one in found if not isinstance(one, dict) or one.get("holds", 1)]
    shown = {
        name: _deliveries(item) if name == "pending" else _described(item)
        for name, item in fields.items()
        if name not in (*_NEW_OF_CONSUMERS, *_TIMES, *_INDEX, _LAG) and not (name == "consumers" and item.kind == ":")
    }
    if set(_TIMES) & set(fields):
        held = fields["pending"] if fields["pending"].kind == ":" else fields["pel-count"]
        shown["holds"] = int(held.value)
    return shown


def _deliveries(reply: Reply) -> object:
    """Pending entries without the time of their delivery, which is the last but one."""
    if not isinstance(reply.value, tuple):
        return reply
    return [(*item.value[:-2], item.value[-1]) for item in reply.value]


def _group_change(ours: Reply, theirs: Reply) -> bool:
    """XGROUP CREATECONSUMER: the consumer may be there already, since 7.2 makes it when it first asks."""
    return (ours.kind, ours.value, theirs.kind, theirs.value) == (":", b"0", ":", b"1")


def is_in_7_0(command: Command) -> bool:
    """Whether redis-server 7.0 knows all of the command, and takes what 7.2 takes."""
    if command[0] == b"LPOS":
        return b"-9223372036854775808" not in command
    return command[0] not in (b"ZRANK", b"ZREVRANK") or len(command) == 3


def _rank(ours: Reply, theirs: Reply) -> bool:
    """WITHSCORE is new in 7.2."""
    return theirs.kind == "-" and b"wrong number of arguments" in _text(theirs)


def _value_of(reply: Reply) -> bytes | None:
    """What DUMP's answer holds; None for nothing."""
    if reply.value is None:
        return None
    assert isinstance(reply.value, bytes)
    return value_digest(load_payload(reply.value), None)


def _dump(ours: Reply, theirs: Reply) -> bool:
    """The same value, in the newer format of 7.2."""
    return ours.kind == theirs.kind == "$" and _value_of(ours) == _value_of(theirs)


def _some(ours: Reply, theirs: Reply) -> bool:
    """One of many, or none on either side."""
    return ours.kind == theirs.kind and (ours.value is None) == (theirs.value is None)


def _some_bytes(ours: Reply, theirs: Reply) -> bool:
    """Either takes memory its own way."""
    return ours.kind == theirs.kind == ":" and ours.value != b"0"


def _is_help(reply: Reply) -> bool:
    return isinstance(reply.value, tuple) and all(item.kind == "+" for item in reply.value) and len(reply.value) > 2


SCORES = [
    b"ZADD", b"ZINCRBY", b"ZSCORE", b"ZMSCORE", b"ZRANGE", b"ZREVRANGE", b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE",
    b"ZPOPMIN", b"ZPOPMAX", b"ZMPOP", b"ZUNION", b"ZINTER", b"ZDIFF",
]  # fmt: skip

RULES: dict[bytes, Same] = {
    # Their order is each server's own.
    **dict.fromkeys([b"KEYS", b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"HKEYS", b"HVALS"], _in_any_order),
    **dict.fromkeys([b"HGETALL", b"HRANDFIELD", b"SRANDMEMBER", b"SPOP"], _in_any_order),
    b"ZRANDMEMBER": _random_scores,
    **dict.fromkeys(SCORES, _doubles),
    **dict.fromkeys([b"SCAN", b"SSCAN", b"HSCAN", b"ZSCAN"], _scan),
    b"ZRANK": _rank,
    b"ZREVRANK": _rank,
    b"DUMP": _dump,
    b"RANDOMKEY": _some,
    b"LPOS": _lpos,
    b"BITCOUNT": _bits,
    b"BITPOS": _bits,
    **dict.fromkeys([b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP"], _timeout),
    **dict.fromkeys([b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP"], _popped),
    b"XSETID": _xsetid,
    b"XREAD": _unbalanced,
    b"XREADGROUP": _unbalanced,
    b"XPENDING": _pending,
    b"XINFO": _stream_info,
    b"XGROUP": _group_change,
    b"HTTL": _each_about(2),
    b"HEXPIRETIME": _each_about(2),
    b"HPTTL": _each_about(CLOCK_SLACK_MS),
    b"HPEXPIRETIME": _each_about(CLOCK_SLACK_MS),
    b"TTL": _about(2),
    b"EXPIRETIME": _about(2),
    b"PTTL": _about(CLOCK_SLACK_MS),
    b"PEXPIRETIME": _about(CLOCK_SLACK_MS),
    b"OBJECT": _about(2),
    b"MEMORY": _some_bytes,
}


CALLERS = (b"FCALL", b"FCALL_RO", b"EVAL", b"EVAL_RO")


def same(command: Command, ours: Reply, theirs: Reply) -> bool:
    """Whether redis-server's reply and ours tell a client the same."""
    if ours == theirs:
        return True
    if command[0] in CALLERS:  # what counts is what is called
        command = command[3:]
    if command[-1].upper() == b"HELP":
        return _is_help(ours) and _is_help(theirs)  # the words are our own
    rule = RULES.get(command[0].upper())
    return rule is not None and rule(ours, theirs)
