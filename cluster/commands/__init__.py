"""The command table: one module for each group of commands, found by being in this folder."""

from __future__ import annotations

import importlib
import pkgutil

from cluster.commands.registry import CommandTable, build_table


def all_commands() -> CommandTable:
    """A fresh table of every command there is."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return build_table(importlib.import_module(f"{__name__}.{name}") for name in names)
