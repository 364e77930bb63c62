"""Every reader of what others wrote: what is broken is taken or refused, at once, in little memory, and nothing else.

`python -m tests.fuzz.run SEED 1 TARGET` shows again what a seed led to.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.protocol.replies import request
from tests.fuzz.run import made, outcome
from tests.fuzz.steps import TooManySteps, bounded
from tests.fuzz.targets import REFUSED, TAKEN, Target, targets

ROOT = Path(__file__).resolve().parents[2]
TRIES, LONG_TRIES = 150, 30_000
GUIDED_RUNS = 30_000
EXAMPLES, LONG_EXAMPLES = 40, 2_000
NAMES = [
    "session", "session before login", "bus frame", "bus link", "bus link with a secret", "nodes.conf", "cluster.yaml",
    "redis.conf", "RESTORE", "FUNCTION RESTORE",
]  # fmt: skip


@pytest.fixture(scope="module")
def every() -> dict[str, Target]:
    return {target.name: target for target in targets()}


@pytest.mark.timeout(3600)  # with --long
def test_whatever_is_broken_is_taken_or_refused(pytestconfig: pytest.Config) -> None:
    tries = LONG_TRIES if pytestconfig.getoption("--long") else TRIES
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", "0", str(tries)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found: dict[str, dict[str, int]] = json.loads(run.stdout)
    assert list(found) == NAMES
    for name, counts in found.items():
        others = [text for text in counts if text not in (TAKEN, REFUSED)]
        assert not others, (name, others[:3])
        assert counts.get(TAKEN, 0) > tries // 50, (name, counts)
        assert counts.get(REFUSED, 0) > tries // 50, (name, counts)


@pytest.mark.parametrize("name", NAMES)
def test_the_real_ones_are_taken(every: dict[str, Target], name: str) -> None:
    """So what is broken is broken somewhere within."""
    outcomes = [outcome(every[name], seed) for seed in every[name].seeds]
    assert set(outcomes) <= {TAKEN, REFUSED}
    assert outcomes.count(TAKEN) * 2 > len(outcomes)


def test_any_bytes_at_all(every: dict[str, Target], pytestconfig: pytest.Config) -> None:
    """hypothesis makes them of pieces, and shrinks what it finds."""
    examples = LONG_EXAMPLES if pytestconfig.getoption("--long") else EXAMPLES
    for target in every.values():
        search(target, examples)


def search(target: Target, examples: int) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(inputs_of(target))
    def is_foreseen(data: bytes) -> None:
        found = outcome(target, data)
        assert found in (TAKEN, REFUSED), found

    is_foreseen()


def inputs_of(target: Target) -> st.SearchStrategy[bytes]:
    """The beginning of a real input, and behind it pieces of all kinds."""
    pieces = st.one_of(st.binary(max_size=20), st.sampled_from(sorted(piece[:200] for piece in target.strange)))
    seeds = st.sampled_from(sorted(target.seeds, key=len)[:10])
    return st.builds(
        lambda seed, cut, parts: seed[: cut % (len(seed) + 1)] + b"".join(parts),
        seeds, st.integers(0, 1 << 20), st.lists(pieces, max_size=12),
    )  # fmt: skip


def test_what_does_not_end_is_found() -> None:
    """The bound on steps, without which a hang would be a hang of the test."""
    with pytest.raises(TooManySteps):
        bounded(10, lambda: [request([b"PING"]) for _ in range(100)])
    assert bounded(10, lambda: request([b"PING"])) == b"*1\r\n$4\r\nPING\r\n"


@pytest.mark.parametrize(("name", "data"), [
    ("session", b"*1\r\n\r\n"),
    ("session", b"CONFIG GET " + b"*" * 40 + b"q\r\n"),
    ("RESTORE", b"\x05\x02\x01k" + bytes(7) + b"\x80\x01m" + bytes(6) + b"\xf0\x3f"),
])  # fmt: skip
def test_what_was_found_is_mended(every: dict[str, Target], name: str, data: bytes) -> None:
    assert outcome(every[name], data) in (TAKEN, REFUSED)


def test_a_seed_makes_the_same_input_again(every: dict[str, Target]) -> None:
    for target in every.values():
        assert made(target, random.Random("1")) == made(target, random.Random("1"))
        assert len({made(target, random.Random(str(number))) for number in range(20)}) > 10


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_guided_by_coverage(name: str) -> None:
    if find_spec("atheris") is None:
        pytest.skip("there is no atheris for this Python and this machine")
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", name, str(GUIDED_RUNS)], cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.decode("utf-8", "replace")[-3000:]
    assert b"Done %d runs" % GUIDED_RUNS in run.stderr
