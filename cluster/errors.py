"""Every error a client can be answered with: the classes, and beside them Redis's texts.

A command raises `CommandError` (or a subclass); the edge of the session encodes it. The message is the whole
error line without the leading '-', its first word being the error code clients match on.
"""

from __future__ import annotations

from collections.abc import Sequence


class CommandError(Exception):
    """An error reply. `message` starts with the code, e.g. ``ERR syntax error``."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def encoded(self) -> bytes:
        """The RESP simple error; line breaks, which would break the protocol, become blanks."""
        return b"-" + _on_one_line(self.message) + b"\r\n"


class NamedAsTyped(CommandError):
    """`message` holds ``{}`` where the command's name stands in redis-server's text, as the client spelled it; `word`
    of the line is that name."""

    def __init__(self, message: str, word: int = 0) -> None:
        super().__init__(message)
        self._word = word

    def named(self, line: Sequence[bytes]) -> CommandError:
        return CommandError(self.message.format(typed(line[self._word])))


class ProtocolError(Exception):
    """The peer broke RESP: `message` is answered as ``-ERR Protocol error: …`` and the connection is closed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def encoded(self) -> bytes:
        return b"-ERR Protocol error: " + _on_one_line(self.message) + b"\r\n"


def _on_one_line(message: str) -> bytes:
    return message.replace("\r", " ").replace("\n", " ").encode("utf-8", "surrogateescape")


def wrong_arity(name: str) -> CommandError:
    """`name` is the lower-case full name, ``config|get`` for a subcommand."""
    return CommandError(f"ERR wrong number of arguments for '{name}' command")


def wrong_subcommand(container: str) -> CommandError:
    """Too many arguments where a command's arity leaves that to its subcommand."""
    return NamedAsTyped(
        f"ERR unknown subcommand or wrong number of arguments for '{{}}'. Try {container.upper()} HELP.", word=1
    )


SHOWN_BYTES = 128
"""Of what a client typed, in an error about it."""


def typed(argument: bytes, limit: int = SHOWN_BYTES) -> str:
    """An argument as an error shows it: cut to `limit` bytes, and at a NUL, where C ends a string."""
    return argument.partition(b"\0")[0][:limit].decode("utf-8", "surrogateescape")


def unknown_command(line: list[bytes]) -> CommandError:
    """There is no command of the name that `line` starts with."""
    shown, length = "", 0
    for argument in line[1:]:
        if length >= SHOWN_BYTES:
            break
        part = f"'{typed(argument, SHOWN_BYTES - length)}' "
        shown += part
        length += len(part.encode("utf-8", "surrogateescape"))
    return CommandError(f"ERR unknown command '{typed(line[0])}', with args beginning with: {shown}")


class WrongType(CommandError):
    def __init__(self) -> None:
        super().__init__("WRONGTYPE Operation against a key holding the wrong kind of value")


class SyntaxFault(CommandError):
    def __init__(self) -> None:
        super().__init__("ERR syntax error")


class NotAnInteger(CommandError):
    def __init__(self) -> None:
        super().__init__("ERR value is not an integer or out of range")


class NotAFloat(CommandError):
    def __init__(self) -> None:
        super().__init__("ERR value is not a valid float")


class NoSuchKey(CommandError):
    def __init__(self) -> None:
        super().__init__("ERR no such key")


class OutOfRange(CommandError):
    def __init__(self, what: str = "index") -> None:
        super().__init__(f"ERR {what} out of range")


NOAUTH = "NOAUTH Authentication required."
WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."
NOPERM_PROTECTED = (
    "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    "default user. In this mode connections are only accepted from the loopback interface. If you want to connect "
    "from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode "
    "sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the "
    "same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. "
    "Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by "
    "editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the "
    "server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' "
    "option. 4) Setup a an authentication password for the default user. NOTE: You only need to do one of the above "
    "things in order for the server to start accepting connections from the outside."
)
READONLY = "READONLY You can't write against a read only replica."
OOM = "OOM command not allowed when used memory > 'maxmemory'."
LOADING = "LOADING Redis is loading the dataset in memory"
MASTERDOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
NOREPLICAS = "NOREPLICAS Not enough good replicas to write."
EXECABORT_BECAUSE = "EXECABORT Transaction discarded because of: "
EXECABORT = "EXECABORT Transaction discarded because of previous errors."
CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"
TRYAGAIN = "TRYAGAIN Multiple keys request during rehashing of slot"
CLUSTERDOWN_STATE = "CLUSTERDOWN The cluster is down"
CLUSTERDOWN_READONLY = "CLUSTERDOWN The cluster is down and only accepts read commands"
CLUSTERDOWN_UNBOUND = "CLUSTERDOWN Hash slot not served"
MAXCLIENTS = "ERR max number of clients reached"
