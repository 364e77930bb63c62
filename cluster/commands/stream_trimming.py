"""MAXLEN and MINID: what XADD and XTRIM have in common, and XTRIM itself.

`~` removes whole nodes only, and how many depends on the server's own limits; so what goes to replicas is the exact
trimming with the same outcome. With ACKED `~` is no different from `=`, but for its LIMIT: entries that a group holds
are passed over, wherever they are.
"""

from __future__ import annotations

from itertools import islice

from cluster.commands.context import Context
from cluster.commands.keys import first_key
from cluster.commands.registry import WRITE, command
from cluster.commands.stream_deletions import ACKNOWLEDGED, FORGET, POLICIES
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.events import Event
from cluster.keyspace.numbers import parse_integer
from cluster.keyspace.stream_id import MAX_ID, id_text, parse_id
from cluster.keyspace.values import StreamValue
from cluster.protocol import replies

STREAM_TRIM = Event("t", "xtrim")

_NODES_AT_ONCE = 100
_ENTRIES_AT_ONCE = 10_000
_MOST_ENTRIES_AT_ONCE = 1_000_000
_VARIES = ("nondeterministic_output",)


class Trimming:
    """What the options in front of XADD's id, or behind XTRIM's key, ask for. `behind` is where they end."""

    __slots__ = (
        "approximate", "behind", "is_limited", "limit", "only_existing", "policy", "reached", "strategy", "threshold",
        "threshold_at",
    )

    def __init__(self) -> None:
        self.strategy = b""
        self.approximate = False
        self.threshold = 0
        self.threshold_at = 0
        self.limit = 0
        self.is_limited = False
        self.only_existing = False
        self.policy = b""
        self.reached: bytes | None = None
        self.behind = 0

    def settle(self, ctx: Context, *, adding: bool) -> None:
        """Check the limit against the rest, and find it where none is given."""
        if self.limit and not self.strategy:
            raise CommandError("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
        if not adding and not self.strategy:
            raise CommandError("ERR syntax error, XTRIM must be called with a trimming strategy")
        if ctx.obeys_primary:
            self.limit = 0  # the primary has trimmed, and says to what
        elif self.is_limited:
            if not self.approximate:
                raise CommandError("ERR syntax error, LIMIT cannot be used without the special ~ option")
        elif self.approximate:
            usual = _NODES_AT_ONCE * ctx.config.stream_node_max_entries
            self.limit = min(usual, _MOST_ENTRIES_AT_ONCE) if usual > 0 else _ENTRIES_AT_ONCE

    def apply(self, value: StreamValue) -> int:
        """Trim; how many entries went."""
        by_length = self.strategy == b"MAXLEN"
        most = max(0, value.length - self.threshold) if by_length else None
        last = MAX_ID if by_length else self.threshold - 1
        if self.policy == ACKNOWLEDGED and value.groups:
            free = value.trim_acknowledged(last, most, self.limit)
            self.reached = b"%d" % len(value) if by_length else id_text(free[-1] + 1 if free else 0)
            return len(free)
        forgotten: list[int] = []
        if self.policy == FORGET and value.groups:
            forgotten = [entry_id for entry_id, _ in islice(value.between(0, last), most)]
        trim = value.trim_to_length if by_length else value.trim_to_id
        gone = trim(self.threshold, whole_blocks=self.approximate, limit=self.limit)
        for entry_id in forgotten[:gone]:
            value.forget(entry_id)
        return gone

    def exact(self, arguments: tuple[bytes, ...], value: StreamValue) -> tuple[bytes, ...]:
        """The arguments that trim another stream to what `value` is now."""
        if not self.approximate:
            return arguments
        reached = self.reached
        if reached is None:
            reached = b"%d" % len(value) if self.strategy == b"MAXLEN" else id_text(value.first_id or MAX_ID)
        at = self.threshold_at
        return (*arguments[: at - 1], b"=", reached, *arguments[at + 1 :])


def parse_trimming(arguments: tuple[bytes, ...], *, adding: bool) -> Trimming:
    """Read the options; with `adding` they end where XADD's id must stand. `settle` them before use."""
    found = Trimming()
    at, last = 0, len(arguments) - 1
    while at <= last:
        word = arguments[at].upper()
        if word in (b"MAXLEN", b"MINID") and at < last:
            at = _threshold(found, word, arguments, at)
        elif word == b"LIMIT" and at < last:
            found.limit = parse_integer(arguments[at + 1])
            if found.limit < 0:
                raise CommandError("ERR The LIMIT argument must be >= 0.")
            found.is_limited = True
            at += 2
        elif word in POLICIES and not found.policy:
            found.policy = word
            at += 1
        elif adding and word == b"NOMKSTREAM":
            found.only_existing = True
            at += 1
        elif adding:
            break
        else:
            raise SyntaxFault
    found.behind = at
    return found


def _threshold(found: Trimming, word: bytes, arguments: tuple[bytes, ...], at: int) -> int:
    """Read MAXLEN or MINID at position `at`; the position behind it."""
    if found.strategy:
        raise CommandError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
    at += 1
    found.approximate = arguments[at] == b"~" and at + 1 < len(arguments)
    if found.approximate or (arguments[at] == b"=" and at + 1 < len(arguments)):
        at += 1
    if word == b"MINID":
        found.threshold = parse_id(arguments[at])
    else:
        found.threshold = parse_integer(arguments[at])
        if found.threshold < 0:
            raise CommandError("ERR The MAXLEN argument must be >= 0.")
    found.strategy = word
    found.threshold_at = at
    return at + 1


@command("XTRIM", arity=-4, flags={WRITE}, keys=first_key("RW", "delete"), group="stream", since="5.0.0",
         tips=_VARIES, own_effects=True, summary="Removes entries from the front of a stream.",
         complexity="O(N) in the number of elements removed",
         syntax="key ((MAXLEN | MINID@6.2.0) ['=' | '~'] threshold [LIMIT count:integer]@6.2.0 [KEEPREF | DELREF | "
                "ACKED])")
def xtrim(ctx: Context, key: bytes, *options: bytes) -> bytes:
    trimming = parse_trimming(options, adding=False)
    trimming.settle(ctx, adding=False)
    value = ctx.typed_for_write(key, StreamValue)
    if value is None:
        return replies.ZERO
    removed = trimming.apply(value)
    if removed:
        ctx.changed(key, STREAM_TRIM, removed)
        ctx.propagate(b"XTRIM", key, *trimming.exact(options, value))
    return replies.integer(removed)
