"""The configuration of a node: the value of every directive, as attributes, and CONFIG GET and SET over them.

A value is read far more often than it is set, on the hot path too, so each stands as a plain attribute named after
its directive, already parsed: ``config.maxmemory`` is an int. Setting goes through the table only.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cluster.config.attributes import Attributes
from cluster.config.directive import Directive
from cluster.config.directives import BY_NAME, DIRECTIVES
from cluster.config.errors import ConfigError, RewriteError
from cluster.config.values import BadValue
from cluster.keyspace.glob import Glob

BUS_PORT_OFFSET = 10000
HIGHEST_PORT = 65535
_USERS_TWICE = (
    "Configuring users here and an aclfile as well is invalid. This setup is very likely to lead to configuration "
    "errors and security holes: please define either an ACL file, or declare users directly in the configuration"
)

Apply = Callable[["Configuration"], None]
"""Called after values changed; raises BadValue (its text is told to the client) to have all of them undone."""


class Setting(NamedTuple):
    """A directive with its words, as it stood in a file, and where."""

    name: str
    words: tuple[str, ...]
    place: str = ""
    line: str = ""


class ConfigSetError(Exception):
    """CONFIG SET was refused and nothing changed. `message` is the error's text, without the code."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Configuration(Attributes):
    """Starts with every default; `load` layers settings over them, `set` is CONFIG SET."""

    def __init__(self, settings: Iterable[Setting] = (), *, file_path: str = "") -> None:
        for directive in DIRECTIVES:
            setattr(self, directive.attribute, directive.initial())
        self.file_path = file_path
        """The absolute path of the file CONFIG REWRITE rewrites; '' for none."""
        self._loaded: dict[str, list[Setting]] = {}
        self._callbacks: list[tuple[frozenset[str], Apply]] = []
        self.load(settings)

    def load(self, settings: Iterable[Setting]) -> None:
        """Set directives, immutable ones too, the later ones winning. Raises ConfigError."""
        for setting in settings:
            directive = BY_NAME.get(setting.name.lower())
            if directive is None:
                raise ConfigError(_unknown(setting.name), setting.place, setting.line)
            try:
                self._load_one(directive, setting.words)
                self._loaded.setdefault(directive.name, []).append(setting)
            except BadValue as error:
                raise ConfigError(str(error), setting.place, setting.line) from None

    def check(self) -> None:
        """Whether the values go together. Raises ConfigError."""
        if self.cluster_enabled and self.replicaof is not None:
            raise self.error("replicaof", "replicaof directive not allowed in cluster mode")
        if self.cluster_enabled and self.bus_port > HIGHEST_PORT:
            raise self.error(
                "tls-port" if self.main_port == self.tls_port else "port",
                f"Redis port number too high: the bus of a cluster node is at port + {BUS_PORT_OFFSET}, so the port "
                f"must be {HIGHEST_PORT - BUS_PORT_OFFSET} or less (it is {self.main_port}), or cluster-port must be "
                "set",
            )
        if not self.port and not self.tls_port and not self.unixsocket:
            raise self.error("port", "configured to not listen anywhere: port is 0 and there is no unixsocket")
        if self.port and self.port == self.tls_port:
            raise self.error("tls-port", f"{self.port} is the port, too: they cannot be the same")
        if self.aclfile and self.user:
            raise self.error("aclfile", _USERS_TWICE)
        for line in self.lines("loadmodule"):
            raise ConfigError("Can't load module: modules are not supported", line.place, line.line)
        if self.cluster_secret and self.cluster_secret_file:
            raise self.error("cluster-secret", "cluster-secret and cluster-secret-file are both set: use one of them")

    @property
    def main_port(self) -> int:
        """Of the two ports for clients the one that the bus's follows from."""
        return (self.tls_port or self.port) if self.tls_cluster else (self.port or self.tls_port)

    @property
    def bus_port(self) -> int:
        return self.cluster_port or self.main_port + BUS_PORT_OFFSET

    @property
    def announced_to_primary(self) -> int:
        """The port at which other nodes of the shard, and sentinels, are to look for this one."""
        return self.tls_port if self.tls_replication and self.tls_port else self.port

    def error(self, name: str, cause: str) -> ConfigError:
        """A ConfigError that names the place where this directive was set last."""
        lines = self.lines(name)
        return ConfigError(cause, lines[-1].place, lines[-1].line) if lines else ConfigError(cause)

    def lines(self, name: str) -> Sequence[Setting]:
        """All that set this directive at the start, in order."""
        return self._loaded.get(name, ())

    def _load_one(self, directive: Directive, words: Sequence[str]) -> None:
        words = _words_of_file(directive, words)
        before = getattr(self, directive.attribute)
        if directive.adds_up == "loading" and directive.name not in self._loaded and not directive.unlisted:
            before = None
        setattr(self, directive.attribute, directive.kind.parse(words, before))

    def is_set(self, name: str) -> bool:
        """Whether a file, the command line or cluster.yaml said anything about this directive."""
        return name in self._loaded

    def on_change(self, names: Iterable[str], apply: Apply) -> None:
        """Call `apply` once after a CONFIG SET that changed any of `names` (the newer names)."""
        self._callbacks.append((frozenset(names), apply))

    def get(self, patterns: Iterable[str]) -> list[tuple[str, str]]:
        """CONFIG GET: (name, text) of every directive that matches a pattern, each name once.

        A pattern without * ? [ is a name: hidden directives answer to it, and it comes back as it was written.
        """
        found: dict[str, str] = {}
        for pattern in patterns:
            lowered = pattern.lower()
            if not set("*?[") & set(pattern):
                directive = BY_NAME.get(lowered)
                if directive is not None and not directive.unlisted and lowered not in map(str.lower, found):
                    found[pattern] = self.text(directive)
                continue
            glob = Glob(lowered.encode("utf-8", "surrogateescape"))
            for name, directive in BY_NAME.items():
                if directive.hidden or directive.unlisted or name in found:
                    continue
                if glob.matches(name.encode()):
                    found[name] = self.text(directive)
        return list(found.items())

    def text(self, directive: Directive) -> str:
        """The value in CONFIG GET's form."""
        return directive.kind.show(getattr(self, directive.attribute))

    def set(self, pairs: Sequence[tuple[str, str]], *, protected_allowed: bool = False) -> list[str]:
        """CONFIG SET: all of the pairs or, with ConfigSetError, none. Returns the names of what changed.

        `protected_allowed`: enable-protected-configs lets this client.
        """
        directives = self._settable(pairs, protected_allowed)
        before = {directive.attribute: getattr(self, directive.attribute) for directive in directives}
        applied: list[Apply] = []
        try:
            self._assign(directives, pairs)
            changed = [
                directive.name
                for directive in dict.fromkeys(directives)
                if directive.volatile or getattr(self, directive.attribute) != before[directive.attribute]
            ]
            self._apply(changed, pairs, applied)
        except ConfigSetError:
            for attribute, value in before.items():
                setattr(self, attribute, value)
            for apply in applied:
                apply(self)
            raise
        return changed

    def replace(self, name: str, value: object) -> None:
        """Set a value from inside the node (REPLICAOF sets replicaof, for one); nobody is asked."""
        setattr(self, BY_NAME[name].attribute, value)

    def _settable(self, pairs: Sequence[tuple[str, str]], protected_allowed: bool) -> list[Directive]:
        directives: list[Directive] = []
        seen: set[str] = set()
        refusal: tuple[str, str] | None = None
        for name, _ in pairs:
            lowered = name.lower()
            directive = BY_NAME.get(lowered)
            if directive is None or directive.unlisted:
                raise ConfigSetError(f"Unknown option or number of arguments for CONFIG SET - '{name}'")
            if refusal is None:
                if directive.immutable:
                    refusal = name, "can't set immutable config"
                elif directive.protected and not protected_allowed:
                    refusal = name, "can't set protected config"
                elif lowered in seen:
                    refusal = name, "duplicate parameter"
            seen.add(lowered)
            directives.append(directive)
        if refusal is not None:
            raise _refused(*refusal)
        return directives

    def _assign(self, directives: Sequence[Directive], pairs: Sequence[tuple[str, str]]) -> None:
        for directive, (name, text) in zip(directives, pairs, strict=True):
            words = text.split(" ") if directive.kind.several_words else [text]
            base = getattr(self, directive.attribute) if directive.adds_up == "always" else None
            try:
                setattr(self, directive.attribute, directive.kind.parse(words, base))
            except BadValue as error:
                raise _refused(name, str(error)) from None

    def _apply(self, changed: Sequence[str], pairs: Sequence[tuple[str, str]], applied: list[Apply]) -> None:
        """Tell those who asked. `applied` collects who must be told again if the values go back."""
        for names, apply in self._callbacks:
            touched = next((name for name in changed if name in names), None)
            if touched is None:
                continue
            try:
                apply(self)
            except BadValue as error:
                sent = next(name for name, _ in pairs if BY_NAME[name.lower()].name == touched)
                raise _refused(sent, str(error)) from None
            applied.append(apply)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), BY_NAME, n=1)
    return "Bad directive or wrong number of arguments" + (f" (did you mean '{near[0]}'?)" if near else "")


def _refused(name: str, why: str) -> ConfigSetError:
    return ConfigSetError(f"CONFIG SET failed (possibly related to argument '{name.lower()}') - {why}")


def _words_of_file(directive: Directive, words: Sequence[str]) -> Sequence[str]:
    if not words and directive.kind.several_words and directive.default:
        return [""]
    if not words:
        raise BadValue("wrong number of arguments")
    if directive.kind.several_words:
        return words[0].split(" ") if len(words) == 1 and not directive.unlisted else words
    if len(words) != 1:
        raise BadValue("wrong number of arguments")
    return words


__all__ = ["Apply", "ConfigSetError", "Configuration", "RewriteError", "Setting"]
