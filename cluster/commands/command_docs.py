"""COMMAND DOCS: what each command is for, and its arguments as a tree, from which redis-cli makes its hints."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.commands.command_info import DESCRIBES, UNORDERED, named, top_level
from cluster.commands.context import Context
from cluster.commands.registry import Command, command
from cluster.commands.syntax import Argument, parse_syntax
from cluster.protocol import replies

_FOR_SERVERS = ("debug", "pfdebug", "pfselftest", "replconf", "restore-asking")
"""Commands that servers and their developers send, and clients do not."""


@command("COMMAND DOCS", arity=-2, flags=DESCRIBES, group="server", since="7.0.0", tips=UNORDERED,
         categories=("connection",), summary="Documents the named commands, or all.",
         complexity="O(N) in the number of names", syntax="[command-name...]")
def command_docs(ctx: Context, *names: bytes) -> bytes:
    entries = top_level(ctx)
    if names:
        entries = [entry for entry in (named(ctx, name) for name in names) if entry is not None]
    return replies.string_map({entry.full_name: _docs(entry, ctx.resp) for entry in entries}, ctx.resp)


def _docs(entry: Command, resp: int) -> bytes:
    arguments = parse_syntax(entry.syntax)
    fields = {
        "summary": replies.text(entry.summary),
        "since": replies.text(entry.since),
        "group": replies.text(entry.group),
        "complexity": replies.text(entry.complexity),
    }
    marks = [*(["deprecated"] if entry.deprecated else []), *(["syscmd"] if entry.full_name in _FOR_SERVERS else [])]
    if marks:
        fields["doc_flags"] = _marks(marks, resp)
    if entry.deprecated is not None:
        fields["deprecated_since"], fields["replaced_by"] = map(replies.text, entry.deprecated)
    history = [replies.bulk_array([version.encode(), text.encode()]) for version, text in _history(arguments)]
    if history:
        fields["history"] = replies.set_reply(history, resp)
    if arguments:
        fields["arguments"] = _Arguments(len(entry.keys), resp).reply(arguments)
    if entry.subcommands:
        fields["subcommands"] = replies.string_map(
            {one.full_name: _docs(one, resp) for one in entry.subcommands.values()}, resp
        )
    return replies.string_map(fields, resp)


def _marks(names: list[str], resp: int) -> bytes:
    return replies.set_reply([replies.simple(name) for name in names], resp)


def _history(arguments: tuple[Argument, ...]) -> list[tuple[str, str]]:
    """(version, what it brought), as the arguments tell it."""
    brought: dict[str, list[str]] = {}
    for argument in _with_version(arguments):
        names = list(argument.tokens()) or [argument.name]
        brought.setdefault(argument.since or "", []).extend(name for name in names if name)
    return [
        (version, f"Added {_listed(names)}.")
        for version, names in sorted(brought.items(), key=lambda item: [int(part) for part in item[0].split(".")])
    ]


def _with_version(arguments: tuple[Argument, ...]) -> Iterator[Argument]:
    for argument in arguments:
        if argument.since is not None:
            yield argument
        else:
            yield from _with_version(argument.parts)


def _listed(names: list[str]) -> str:
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} and {last}" if most else last


class _Arguments:
    """Encodes arguments, and counts the keys among them: the n-th is the one of the n-th key specification."""

    def __init__(self, key_specs: int, resp: int) -> None:
        self._last_spec = key_specs - 1
        self._keys = 0
        self._resp = resp

    def reply(self, arguments: tuple[Argument, ...]) -> bytes:
        return replies.array([self._argument(one) for one in arguments])

    def _argument(self, argument: Argument) -> bytes:
        fields = {"name": replies.text(argument.name), "type": replies.text(argument.type)}
        if not argument.parts:
            fields["display_text"] = fields["name"]
        spec = self._spec(argument)
        if spec is not None:
            fields["key_spec_index"] = replies.integer(spec)
        if argument.token is not None:
            fields["token"] = replies.text(argument.token)
        if argument.since is not None:
            fields["since"] = replies.text(argument.since)
        marks = {"optional": argument.optional, "multiple": argument.multiple, "multiple_token": argument.repeats_token}
        if any(marks.values()):
            fields["flags"] = _marks([name for name, is_set in marks.items() if is_set], self._resp)
        if argument.parts:
            fields["arguments"] = self.reply(argument.parts)
        return replies.string_map(fields, self._resp)

    def _spec(self, argument: Argument) -> int | None:
        if argument.key_spec is not None or argument.type != "key":
            return argument.key_spec
        self._keys += 1
        return min(self._keys - 1, self._last_spec)
