"""What every test shares: the --long option, and temporary directories inside the checkout.

Each run has a directory of its own, so that two runs at once do not empty each other's; what a dead run left is
removed by the next.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
LONG_RUN_SEEDS = "5000"
LONG_RUN_EXAMPLES = "500"
THRESHOLDS = gc.get_threshold()
LONGEST = ("system", "simulation", "differential", "programs")
"""The folders whose files take longest."""

hypothesis.settings.register_profile(
    # Examples take what they take on a busy machine; the same examples each run, so that a failure is one to keep.
    "usual", deadline=None, derandomize=True, print_blob=True,
)  # fmt: skip
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run simulations, fuzzers and kills longer")
    parser.addoption(
        "--rewrite-scenarios", action="store_true", help="write what the text scenarios lead to into their files"
    )
    parser.addoption(
        "--server", choices=("ours", "redis"), default="ours", help="what the system tests start: our node or redis"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    long_run = config.getoption("--long")
    hypothesis.settings.load_profile("long" if long_run else "usual")
    if long_run:
        os.environ.setdefault("CLUSTER_NODE_SEEDS", LONG_RUN_SEEDS)
        os.environ.setdefault("DIFFERENTIAL_EXAMPLES", LONG_RUN_EXAMPLES)
    if config.option.basetemp is None:
        config.option.basetemp = _own_directory(ROOT / ".pytest_tmp")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What is long begins first, so that the two processes of scripts/test, which take a file each, end together.
    items.sort(key=lambda item: LONGEST.index(folder) if (folder := item.path.parent.name) in LONGEST else len(LONGEST))
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.skip(reason="only with --long"))


@pytest.fixture(autouse=True)
def _garbage_is_collected() -> Iterator[None]:
    """A test that leaves the collector off, or tuned as the node's process has it, has all after it keep their nodes:
    gigabytes."""
    yield
    assert gc.isenabled()
    assert gc.get_threshold() == THRESHOLDS
    assert not gc.get_freeze_count()


def _own_directory(parent: Path) -> str:
    parent.mkdir(exist_ok=True)
    for old in parent.glob("run-*"):
        if not Path(f"/proc/{old.name.removeprefix('run-')}").exists():
            shutil.rmtree(old, ignore_errors=True)
    return str(parent / f"run-{os.getpid()}")
