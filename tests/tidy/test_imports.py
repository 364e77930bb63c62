"""Arrows point one way; pure code has no clock, dice, socket or file; no module is there for nobody.

import-linter holds the directions too, over indirect imports; this test says the same in a second and in one table.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tests.tidy.source import PRODUCT_FOLDERS, SourceFile, source_files

MAY_NOT_IMPORT: Mapping[str, tuple[str, ...]] = {
    "bus": ("cluster",),
    "cluster.protocol": (
        "bus", "cluster.commands", "cluster.config", "cluster.keyspace", "cluster.network", "cluster.node",
        "cluster.persistence", "cluster.replication", "cluster.server", "cluster.slots",
    ),
    "cluster.keyspace": (
        "bus", "cluster.commands", "cluster.network", "cluster.node", "cluster.persistence", "cluster.replication",
        "cluster.slots",
    ),
    "cluster.acl": ("bus", "cluster.access", "cluster.network", "cluster.node", "cluster.server"),
    "cluster.slots": ("bus.transport", "cluster.network", "cluster.node", "cluster.persistence", "cluster.replication"),
    "cluster.commands": ("bus.transport", "cluster.network", "cluster.node"),
    "cluster.config": (
        "bus", "cluster.commands", "cluster.keyspace", "cluster.network", "cluster.node", "cluster.persistence",
        "cluster.protocol", "cluster.replication", "cluster.server", "cluster.slots",
    ),
    "cluster.sentinel": (
        "bus", "cluster.node", "cluster.persistence", "cluster.replication", "cluster.scripting", "cluster.slots",
    ),
    "cluster": ("cluster.bringup", "scripts", "tests"),
}  # fmt: skip
"""By the package that imports: what it may not, itself or below. Imports for the type checker do not count."""
SHARED_RULES = {"cluster.config.checks": "bus.names", "cluster.config.store": "cluster.keyspace.glob"}
"""What may be announced is one rule, for the directives as for what comes over the wire; so is what a pattern
matches."""

PURE = (
    "bus", "cluster.acl", "cluster.keyspace", "cluster.commands", "cluster.slots", "cluster.protocol",
    "cluster.sentinel",
)  # fmt: skip
SHELLS = {
    "bus.transport", "bus.links", "bus.listening", "bus.storage", "cluster.sentinel.links", "cluster.sentinel.names",
    "cluster.sentinel.process",
}  # fmt: skip
"""The thin parts of pure packages that do touch the world."""

WORLD = {
    "asyncio", "datetime", "secrets", "select", "signal", "socket", "ssl", "subprocess", "tempfile", "threading",
    "time", "trio",
}  # fmt: skip
WORLDLY_CALLS = {
    "open", "print", "random.random", "random.randrange", "random.randint", "random.choice", "random.shuffle",
    "random.sample", "random.SystemRandom", "os.urandom", "os.getpid", "os.environ.get", "os.getenv",
}  # fmt: skip

ENTRY_POINTS = {"cluster.__main__", "cluster.bringup.__main__", "cluster.config.documentation"}
FOUND_BY_FOLDER = ("cluster.commands.",)
"""Every module in here is imported by the package itself, by being there."""


def _runtime_imports(file: SourceFile) -> set[str]:
    typing_only = {
        id(inner)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    kept = [node for node in ast.walk(file.tree) if id(node) not in typing_only]
    found: set[str] = set()
    for node in kept:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_arrows_point_one_way() -> None:
    wrong = {
        f"{file.module} imports {imported}"
        for file in source_files(*PRODUCT_FOLDERS)
        for package, forbidden in MAY_NOT_IMPORT.items()
        if _is_below(file.module, package) and not _is_below(file.module, "cluster.bringup")
        for imported in _runtime_imports(file)
        if any(_is_below(imported, target) for target in forbidden)
        if not _is_below(imported, SHARED_RULES.get(file.module, imported + "?"))
    }
    assert wrong == set()


def test_only_the_program_imports_the_node() -> None:
    importers = {file.module for file in source_files(*PRODUCT_FOLDERS) if "cluster.node" in file.imported()}
    assert importers <= {"cluster.__main__"}


def _pure_files() -> list[SourceFile]:
    return [
        file
        for file in source_files(*PRODUCT_FOLDERS)
        if any(_is_below(file.module, package) for package in PURE) and file.module not in SHELLS
    ]


def test_pure_code_imports_no_world() -> None:
    wrong = {
        f"{file.module} imports {name}"
        for file in _pure_files()
        for imported in _runtime_imports(file)
        if (name := imported.partition(".")[0]) in WORLD
    }
    assert wrong == set()


def test_pure_code_throws_no_dice_and_opens_no_file() -> None:
    wrong = {
        f"{file.name}:{node.lineno} calls {called}"
        for file in _pure_files()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in WORLDLY_CALLS
    }
    assert wrong == set()


def test_no_module_is_there_for_nobody() -> None:
    used = {imported for file in source_files(*PRODUCT_FOLDERS, "scripts") for imported in file.imported()}
    dead = [
        file.module
        for file in source_files(*PRODUCT_FOLDERS)
        if file.path.name != "__init__.py"
        and file.module not in used | ENTRY_POINTS
        and not file.module.startswith(FOUND_BY_FOLDER)
    ]
    assert dead == []


def test_importing_a_module_keeps_no_state() -> None:
    """No list, dict or set that a module makes for itself is changed by its functions through `global`."""
    wrong = [
        f"{file.name}:{node.lineno}"
        for file in source_files(*PRODUCT_FOLDERS)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Global)
    ]
    assert wrong == []
