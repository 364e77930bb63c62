"""What a node may announce as its address and host name, and what nobody could be reached at or shown."""

from __future__ import annotations

import pytest

from bus.names import address_fault, host_name_fault


@pytest.mark.parametrize("text", [
    "", "127.0.0.1", "::1", "2001:db8::7", "::ffff:10.0.0.1", "fe80::1%eth0", "fe80::1%br-1.7", "node", "redis_1",
    "a.example", "a.example.", "x" * 63, ".".join(["x" * 61] * 4), "10.0.0.0.in-addr.arpa",
])  # fmt: skip
def test_addresses(text: str) -> None:
    assert address_fault(text) == ""


@pytest.mark.parametrize("text", [
    "a..b", ".", ".a", "a..", "x" * 64, "x." * 127 + "x", "1.2.3.4:5", "[::1]", "::1%lo%x", "fe80::1%a b", "x,y", "a b",
    "a\nb", "h\xf6st", "\u0661.2.3.4", "::1%", "a/b", "\udcff", "a\0",
])  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert address_fault(text) == "The address must be an IP address or the name of a host"


@pytest.mark.parametrize("text", ["", "a", "a-b.example", "A1.example.", "x" * 63, ".".join(["x" * 63] * 3)])
def test_host_names(text: str) -> None:
    assert host_name_fault(text) == ""


@pytest.mark.parametrize(("text", "fault"), [
    ("x" * 256, "Hostnames must be less than 256 characters"),
    ("a_b", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
    ("a b", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
    ("h\xf6st", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
    ("a..b", "Hostnames must have 1 to 63 characters between their dots"),
    (".", "Hostnames must have 1 to 63 characters between their dots"),
    ("x" * 64 + ".example", "Hostnames must have 1 to 63 characters between their dots"),
])  # fmt: skip
def test_what_is_no_host_name(text: str, fault: str) -> None:
    assert host_name_fault(text) == fault
