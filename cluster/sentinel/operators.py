"""What an operator may want of a sentinel: to watch over another primary, to forget one, to fail one over …

Each of these is carried out by `SentinelCore.operate`, and raises Refused with the error to answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from cluster.sentinel import failover, members, settable
from cluster.sentinel.election import majority
from cluster.sentinel.settable import BadSetting
from cluster.sentinel.state import Primary, State

_DENIED = (
    "Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration "
    "directive in your Sentinel configuration"
)


class Refused(Exception):
    """str() is the error, its code first."""


def find(s: State, name: str) -> Primary:
    primary = s.primaries.get(name)
    if primary is None:
        raise Refused("ERR No such master with that name")
    return primary


class NoAddress(Refused):
    """A host has no address, or none that is known yet."""


def monitor(s: State, name: str, host: str, port: str, quorum: str) -> None:
    votes = _integer(quorum, "Invalid quorum")
    number = _integer(port, "Invalid port")
    if votes <= 0:
        raise Refused("ERR Quorum must be 1 or greater.")
    if s.address(host, number) is None:
        raise NoAddress("ERR Invalid IP address or hostname specified")
    try:
        primary = settable.monitor(s, name, host, number, votes)
    except BadSetting as error:
        raise Refused(f"ERR {error}") from None
    primary.leader_epoch = s.current_epoch  # it may have been watched before, and a vote given
    s.persist()
    s.tell("warning", "+monitor", primary, f" quorum {primary.quorum}")


def _integer(word: str, error: str) -> int:
    try:
        return settable.integer(word)
    except BadSetting:
        raise Refused(f"ERR {error}") from None


def remove(s: State, name: str) -> None:
    primary = find(s, name)
    s.tell("warning", "-monitor", primary)
    members.remove_primary(s, primary)
    s.persist()


def reset(s: State, primary: Primary) -> None:
    if primary.promoted is not None and primary.current_address != primary.address:
        members.switch(s, primary, primary.current_address)  # the promotion has been made, and its epoch taken
    members.reset(s, primary)
    s.persist()
    s.tell("warning", "+reset-master", primary)


def fail_over(s: State, name: str) -> None:
    """Without asking the others; they follow the higher epoch."""
    primary = find(s, name)
    if primary.failing_over:
        raise Refused("INPROG Failover already in progress")
    if failover.choose_replica(s, primary) is None:
        raise Refused("NOGOODSLAVE No suitable replica to promote")
    s.note("warning", f"Executing user requested FAILOVER of '{primary.name}'")
    failover.start(s, primary)
    primary.forced = True


def check_quorum(s: State, name: str) -> str:
    """How a failover would find its votes; raises Refused with NOQUORUM when it would not."""
    primary = find(s, name)
    usable = (not s.unsaved) + sum(1 for peer in primary.peers.values() if not peer.s_down)
    enough, authorized = usable >= primary.quorum, usable >= majority(1 + len(primary.peers))
    if enough and authorized:
        return f"OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
    text = f"NOQUORUM {usable} usable Sentinels. "
    if not enough:
        text += "Not enough available Sentinels to reach the specified quorum for this master"
    if not authorized:
        text += "" if enough else ". "
        text += "Not enough available Sentinels to reach the majority and authorize a failover"
    raise Refused(text)


def set_options(s: State, name: str, options: Sequence[str]) -> None:
    """SENTINEL SET: one after the other, those before a bad one stay."""
    primary = find(s, name)
    words = list(options)
    try:
        while words:
            _set_one(s, primary, words)
    finally:
        s.persist()


def _set_one(s: State, primary: Primary, words: list[str]) -> None:
    """Take an option and its values from the front of `words`."""
    option = words.pop(0)
    name = option.lower()
    needed = 2 if name == "rename-command" else 1
    if len(words) < needed or not (name in settable.OF_PRIMARY or name in ("quorum", "rename-command")):
        raise Refused(f"ERR Unknown option or number of arguments for SENTINEL SET '{option}'")
    values, words[:] = words[:needed], words[needed:]
    if name in settable.SCRIPTS and s.settings.deny_scripts_reconfig:
        raise Refused(f"ERR {_DENIED}")
    try:
        if name == "quorum":
            primary.quorum = settable.positive(values[0])
        elif name == "rename-command":
            _rename(primary, values)
        else:
            if name == "parallel-syncs":
                settable.positive(values[0])  # a file may say 0, as redis-sentinel's
            settable.set_of_primary(s, primary, name, values[0])
    except settable.NoScript as error:
        raise Refused(f"ERR {str(error).rstrip('.')}") from None
    except BadSetting:
        raise Refused(f"ERR Invalid argument '{values[-1]}' for SENTINEL SET '{option}'") from None
    if name in ("auth-pass", "auth-user"):
        for instance in (primary, *primary.replicas.values()):
            members.drop_connections(s, instance.link)
    shown = ["******"] if name == "auth-pass" else values
    s.tell("warning", "+set", primary, " ".join(("", option, *shown)))


def _rename(primary: Primary, values: Sequence[str]) -> None:
    if not all(values):
        raise BadSetting("empty name")
    settable.rename_command(primary, *values)


def config_set(s: State, option: str, value: str) -> None:
    if option.lower() not in settable.GLOBAL:
        raise Refused(f"ERR Invalid argument '{option}' to SENTINEL CONFIG SET")
    try:
        settable.set_global(s.settings, option.lower(), value)
    except BadSetting:
        raise Refused(f"ERR Invalid value '{value}' to SENTINEL CONFIG SET '{option}'") from None
    if option.lower().startswith("sentinel-"):
        _log_in_anew(s)
    s.persist()


def _log_in_anew(s: State) -> None:
    for primary in s.primaries.values():
        for peer in primary.peers.values():
            members.drop_connections(s, peer.link)


def set_periods(s: State, pairs: Sequence[str]) -> None:
    """SENTINEL DEBUG: times of the machinery, in ms."""
    words = list(pairs)
    while words:
        name = words.pop(0)
        attribute = name.lower().replace("-", "_")
        if not words or attribute not in s.periods.__slots__:
            raise Refused(f"ERR Unknown option or number of arguments for SENTINEL DEBUG '{name}'")
        try:
            setattr(s.periods, attribute, settable.positive(value := words.pop(0)))
        except BadSetting:
            raise Refused(f"ERR Invalid argument '{value}' for SENTINEL DEBUG '{name}'") from None
