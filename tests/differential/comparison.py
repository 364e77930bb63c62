"""When two replies count as the same.

Nearly always when they are equal, kind and text. What is declared here is all that may differ, and why.
"""

from __future__ import annotations

from collections.abc import Callable

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
    """A RANK that has no positive counterpart is refused since 7.2; 7.0 finds nothing."""
    return theirs.kind in "$_" and ours.kind == "-" and "value must between" in str(ours.value)


def _xsetid(ours: Reply, theirs: Reply) -> bool:
    """Since 7.2 the last id does not go below what was deleted; 7.0 asks other questions, or none."""
    return ours.kind == "-" and "current max_deleted_entry_id" in str(ours.value)


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
    b"LPOS": _lpos,
    b"XSETID": _xsetid,
    b"TTL": _about(2),
    b"EXPIRETIME": _about(2),
    b"PTTL": _about(CLOCK_SLACK_MS),
    b"PEXPIRETIME": _about(CLOCK_SLACK_MS),
    # The seconds since the last use are kept under an LRU policy only.
    b"OBJECT": lambda ours, theirs: ours.kind == theirs.kind and (ours.kind == ":" or ours == theirs),
}


def same(command: Command, ours: Reply, theirs: Reply) -> bool:
    """Whether redis-server's reply and ours tell a client the same."""
    if ours == theirs:
        return True
    rule = RULES.get(command[0].upper())
    return rule is not None and rule(ours, theirs)
