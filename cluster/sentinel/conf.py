"""sentinel.conf: its `sentinel` lines read into the state, and the state written into the text that is there.

What a line is about (`monitor mymaster`, `known-replica mymaster 127.0.0.1 6380`) stays at its place; comments and all
other lines stay as they are; what has no line yet comes at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.config.errors import ConfigError
from cluster.config.quoting import quote_if_needed, split_words
from cluster.config.rewrite import SIGNATURE
from cluster.config.store import Setting
from cluster.sentinel import members, settable
from cluster.sentinel.settable import BadSetting
from cluster.sentinel.state import Primary, State

Words = tuple[str, ...]

_ID_LENGTH = 40
_MOST_DIGITS = 20
_UNRECOGNIZED = "Unrecognized sentinel configuration statement."
_FIRST = ("myid", "deny-scripts-reconfig", "announce-ip", "announce-port", "resolve-hostnames", "announce-hostnames",
          "current-epoch", "sentinel-user", "sentinel-pass")  # fmt: skip
"""Lines about no primary; those about one need it, and have to wait for `monitor`, wherever that stands."""
_KNOWN = ("known-replica", "known-slave", "known-sentinel")
_KEY_WORDS = {"known-replica": 4, "known-sentinel": 5, "rename-command": 3}
"""So many words say what a line is about, where it is not two (or, for the lines about no primary, one)."""
_NEWER = {"known-slave": "known-replica"}


def read(s: State, lines: Sequence[Setting]) -> None:
    """Take the lines of a file. Raises ConfigError."""

    def order(setting: Setting) -> int:
        option = setting.words[0].lower()
        if option in _FIRST:
            return 0
        return 1 if option == "monitor" else 3 if option in _KNOWN else 2

    for setting in sorted(lines, key=order):
        try:
            _take(s, setting.words[0].lower(), setting.words[1:])
        except BadSetting as error:
            raise ConfigError(str(error), setting.place, setting.line) from None


def _take(s: State, option: str, words: Words) -> None:
    if option in _FIRST:
        if len(words) != 1:
            raise BadSetting(_UNRECOGNIZED)
        _take_global(s, option, words[0])
    elif option == "monitor":
        _monitor(s, words)
    else:
        if not words:
            raise BadSetting(_UNRECOGNIZED)
        primary = s.primaries.get(words[0])
        if primary is None:
            raise BadSetting("No such master with specified name.")
        _about(s, primary, option, words[1:])


def _take_global(s: State, option: str, word: str) -> None:
    if option == "myid":
        if len(word) != _ID_LENGTH:
            raise BadSetting("Malformed Sentinel id in myid option.")
        s.my_id = word
    elif option == "current-epoch":
        s.current_epoch = max(s.current_epoch, _number(word))
    elif option == "deny-scripts-reconfig":
        s.settings.deny_scripts_reconfig = settable.yes_or_no(option, word)
    else:
        settable.set_global(s.settings, option, word)


def _monitor(s: State, words: Words) -> None:
    if len(words) != 4:
        raise BadSetting(_UNRECOGNIZED)
    name, host, port, quorum = words
    if _number(quorum) <= 0:
        raise BadSetting("Quorum must be 1 or greater.")
    settable.monitor(s, name, host, _number(port), _number(quorum))


def _about(s: State, primary: Primary, option: str, words: Words) -> None:
    if option in ("config-epoch", "leader-epoch") and len(words) == 1:
        epoch = _number(words[0])
        s.current_epoch = max(s.current_epoch, epoch)
        if option == "config-epoch":
            primary.config_epoch = epoch
        else:
            primary.leader_epoch = epoch
    elif option in ("known-replica", "known-slave") and len(words) == 2:
        address = s.address_in_file(words[0], _port(words[1]))
        if address is not None:
            members.add_replica(s, primary, address)
    elif option == "known-sentinel" and len(words) in (2, 3):
        address = s.address_in_file(words[0], _port(words[1]))
        if address is not None and len(words) == 3 and words[2] not in primary.peers:
            members.add_peer(s, primary, words[2], address)
    elif option == "rename-command" and len(words) == 2:
        if any(name.lower() == words[0].lower() for name in primary.renamed):
            raise BadSetting("Same command renamed multiple times with rename-command.")
        settable.rename_command(primary, *words)
    elif option in settable.OF_PRIMARY and len(words) == 1:
        settable.set_of_primary(s, primary, option, words[0])
    else:
        raise BadSetting(_UNRECOGNIZED)


def _port(word: str) -> int:
    port = _number(word)
    if port > settable.HIGHEST_PORT:
        raise BadSetting("Invalid port number.")
    return port


def _number(word: str) -> int:
    if not (word.isdecimal() and word.isascii() and len(word) <= _MOST_DIGITS):
        raise BadSetting(f"'{word}' is not a number.")
    return int(word)


# -- writing -----------------------------------------------------------------------------------------------------


def lines(s: State) -> Iterator[Words]:
    """All that the file has to say, as the words behind `sentinel`."""
    settings = s.settings
    yield "myid", s.my_id
    if not settings.deny_scripts_reconfig:
        yield "deny-scripts-reconfig", "no"
    if settings.resolve_hostnames:
        yield "resolve-hostnames", "yes"
    if settings.announce_hostnames:
        yield "announce-hostnames", "yes"
    for primary in s.primaries.values():
        yield from _lines_of(s, primary)
    yield "current-epoch", str(s.current_epoch)
    if settings.announce_ip:
        yield "announce-ip", settings.announce_ip
    if settings.announce_port:
        yield "announce-port", str(settings.announce_port)
    if settings.sentinel_user:
        yield "sentinel-user", settings.sentinel_user
    if settings.sentinel_pass:
        yield "sentinel-pass", settings.sentinel_pass


def _lines_of(s: State, primary: Primary) -> Iterator[Words]:
    name, current = primary.name, primary.current_address
    yield "monitor", name, s.shown(current), str(current.port), str(primary.quorum)
    for option, value in settable.differing(s, primary):
        yield option, name, value
    yield "config-epoch", name, str(primary.config_epoch)
    yield "leader-epoch", name, str(primary.leader_epoch)
    for replica in primary.replicas.values():
        # The promoted one is the primary by now, and the old primary a replica.
        address = primary.address if replica.address == current else replica.address
        yield "known-replica", name, s.shown(address), str(address.port)
    for peer in primary.peers.values():
        yield "known-sentinel", name, s.shown(peer.address), str(peer.address.port), peer.run_id
    for old, new in primary.renamed.items():
        yield "rename-command", name, old, new


def rewrite(text: str, wanted: Sequence[Words]) -> str:
    """The text of a file with its `sentinel` lines brought up to date."""
    by_key = {_key(words): words for words in wanted}
    kept: list[str] = []
    for line in text.rstrip("\n").split("\n") if text.strip() else []:
        words = split_words(line.strip()) or []
        if len(words) < 2 or words[0].lower() != "sentinel":
            kept.append(line)
            continue
        new = by_key.pop(_key(tuple(words[1:])), None)
        if new is not None:
            kept.append(_line(new))
    if by_key and SIGNATURE not in kept:
        kept += ["", SIGNATURE] if kept else [SIGNATURE]
    kept += [_line(words) for words in by_key.values()]
    return "\n".join(kept) + "\n"


def _key(words: Words) -> Words:
    option = _NEWER.get(words[0].lower(), words[0].lower())
    if option in _FIRST:
        return (option,)
    subject = words[1 : _KEY_WORDS.get(option, 2)]
    if option == "rename-command":
        subject = (*subject[:1], *(name.lower() for name in subject[1:]))
    return option, *subject


def _line(words: Words) -> str:
    return " ".join(("sentinel", words[0], *map(quote_if_needed, words[1:])))

