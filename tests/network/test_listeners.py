"""Addresses to listen on that are none."""

from __future__ import annotations

import pytest

from bus.listening import BusListenError, open_listener
from cluster.network.listeners import ListenError, listen_tcp

NO_ADDRESSES = ["a\0b", "\udcff", "a..b", "x" * 70]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_no_resolver_takes_is_one_clear_line(address: str) -> None:
    with pytest.raises(ListenError, match=r"bind: Name or service not known. Failed listening on port 1 .tcp."):
        listen_tcp(address, 1, 5)
    with pytest.raises(BusListenError, match=r"bind: Name or service not known. Failed listening on port 1 .cluster."):
        open_listener(address, 1)
