"""How many files the process may open: `maxclients` clients, and what the node needs beside them.

The texts are redis-server's. Unlike it, the hard limit is left where it is, so that `maxclients` can be raised later.
"""

from __future__ import annotations

import resource

from cluster.config.store import Configuration
from cluster.config.values import BadValue
from cluster.log import Log

SPARE_DESCRIPTORS = 64
"""Files and sockets a node needs beside its clients'. Twice redis-server's: the links of the bus are among them."""

BUS_DESCRIPTORS = 512
"""More for the bus of a node in a cluster, where the system lets it have them: strangers on the bus's port (256 at
most) are not to take those of clients and of files."""


class TooFewDescriptors(Exception):
    """Not even one client could connect; the message is the line for the log."""


def provide_at_start(config: Configuration, log: Log) -> None:
    """Let `maxclients` clients connect, or lower it to what the system allows. Raises TooFewDescriptors."""
    wanted = config.maxclients + SPARE_DESCRIPTORS
    before, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    reached, cause = _raise_limit(wanted)
    if reached >= wanted:
        if reached > before:
            log("notice", f"Increased maximum number of open files to {reached} (it was originally set to {before}).")
        if config.cluster_enabled:
            _raise_limit(wanted + BUS_DESCRIPTORS)
        return
    if reached <= SPARE_DESCRIPTORS:
        raise TooFewDescriptors(
            f"Your current 'ulimit -n' of {reached} is not enough for the server to start. Please increase your open "
            f"file limit to at least {wanted}. Exiting."
        )
    log("warning", f"You requested maxclients of {config.maxclients} requiring at least {wanted} max file descriptors.")
    log("warning", f"Server can't set maximum open files to {wanted} because of OS error: {cause}.")
    config.replace("maxclients", reached - SPARE_DESCRIPTORS)
    log(
        "warning", f"Current maximum open files is {reached}. maxclients has been reduced to {config.maxclients} to "
        "compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'."
    )  # fmt: skip


def provide(config: Configuration) -> None:
    """The same for CONFIG SET: raises BadValue where the system does not allow it."""
    wanted = config.maxclients + SPARE_DESCRIPTORS
    reached, _ = _raise_limit(wanted)
    if reached < wanted:
        raise BadValue(
            "The operating system is not able to handle the specified number of clients, try with "
            f"{max(0, reached - SPARE_DESCRIPTORS)}"
        )


def _raise_limit(wanted: int) -> tuple[int, str]:
    """(how many files the process may open now, why not as many as wanted); it is never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft, ""
    cause = ""
    for limits in ((wanted, max(hard, wanted)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return limits[0], cause
        except (ValueError, OSError) as error:
            # Python says ValueError where the system says EPERM.
            cause = cause or (isinstance(error, OSError) and error.strerror) or "Operation not permitted"
    return soft, cause
