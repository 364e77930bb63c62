"""What goes into Sentinel's core, and what it asks for.

Events: a connection is up or down, a reply or a message came, time passed. Effects are carried out in the order in
which they stand. What has to be on disk before something is said is asked for with one step, and that is said with
another, when it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class ErrorReply(Exception):
    """An error that a server answered with; str() is its text."""


Reply: TypeAlias = "bytes | int | ErrorReply | list[Reply] | None"
Value: TypeAlias = "bytes | str | int"


# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Connected:
    """`local_ip`: what the peer sees us as."""

    connection: int
    local_ip: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """It is gone, or never came to be."""

    connection: int
    cause: str


@dataclass(frozen=True, slots=True)
class Received:
    """The next reply of a connection, or the next message of one that has subscribed."""

    connection: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Saved:
    """What was to be on disk is, as it was when the step that asked for it was over."""


@dataclass(frozen=True, slots=True)
class NotSaved:
    """What was to be on disk is not."""


@dataclass(frozen=True, slots=True)
class NamesFound:
    """Names that had no address may have one now."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """Another sentinel's hello, which came by PUBLISH to us."""

    text: str


Event: TypeAlias = "Tick | Connected | Disconnected | Received | Saved | NotSaved | NamesFound | Greeted"


# -- effects -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    connection: int
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Send:
    """A command; its reply comes as `Received`. Before the connection is up it waits for that."""

    connection: int
    arguments: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """No event of this connection comes after it."""

    connection: int


@dataclass(frozen=True, slots=True)
class Persist:
    """Write the state as it is when the step is over, and let the core know: `Saved` or `NotSaved` is to be its next
    event. Nothing that depends on it is among the effects that follow: that comes of `Saved`."""


@dataclass(frozen=True, slots=True)
class Publish:
    """An event for the log, and for those who listen to its channel."""

    level: str
    channel: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log alone."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class NoteDelay:
    """No failover of ours will start before `until_ms` of the core's clock: a line for the log."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class RunScript:
    path: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Crash:
    """SENTINEL SIMULATE-FAILURE asked for it."""


Effect: TypeAlias = "Connect | Send | Close | Persist | Publish | Note | NoteDelay | RunScript | Crash"
