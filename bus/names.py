"""Which addresses and host names a node may announce: the one rule for directives, frames and nodes.conf.

What is taken in here is dialled, shown to clients in redirects and kept as a field of nodes.conf by every node of the
cluster, so nothing passes that is no address: a resolver or an encoder would fail on it, or a line break apart.
"""

from __future__ import annotations

import ipaddress
import re

MAX_HOST_NAME = 255
MAX_NAME = 253
"""The longest name that DNS knows; an address is dialled, a host name only shown."""

_LABEL = re.compile(r"[0-9A-Za-z_-]{1,63}", re.ASCII)
_ZONE = re.compile(r"[0-9A-Za-z._-]*", re.ASCII)
_HOST_NAME = re.compile(r"[0-9A-Za-z.-]*", re.ASCII)


def address_fault(text: str) -> str:
    """Why this is no address a node can have, as one sentence; '' when it is one, or empty (not announced)."""
    if not text or _is_ip(text):
        return ""
    if len(text) <= MAX_NAME and all(map(_LABEL.fullmatch, _labels(text))):
        return ""
    return "The address must be an IP address or the name of a host"


def host_name_fault(text: str) -> str:
    """Why this is no host name, in Redis's words where it has any; '' when it is one, or empty."""
    if len(text) > MAX_HOST_NAME:
        return "Hostnames must be less than 256 characters"
    if _HOST_NAME.fullmatch(text) is None:
        return "Hostnames may only contain alphanumeric characters, hyphens or dots"
    if text and not all(map(_LABEL.fullmatch, _labels(text))):
        return "Hostnames must have 1 to 63 characters between their dots"
    return ""


def _labels(name: str) -> list[str]:
    return name.removesuffix(".").split(".")


def _is_ip(text: str) -> bool:
    address, _, zone = text.partition("%")
    if _ZONE.fullmatch(zone) is None:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.isascii()
