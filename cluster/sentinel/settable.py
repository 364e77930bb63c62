"""What can be set, of Sentinel itself and of a primary, by its file as by SENTINEL SET and CONFIG SET."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cluster.sentinel.members import add_primary
from cluster.sentinel.state import Primary, Settings, State

HIGHEST_PORT = 65535
_LARGEST = 2**31 - 1


class BadSetting(Exception):
    """It cannot be set to that; str() is why."""


class NoScript(BadSetting):
    """There is no such script, or it cannot be run."""


def positive(word: str) -> int:
    number = integer(word)
    if number <= 0:
        raise BadSetting("negative or zero time parameter.")
    return number


def integer(word: str) -> int:
    digits = word.removeprefix("-")
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= len(str(_LARGEST))) or int(digits) > _LARGEST:
        raise BadSetting(f"'{word}' is not a number.")
    return int(word)


def yes_or_no(option: str, word: str) -> bool:
    if word.lower() not in ("yes", "no"):
        raise BadSetting(f"Please specify yes or no for the {option} option{'s' * option.startswith('deny')}.")
    return word.lower() == "yes"


def monitor(s: State, name: str, host: str, port: int, quorum: int) -> Primary:
    """Watch over another primary."""
    if not name or any(byte in name for byte in " \n\r\t"):
        raise BadSetting("Invalid master name.")
    address = s.address_in_file(host, port) if 0 <= port <= HIGHEST_PORT else None
    if address is None:
        raise BadSetting("Can't resolve instance hostname." if 0 <= port <= HIGHEST_PORT else "Invalid port number.")
    if name in s.primaries:
        raise BadSetting("Duplicate master name.")
    return add_primary(s, name, address, quorum)


# -- of a primary ------------------------------------------------------------------------------------------------


def _down_after(_s: State, primary: Primary, word: str) -> None:
    primary.down_after_ms = positive(word)
    for instance in (*primary.replicas.values(), *primary.peers.values()):
        instance.down_after_ms = primary.down_after_ms


def _failover_timeout(_s: State, primary: Primary, word: str) -> None:
    primary.failover_timeout_ms = positive(word)


def _parallel_syncs(_s: State, primary: Primary, word: str) -> None:
    primary.parallel_syncs = integer(word)


def _notification_script(s: State, primary: Primary, word: str) -> None:
    primary.notification_script = _script(s, "Notification script", word)


def _client_reconfig_script(s: State, primary: Primary, word: str) -> None:
    primary.client_reconfig_script = _script(s, "Client reconfiguration script", word)


def _script(s: State, what: str, path: str) -> str:
    if path and not s.is_executable(path):
        raise NoScript(f"{what} seems non existing or non executable.")
    return path


def _auth_pass(_s: State, primary: Primary, word: str) -> None:
    primary.auth_pass = word


def _auth_user(_s: State, primary: Primary, word: str) -> None:
    primary.auth_user = word


def _reboot_down_after(_s: State, primary: Primary, word: str) -> None:
    number = integer(word)
    if number < 0:
        raise BadSetting("negative time parameter.")
    primary.reboot_down_after_ms = number


OF_PRIMARY: dict[str, Callable[[State, Primary, str], None]] = {
    "down-after-milliseconds": _down_after,
    "failover-timeout": _failover_timeout,
    "parallel-syncs": _parallel_syncs,
    "notification-script": _notification_script,
    "client-reconfig-script": _client_reconfig_script,
    "master-reboot-down-after-period": _reboot_down_after,
    "auth-pass": _auth_pass,
    "auth-user": _auth_user,
}
SCRIPTS = ("notification-script", "client-reconfig-script")


def set_of_primary(s: State, primary: Primary, option: str, word: str) -> None:
    """`option` is one of `OF_PRIMARY`. Raises BadSetting."""
    OF_PRIMARY[option](s, primary, word)


def rename_command(primary: Primary, old: str, new: str) -> None:
    """`old` is called `new` by this primary and its replicas; an empty or the same name takes that back."""
    for known in [name for name in primary.renamed if name.lower() == old.lower()]:
        del primary.renamed[known]
    if new and new.lower() != old.lower():
        primary.renamed[old] = new


def differing(s: State, primary: Primary) -> Iterator[tuple[str, str]]:
    """What is not at its default, as the file has it."""
    periods = s.periods
    for option, value, default in (
        ("down-after-milliseconds", primary.down_after_ms, periods.default_down_after),
        ("failover-timeout", primary.failover_timeout_ms, periods.default_failover_timeout),
        ("parallel-syncs", primary.parallel_syncs, 1),
        ("notification-script", primary.notification_script, ""),
        ("client-reconfig-script", primary.client_reconfig_script, ""),
        ("auth-pass", primary.auth_pass, ""),
        ("auth-user", primary.auth_user, ""),
        ("master-reboot-down-after-period", primary.reboot_down_after_ms, 0),
    ):
        if value != default:
            yield option, str(value)


# -- of Sentinel -------------------------------------------------------------------------------------------------

GLOBAL = (
    "resolve-hostnames", "announce-hostnames", "announce-ip", "announce-port", "sentinel-user", "sentinel-pass",
)  # fmt: skip


def set_global(settings: Settings, option: str, word: str) -> None:
    """`option` is one of `GLOBAL`. Raises BadSetting."""
    if option in ("resolve-hostnames", "announce-hostnames"):
        value: object = yes_or_no(option, word)
    elif option == "announce-port":
        value = integer(word)
        if not 0 <= integer(word) <= HIGHEST_PORT:
            raise BadSetting("Invalid port number.")
    else:
        value = word
    setattr(settings, option.replace("-", "_"), value)


def get_global(settings: Settings, option: str) -> str:
    """As SENTINEL CONFIG GET shows it."""
    value = getattr(settings, option.replace("-", "_"))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
