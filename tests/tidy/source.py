"""The project's own source files, parsed: what the tidy tests look through."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT_FOLDERS = ("cluster", "bus")
ALL_FOLDERS = (*PRODUCT_FOLDERS, "tests", "scripts")


@dataclass(frozen=True)
class SourceFile:
    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the root, for messages and lists."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """``cluster.commands.strings``; a package by its own name."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imported(self) -> set[str]:
        """Every module that is named in an import, wherever it stands; `from a import b` gives a and a.b."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        return found

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@functools.cache
def source_files(*folders: str) -> tuple[SourceFile, ...]:
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(SourceFile(path, text := path.read_text(), ast.parse(text, str(path))) for path in paths)
