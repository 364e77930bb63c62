"""MIGRATE: keys to another server, and gone from here when it has them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec, Keyword
from cluster.commands.registry import WRITE, command
from cluster.errors import CommandError, SyntaxFault
from cluster.keyspace.numbers import parse_integer
from cluster.protocol import replies
from cluster.slots.migration import Migration

_FLAGS = ("RW", "access", "delete")
_DEFAULT_TIMEOUT_MS = 1_000


class _ManyKeys(Keyword):
    """Behind KEYS, which counts only where position 3 is empty."""

    def positions(self, arguments: Sequence[bytes]) -> list[int]:
        return [] if arguments[3:4] != [b""] else Keyword.positions(self, arguments)


class _OneKey(KeySpec):
    """Position 3, unless that is empty because KEYS follows."""

    def positions(self, arguments: Sequence[bytes]) -> list[int]:
        return [3] if len(arguments) > 3 and arguments[3] else []


@command("MIGRATE", arity=-6, flags={WRITE}, group="generic", since="2.6.0", categories=("dangerous",),
         keys=(_OneKey(3, 3, 1, _FLAGS), _ManyKeys(b"KEYS", -2, -1, 1, (*_FLAGS, "incomplete"))),
         tips=("nondeterministic_output",), own_effects=True, summary="Moves keys to another server.",
         complexity="DUMP and DEL here, RESTORE there, and O(N) for the way between in bytes",
         syntax="host port:integer (key | '') destination-db:integer timeout:integer [COPY]@3.0.0 [REPLACE]@3.0.0 "
                "[[AUTH password]@4.0.7 | [AUTH2 (username password)]@6.0.0] [KEYS key...]@3.0.6")
def migrate(
    ctx: Context, host: bytes, port: bytes, key: bytes, target_db: bytes, timeout: bytes, *options: bytes
) -> bytes | None:
    keys: Sequence[bytes] = (key,)
    credentials: tuple[bytes, ...] = ()
    copy = replace = False
    rest = list(options)
    while rest:
        word = rest.pop(0).upper()
        if word == b"COPY":
            copy = True
        elif word == b"REPLACE":
            replace = True
        elif word == b"AUTH" and rest:
            credentials = (rest.pop(0),)
        elif word == b"AUTH2" and len(rest) > 1:
            credentials = (rest.pop(0), rest.pop(0))
        elif word == b"KEYS":
            if key:
                raise CommandError(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"
                )
            keys, rest = tuple(rest), []
        else:
            raise SyntaxFault
    milliseconds = parse_integer(timeout)
    database = parse_integer(target_db)
    if not [one for one in keys if ctx.find(one) is not None]:
        return replies.simple("NOKEY")
    migration = Migration(
        host=host.decode("utf-8", "surrogateescape"), port=_port(port), keys=keys, target_db=database,
        timeout_seconds=(milliseconds if milliseconds > 0 else _DEFAULT_TIMEOUT_MS) / 1000,
        copy=copy, replace=replace, credentials=credentials,
    )
    if not ctx.allows_blocking:
        return ctx.server.migrator.migrate_now(ctx.db, migration)
    ctx.server.migrator.submit(ctx.client, migration)
    return None


def _port(text: bytes) -> int:
    """As atoi reads it: what is no number is port 0, to which nobody can connect."""
    number = re.match(rb"\s*([+-]?\d{1,9})", text)
    return int(number[1]) if number else 0
