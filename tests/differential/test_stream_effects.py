"""What commands of streams tell replicas: line by line what redis-server tells its own."""

from __future__ import annotations

from tests.differential.effects_feed import EffectsFeed
from tests.differential.machine import Pair

LINES = """
XADD s 1-1 f v
XADD s 1-* f v
XADD s NOMKSTREAM 1-3 f v
XADD none NOMKSTREAM 1-3 f v
XTRIM s MINID ~ 5
XADD s 1-4 f v
XADD s 1-5 f v
XADD s 1-6 f v
XADD s 1-7 f v
XADD s MAXLEN ~ 2 1-8 f v
XADD s MAXLEN ~ 0 LIMIT 2 1-9 f v
XADD s MAXLEN = 4 1-10 f v
XADD s MINID ~ 1-9 1-11 f v
XTRIM s MAXLEN ~ 100
XTRIM s MAXLEN 3
XTRIM s MAXLEN 3
XADD s MINID ~ 9 1-12 f v
XDEL s 1-1
XADD s 1-13 f v
XADD s 1-14 f v
XDEL s 1-13 1-13
XSETID s 1-20 ENTRIESADDED 20
XADD s 1-21 f v
XADD s 1-22 f v
XADD s 1-23 f v
XGROUP CREATE s g 0 MKSTREAM
XGROUP CREATE s g 0
XGROUP CREATE t g $ MKSTREAM
XGROUP CREATE s g2 $ ENTRIESREAD 5
XGROUP SETID s g2 1-14
XREADGROUP GROUP g c STREAMS s 0
XREADGROUP GROUP g c COUNT 2 STREAMS s t > >
XREADGROUP GROUP g c STREAMS s 0
XREADGROUP GROUP g n NOACK COUNT 1 STREAMS s >
XREADGROUP GROUP g2 n NOACK STREAMS s >
XREADGROUP GROUP g n STREAMS s >
XREADGROUP GROUP g n STREAMS s >
XACK s g 1-23 1-99
XACK s g 1-23
XCLAIM s g z 0 1-14 1-21
XCLAIM s g z 0 1-14 JUSTID
XCLAIM s g y 0 1-99
XCLAIM s g y 0 1-99 FORCE
XCLAIM s g y 0 1-22 FORCE RETRYCOUNT 3 LASTID 1-99
XCLAIM s g y 1000000 1-22 LASTID 2-1
XDEL s 1-21
XCLAIM s g y 0 1-21
XDEL s 1-22
XAUTOCLAIM s g aa 0 0
XAUTOCLAIM s g ab 0 0 COUNT 1
XAUTOCLAIM s g ab 1000000 0
XGROUP CREATECONSUMER s g ac
XGROUP CREATECONSUMER s g ac
XGROUP DELCONSUMER s g ac
XGROUP DELCONSUMER s g ac
XGROUP DESTROY s g
XGROUP DESTROY s g
XREAD STREAMS s 0
COPY s copy
RENAME copy copy2
""".strip().splitlines()


def timeless(command: list[bytes]) -> list[bytes]:
    return [b"TIME" if before == b"TIME" else word for before, word in zip([b"", *command], command, strict=False)]


def is_ours_alone(effect: list[bytes]) -> bool:
    """What makes a replica as exact as 7.2 makes it and 7.0 does not: how many entries a group has read, which XCLAIM
    cannot tell, and consumers that asked and got nothing."""
    return effect[:2] in ([b"XGROUP", b"SETID"], [b"XGROUP", b"CREATECONSUMER"])


def test_replicas_are_told_the_same(pair: Pair) -> None:
    pair.begin(2)
    wrong = {}
    with EffectsFeed(pair.oracle) as feed:
        for line in LINES:
            pair.node.effects.clear()
            pair.both(line.encode().split())
            ours = [timeless(one) for one in pair.node.effects if one[0] not in (b"MULTI", b"EXEC")]
            theirs = [timeless(one) for one in feed.since_last()]
            if [one for one in ours if one in theirs or not is_ours_alone(one)] != theirs:
                wrong[line] = ours, theirs
    assert wrong == {}
