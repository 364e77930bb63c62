"""Scripts come to the same as in redis-server 8.2: the language, conversions, the libraries, the errors."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair
from tests.newer_server import newer_server

SCRIPTS = Path(__file__).parent.parent / "scripting"
RANDOM_SCRIPTS = 300
_SHA = re.compile(rb"[0-9a-f]{40}")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    pair = ServerPair(tmp_path_factory.mktemp("scripts"), cluster=False, program=newer_server())
    for line in ("SET str x", "HSET h a 1 b 2", "SADD s a b", "ZADD z 1.5 a"):
        pair.both(line.encode().split())
    yield pair
    pair.close()


def shown(reply: Reply) -> object:
    """Comparable, with sets in any order, as what a script iterates over has none."""
    if isinstance(reply.value, list):
        items = [shown(item) if isinstance(item, Reply) else tuple(map(shown, item)) for item in reply.value]
        return reply.kind, sorted(items, key=repr) if reply.kind in "~%" else items
    return reply.kind, reply.value


def differences(pair: ServerPair, scripts: list[str]) -> dict[str, tuple[object, object]]:
    wrong: dict[str, tuple[object, object]] = {}
    for script in scripts:
        ours, theirs = map(shown, pair.both([b"EVAL", script.encode(), b"0"]))
        if ours != theirs:
            wrong[script] = ours, theirs
    return wrong


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("name", ["language", "libraries"])
def test_scripts_come_to_the_same(newer: ServerPair, name: str, resp: int) -> None:
    newer.begin(resp)
    assert differences(newer, (SCRIPTS / f"{name}.txt").read_text().splitlines()) == {}


NUMBERS = (
    "0", "-0", "1", "-1", "0.5", "1.5", "2.5", "-2.5", "127", "128", "255", "256", "65535", "65536", "2^31", "2^31-1",
    "-2^31", "2^32", "2^53", "2^53+1", "-2^53", "2^63", "-2^63", "2^64", "1e15", "1e16", "1e17", "1e21", "1e22",
    "1e100", "1e-5", "1e-7", "0.1", "1/3", "123456.789", "1/0", "-1/0", "1e308*10", "5e-324", "100000000000000000000",
)  # fmt: skip
STRINGS = ("''", "'a'", "'1'", "'1.5'", "' 1'", "'\\0x'", "'\\255'", "'\\\"'", "('x'):rep(40)", "('y'):rep(300)")


def value(rng: random.Random, depth: int = 0) -> str:
    """An expression of Lua."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(STRINGS)
    if kind == 4:
        return rng.choice(("true", "false", "cjson.null"))
    if kind == 5:
        return "{}"
    items = [value(rng, depth + 1) for _ in range(rng.randrange(1, 5))]
    if kind == 6:
        return f"{{[{rng.choice(('1', '2', '3', '5', '1.5', chr(39) + 'k' + chr(39)))}]={items[0]}}}"
    if kind == 7:
        return "{" + rng.choice(("ok", "err", "double", "map", "set", "big_number", "k")) + f"={items[0]}}}"
    return "{" + ",".join(items) + "}"


TEMPLATES = (
    "return {0}",
    "return cjson.encode({0})",
    "return cmsgpack.pack({0})",
    "return cjson.encode(cjson.decode(cjson.encode({0})))",
    "return cmsgpack.unpack(cmsgpack.pack({0}))",
    "return tostring({n})",
    "return {{bit.tobit({n}), bit.band({n},{m}), bit.bxor({n},{m}), bit.lshift({n},{m}), bit.arshift({n},{m})}}",
    "return {{bit.rol({n},{m}), bit.ror({n},{m}), bit.tohex({n}), bit.bswap({n}), bit.rshift({n},{m})}}",
    "return struct.pack('{f}', {n}, {m})",
    "return {{struct.unpack('{f}', struct.pack('{f}', {n}, {m}))}}",
    "redis.call('set', 'n', {n}) return redis.call('get', 'n')",
    "return redis.pcall('incrbyfloat', 'counter', {n})",
    "return redis.call('lpush', {s}, {n}, {s}) + redis.call('del', {s})",
    "return string.format('%d %g %s', {n}, {m}, {s})",
    "return {{pcall(redis.call, {s}, {0})}}",
    "error({e})",
    "return redis.error_reply({s})",
    "return #{s} + {n}",
    "redis.setresp(3) return {0}",
)  # fmt: skip
FORMATS = (">hh", "<bB", "!4 b i4", ">I4 I4", "dd", "<f d", "lL", "!8 h d", "i3 I5", ">i8 I8", "x h x H")


def random_script(rng: random.Random) -> str:
    return rng.choice(TEMPLATES).format(
        value(rng), n=f"({rng.choice(NUMBERS)})", m=f"({rng.choice(NUMBERS)})", s=rng.choice(STRINGS),
        f=rng.choice(FORMATS), e=value(rng).replace("cjson.null", "nil"),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_random_scripts_come_to_the_same(newer: ServerPair, seed: int) -> None:
    newer.begin(2 + seed % 2)
    rng = random.Random(seed)
    assert differences(newer, [random_script(rng) for _ in range(RANDOM_SCRIPTS)]) == {}
