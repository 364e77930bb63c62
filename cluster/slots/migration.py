"""What a MIGRATE asks for, as the command reads it and the migrator carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Migration:
    """One MIGRATE, parsed. `credentials`: AUTH's arguments."""

    host: str
    port: int
    keys: Sequence[bytes]
    target_db: int
    timeout_seconds: float
    copy: bool = False
    replace: bool = False
    credentials: tuple[bytes, ...] = ()
