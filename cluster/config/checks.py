"""Checks of single words that go beyond a type: host names, file names, templates. The texts are Redis's."""

from __future__ import annotations

import re
from collections.abc import Callable

from bus.names import MAX_HOST_NAME, address_fault, host_name_fault
from cluster.config.values import BadValue

_TITLE_FIELDS = frozenset(("title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"))


def address_check(text: str) -> None:
    _refuse(address_fault(text))


def host_name_check(text: str) -> None:
    _refuse(host_name_fault(text))


def _refuse(fault: str) -> None:
    if fault:
        raise BadValue(fault)


def human_name_check(text: str) -> None:
    if len(text) > MAX_HOST_NAME or not re.fullmatch(r"[0-9A-Za-z._-]*", text):
        raise BadValue("Announced human node name contained invalid character")


def file_name_check(directive: str, *, empty: bool = False, what: str = "filename") -> Callable[[str], None]:
    """A check for the name of a file in `dir`: no path, and only with `empty` may it be empty."""

    def check(text: str) -> None:
        if not text and not empty:
            raise BadValue(f"{directive} can't be empty")
        if "/" in text:
            raise BadValue(f"{directive} can't be a path, just a {what}")

    return check


def title_template_check(text: str) -> None:
    fields = re.findall(r"\{([^{}]*)\}", text)
    rest = re.sub(r"\{[^{}]*\}", "", text)
    if not text or set(fields) - _TITLE_FIELDS or "{" in rest:
        raise BadValue("template format is invalid or contains unknown variables")
