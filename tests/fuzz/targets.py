"""What reads bytes that others wrote, as functions from bytes to an outcome, and real inputs for each.

An outcome is TAKEN or REFUSED: refused with the one error class of that layer, or with a reply that is Redis's error.
What is taken has to be of use, too: a message can be sent on, a state makes a core that runs, a value can be read,
dumped and deleted. Any other exception is a fault, and so is a wrong reply (AssertionError).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import NamedTuple

import hiredis

from bus import events
from bus.auth import LinkHandshake
from bus.core import BusCore
from bus.events import BusConfig
from bus.frames import FRAME_LIMIT_BYTES, FrameError, FrameReader, Joiner, decode, encode, pack
from bus.nodes_conf import NodesConfError, parse_state, render_nodes, render_state
from cluster.config.errors import ConfigError
from cluster.config.quoting import quote
from cluster.config.redis_conf import parse_file
from cluster.config.rewrite import rewrite
from cluster.config.store import Configuration
from cluster.config.yaml_config import node_settings, parse_cluster_yaml
from cluster.protocol.requests import (
    INLINE_LIMIT_BYTES,
    UNAUTHENTICATED_BULK_LIMIT_BYTES,
    UNAUTHENTICATED_MULTIBULK_LIMIT,
)
from tests.commands.in_process import Client, InProcessNode
from tests.fuzz import inputs
from tests.persistence import corruption, old_payloads

TAKEN, REFUSED = "taken", "refused"
WALL_MS = 1_700_000_000_000
MOST_BEFORE_LOGIN = 2 * INLINE_LIMIT_BYTES + UNAUTHENTICATED_MULTIBULK_LIMIT * UNAUTHENTICATED_BULK_LIMIT_BYTES
_CLIENT_ID = re.compile(rb"\$2\r\nid\r\n:\d+")


def _one_line(error: Exception) -> str:
    assert str(error).replace("\t", " ").isprintable()
    assert len(str(error)) < 3000
    return REFUSED


class Target(NamedTuple):
    """`steps` and `steps_per_byte`: so many lines of the product's code an input may run. `strange` are pieces that
    this kind of input has at its edges."""

    name: str
    read: Callable[[bytes], str]
    seeds: Sequence[bytes]
    strange: Sequence[bytes]
    steps: int = 50_000
    steps_per_byte: int = 100


# -- the session -------------------------------------------------------------------------------------------------


class Sessions:
    """One node, and for each input clients that are not known to it, or known, in RESP2 or RESP3."""

    def __init__(self) -> None:
        self.node = InProcessNode(("cluster-enabled", "no"))
        self.guarded = InProcessNode(("cluster-enabled", "no"), ("requirepass", "secret"))

    def known(self, data: bytes) -> str:
        """What the same bytes are answered must not depend on how they are cut."""
        outcomes = []
        for cuts in ((), _cuts(data)):
            self.node("FLUSHALL")
            self.node("FUNCTION", "FLUSH")
            client = self.node.connect()
            if len(data) % 2:
                client("HELLO", 3)
            outcomes.append((_talk(client, data, cuts), client.session.closing))
            assert client.session.parser.held_bytes <= 60 * len(data) + 64, "more is held than was sent"
            self.node.server.disconnect(client.session)
        assert outcomes[0] == outcomes[1], "it is a matter of where the bytes are cut"
        return REFUSED if outcomes[0][1] else TAKEN

    def unknown(self, data: bytes) -> str:
        """Nothing is run for a client that has not logged in, and little is kept."""
        client = self.guarded.connect()
        dirty = self.guarded.server.ctx.dirty
        _talk(client, data, _cuts(data))
        session = client.session
        assert session.closing or session.parser.held_bytes <= MOST_BEFORE_LOGIN
        if b"secret" not in data:
            assert not session.authenticated
            assert self.guarded.server.ctx.dirty == dirty
        outcome = REFUSED if session.closing else TAKEN
        self.guarded.server.disconnect(session)
        return outcome


def _cuts(data: bytes) -> tuple[int, ...]:
    rng = random.Random(data)
    return tuple(sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(8))))


def _talk(client: Client, data: bytes, cuts: tuple[int, ...]) -> bytes:
    """All that is answered. Replies have to be RESP, and an error of the protocol the last of them."""
    out: list[bytes] = []
    edges = [0, *cuts, len(data)]
    for start, end in pairwise(edges):
        if end > start and not client.session.closing and client.session.wait is None:
            out.append(_answer(client, data[start:end]))
    said = b"".join(out)
    assert b"internal error" not in said
    reader = hiredis.Reader()
    reader.feed(said)
    replies = []
    while (reply := reader.gets()) is not False:
        replies.append(reply)
    assert not reader.has_data(), "half a reply"
    broken = [at for at, reply in enumerate(replies) if str(reply).startswith("Protocol error")]
    assert broken in ([], [len(replies) - 1]), "it goes on after an error of the protocol"
    assert not broken or client.session.closing
    return _CLIENT_ID.sub(b"", said)


def _answer(client: Client, data: bytes) -> bytes:
    server = client.node.server
    server.start_batch()
    client.session.receive(data)
    client.node.end_batch()
    while client.session in server.unfinished:
        del server.unfinished[client.session]
        client.session.resume()
        client.node.end_batch()
    return client.received()


# -- the bus -----------------------------------------------------------------------------------------------------


def read_frame(data: bytes) -> str:
    try:
        message = decode(data)
    except FrameError:
        return REFUSED
    assert decode(encode(message)) == message
    return TAKEN


class Links:
    """A core of a whole cluster behind the reader of a link, as the transport has it; the peer is `secret`'s."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def seeds(self) -> list[bytes]:
        """What a member of the cluster says: its greeting, and some messages."""
        peer, us = self._handshake(initiator=True), self._handshake(initiator=False)
        sent = [pack(peer.hello)]
        [*answers] = us.receive(pack(peer.hello)[4:])
        assert not answers
        for proof in peer.receive(pack(us.hello)[4:]):
            sent.append(pack(proof))
            for answer in us.receive(pack(proof)[4:]):
                peer.receive(pack(answer)[4:])
        for message in inputs.MESSAGES:
            frame = peer.seal.seal(encode(message))
            sent.append(len(frame).to_bytes(4, "big") + frame)
        return [b"".join(sent), b"".join(sent[:3])]

    def _handshake(self, *, initiator: bool) -> LinkHandshake:
        me = inputs.IDS[1] if initiator else inputs.IDS[0]
        return LinkHandshake(initiator=initiator, node_id=me, cluster_id="", secret=self.secret, nonce=bytes(16))

    def read(self, data: bytes) -> str:
        core = BusCore(BusConfig(), random.Random(1), parse_state(inputs.NODES_CONF), 1000, WALL_MS)
        core.start()
        version = core.view.version
        handshake = self._handshake(initiator=False)
        reader, joiner, is_up = FrameReader(), Joiner(), False
        edges = [0, *_cuts(data), len(data)]
        try:
            for start, end in pairwise(edges):
                for frame in reader.feed(data[start:end]):
                    if is_up:
                        body = joiner.take(handshake.seal.open(frame))
                        if body is not None:
                            check(core.step(2000, events.FrameReceived(1, decode(body))))
                        continue
                    handshake.receive(frame)
                    is_up = handshake.done
                    if is_up:
                        reader.limit = FRAME_LIMIT_BYTES
                        up = events.LinkUp(1, handshake.peer_id, "10.0.0.9", False, "", "10.0.0.1", "")
                        check(core.step(2000, up))
        except FrameError:
            return REFUSED
        finally:
            assert len(reader._buffer) + len(joiner._held) <= len(data), "more is held than was sent"
            assert is_up or core.view.version == version
        check(core.step(3000, events.Tick(WALL_MS)))
        return TAKEN


def check(effects: Iterable[events.Effect]) -> None:
    """What the core asks for can be done."""
    for effect in effects:
        match effect:
            case events.Send():
                decode(encode(effect.message))
            case events.Persist():
                assert parse_state(render_state(effect.state)) is not None
            case events.ViewChanged():
                render_nodes(effect.view).encode("utf-8", "surrogateescape")
            case _:
                pass


def read_nodes_conf(data: bytes) -> str:
    try:
        state = parse_state(data.decode("utf-8", "surrogateescape"))
    except NodesConfError as error:
        return _one_line(error)
    if state is None:
        return TAKEN
    core = BusCore(BusConfig(), random.Random(1), state, 1000, WALL_MS)
    check(core.start())
    for number, node_id in enumerate(state.nodes):
        check(core.step(1500, events.LinkUp(number, node_id, "10.0.0.9", True, node_id, "10.0.0.1", "")))
    for now in range(2000, 8000, 1000):
        check(core.step(now, events.Tick(WALL_MS + now)))
    return TAKEN


# -- configuration -----------------------------------------------------------------------------------------------


def read_yaml(data: bytes) -> str:
    try:
        plan = parse_cluster_yaml(data.decode("utf-8", "replace"), "/etc/c/cluster.yaml")
        for node in plan.nodes:
            config = Configuration(node_settings(plan, node))
            config.check()
            assert "\0" not in config.dir
            PurePath(config.dir).as_posix().encode("utf-8", "surrogateescape")
            for setting in node_settings(plan, node):
                " ".join(map(quote, setting.words)).encode("utf-8", "surrogateescape")
    except ConfigError as error:
        return _one_line(error)
    return TAKEN


def read_redis_conf(data: bytes) -> str:
    """With an include of itself at hand; what is read can be written, and reads back as the same."""
    text = data.decode("utf-8", "surrogateescape")

    def read(path: str) -> str:
        if path not in ("a.conf", "b.conf"):
            raise FileNotFoundError(2, "No such file or directory")
        return text if path == "a.conf" else "hz 5\n"

    def expand(pattern: str) -> list[str]:
        assert "\0" not in pattern
        return ["b.conf"] if "*" in pattern else [pattern]

    try:
        config = Configuration(parse_file("a.conf", read, expand))
        config.check()
    except ConfigError as error:
        return _one_line(error)
    again = Configuration(parse_file("a.conf", lambda _path: rewrite(text, config), lambda _pattern: []))
    assert [again.get([name]) for name in ("maxmemory", "save", "requirepass", "bind")] == [
        config.get([name]) for name in ("maxmemory", "save", "requirepass", "bind")
    ]
    return TAKEN


# -- RESTORE -----------------------------------------------------------------------------------------------------


class Payloads:
    """Type byte and body as they come; version and checksum are put behind them, so that the parser is reached."""

    def __init__(self) -> None:
        self.node = InProcessNode(("enable-debug-command", "yes"), ("cluster-enabled", "no"))

    def seeds(self) -> list[bytes]:
        footer = corruption.CHECKSUM_BYTES + 2
        new = [payload[:-footer] for payload in corruption.payloads()]
        return new + [bytes([old.kind]) + old.body for old in old_payloads.PAYLOADS]

    def restore(self, data: bytes) -> str:
        payload = corruption.with_checksum(data or b"\0")
        node = self.node
        reply = node.client.raw("RESTORE", "k", 0, payload, "REPLACE")
        if not reply.startswith(b"+OK"):
            assert reply == b"-ERR Bad data format\r\n", reply
            return REFUSED
        rng = random.Random(data)
        dumped = node("DUMP", "k")
        assert node("RESTORE", "k2", 0, dumped, "REPLACE") == b"OK"
        digest = node("DEBUG", "DIGEST-VALUE", "k")
        assert node("DEBUG", "DIGEST-VALUE", "k2") == digest, "what is dumped is another value"
        looks = corruption.LOOKS[node("TYPE", "k")]
        for look in (*rng.sample(looks, len(looks)), *corruption.ALWAYS):
            assert b"internal error" not in node.client.raw(*look.split())
        node("DEL", "k", "k2")
        assert node("EXISTS", "k", "k2") == 0
        assert b"internal error" not in node.client.raw("RESTORE", "k", 0, data, "REPLACE")  # as it came
        node("DEL", "k")
        return TAKEN

    def restore_functions(self, data: bytes) -> str:
        node = self.node
        node("FUNCTION", "FLUSH")
        reply = node.client.raw("FUNCTION", "RESTORE", corruption.with_checksum(data), "REPLACE")
        assert b"internal error" not in reply
        dumped = node("FUNCTION", "DUMP")
        assert node("FUNCTION", "RESTORE", dumped, "FLUSH") == b"OK"
        assert isinstance(node("FUNCTION", "LIST", "WITHCODE"), list)
        return TAKEN if reply == b"+OK\r\n" else REFUSED


def targets() -> list[Target]:
    sessions, payloads = Sessions(), Payloads()
    payload_seeds = payloads.seeds()
    in_payloads = [*corruption.IN_SNAPSHOTS, *inputs.IN_ENCODINGS]
    return [
        Target("session", sessions.known, inputs.CONVERSATIONS, inputs.IN_REQUESTS, 200_000),
        Target("session before login", sessions.unknown, inputs.CONVERSATIONS, inputs.IN_REQUESTS, 200_000),
        Target("bus frame", read_frame, [encode(one) for one in inputs.MESSAGES], inputs.IN_FRAMES, 20_000),
        Target("bus link", Links(b"").read, Links(b"").seeds(), inputs.IN_FRAMES, 300_000),
        Target("bus link with a secret", Links(b"s").read, Links(b"s").seeds(), inputs.IN_FRAMES, 300_000),
        Target("nodes.conf", read_nodes_conf, inputs.NODES_CONFS, inputs.IN_NODES_CONF, 300_000),
        Target("cluster.yaml", read_yaml, inputs.CLUSTER_YAMLS, inputs.IN_YAML, 300_000),
        Target("redis.conf", read_redis_conf, inputs.REDIS_CONFS, inputs.IN_REDIS_CONF, 300_000, 200),
        Target("RESTORE", payloads.restore, payload_seeds, in_payloads, 500_000, 2000),
        Target(
            "FUNCTION RESTORE", payloads.restore_functions, inputs.function_dumps(), in_payloads, 500_000,
        ),
    ]
