"""atheris looks for inputs that reach code which none before has reached: `scripts/test --long` only.

`python -m tests.fuzz.guided TARGET RUNS` goes on from the real inputs of tests/fuzz/inputs.py, and exits with 0 when
so many inputs have been taken or refused. A fault is told with the input that leads to it, as Python has it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

from tests.fuzz.steps import TooManySteps, bounded

LONGEST_BYTES = 8192

with atheris.instrument_imports(include=["cluster", "bus"]):
    from tests.fuzz.targets import Target, targets


def dictionary(target: Target) -> str:
    """What is strange in this kind of input, in libFuzzer's form."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in piece[:60]) + '"\n' for piece in target.strange if piece)


def main(name: str, runs: str) -> None:
    [target] = [one for one in targets() if one.name == name]

    def once(data: bytes) -> None:
        try:
            bounded(target.steps + target.steps_per_byte * len(data), lambda: target.read(data))
        except (Exception, TooManySteps):
            sys.stderr.write(f"{name}: this input is neither taken nor refused: {data!r}\n")
            raise

    with tempfile.TemporaryDirectory() as folder:
        seeds, words = Path(folder, "seeds"), Path(folder, "words")
        seeds.mkdir()
        for number, seed in enumerate(target.seeds):
            (seeds / str(number)).write_bytes(seed[:LONGEST_BYTES])
        words.write_text(dictionary(target))
        atheris.Setup(
            ["guided", f"-runs={runs}", f"-max_len={LONGEST_BYTES}", f"-dict={words}", "-rss_limit_mb=1024",
             f"-artifact_prefix={folder}/", "-seed=1", str(seeds)], once,
        )  # fmt: skip
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
