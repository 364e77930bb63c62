"""What the node does not have yet, as tests name it."""

from __future__ import annotations

import pytest

_OURS = "config.getoption('server') == 'ours'"


def waits_for(part: str) -> pytest.MarkDecorator:
    """A test that fails on our node for want of `part`; it fails the suite once it passes there."""
    return pytest.mark.xfail(_OURS, reason=f"waits for {part}", strict=True)
