"""scripts/bench: what to measure, the progress of it, the tables, and the JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cluster.bringup.client import ReplyError
from cluster.bringup.errors import BringUpError
from cluster.version import VERSION
from scripts.benchmark.bus_bytes import SIZES, measure_bus
from scripts.benchmark.gaps import measure_gaps
from scripts.benchmark.memory import measure_memory
from scripts.benchmark.persistence import measure_persistence
from scripts.benchmark.report import (
    cluster_table,
    memory_table,
    operations_table,
    persistence_table,
    scale_table,
    sentinel_table,
    show,
    snapshots_table,
    stalls_table,
    throughput_table,
)
from scripts.benchmark.resharding import measure_resharding
from scripts.benchmark.scale import SIZES as SCALES
from scripts.benchmark.scale import measure_scale
from scripts.benchmark.sentinels import measure_sentinels
from scripts.benchmark.snapshots import WRITERS, measure_snapshots
from scripts.benchmark.structures import FAMILIES, measure_structures
from scripts.benchmark.throughput import TESTS, measure

ROOT = Path(__file__).resolve().parents[2]
CLUSTER_PARTS = ("gaps", "reshard", "bus")
NEEDED_PROGRAMS = ("redis-server", "redis-benchmark", "redis-cli", "ss")

_HOW_LONG = """The tables come at the end; until then a line says what is being measured. With the defaults that takes
some three minutes on two processors, and longer with --cluster, --sentinel, --structures and --persistence; --rounds 1
takes a third of it, --tests, --parts and --families choose."""

Report = Callable[[str], None]
Result = tuple[list[Table], dict[str, object]]
"""The tables to show, and the figures for the JSON."""


def main() -> int:
    options = _parse()
    missing = [name for name in NEEDED_PROGRAMS if shutil.which(name) is None]
    if missing:
        _complain(f"{', '.join(missing)} missing (Debian: apt install redis-server redis-tools iproute2)")
        return 1
    console = Console(stderr=True)
    parent = ROOT / ".bench_tmp"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=parent))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it stops its servers then, too
    try:
        with console.status("starting") as status:

            def report(text: str) -> None:
                status.update(text)
                if not console.is_terminal:
                    print(text, file=sys.stderr)

            tables, figures = options.what(directory, options, report)
    except (BringUpError, ReplyError, RuntimeError, OSError) as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for table in tables:
        show(table)
    if options.json is not None:
        options.json.write_text(json.dumps({"about": _about(), **figures}, indent=2) + "\n")
    return 0


def _complain(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)


def _parse() -> argparse.Namespace:
    about = "Measure this node beside redis-server, in turn, in one run; medians are shown."
    parser = argparse.ArgumentParser(prog="bench", description=about, epilog=_HOW_LONG)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each measurement (default: 3)")
    group = parser.add_argument_group("throughput (redis-benchmark -c 50)")
    group.add_argument(
        "--tests", type=_several(tuple(TESTS)), default=list(TESTS), metavar="A,B", help=f"of {','.join(TESTS)}"
    )
    group.add_argument("--pipelines", type=_numbers, default=[1, 16], metavar="N,M", help="default: 1,16")
    group.add_argument("--requests", type=int, default=60_000, metavar="N", help="requests a round (default: 60000)")
    group = parser.add_argument_group("the cluster")
    group.add_argument(
        "--cluster", dest="what", action="store_const", const=_cluster, default=_throughput,
        help="write gaps, resharding and bus bytes instead",
    )  # fmt: skip
    group.add_argument(
        "--parts", type=_several(CLUSTER_PARTS), default=list(CLUSTER_PARTS), metavar="A,B",
        help=f"of {','.join(CLUSTER_PARTS)}",
    )  # fmt: skip
    group.add_argument("--sizes", type=_numbers, default=list(SIZES), metavar="N,M", help="idle nodes (default: 6,30)")
    group.add_argument(
        "--sentinel", dest="what", action="store_const", const=_sentinel,
        help="instead how long sentinels take to replace a primary that was killed",
    )  # fmt: skip
    group.add_argument(
        "--scale", dest="what", action="store_const", const=_scale,
        help="instead how the bus grows with the cluster, simulated: minutes for 1000 nodes, and 5 GB of memory",
    )  # fmt: skip
    group.add_argument(
        "--scales", type=_numbers, default=list(SCALES), metavar="N,M",
        help=f"simulated nodes (default: {','.join(map(str, SCALES))})",
    )  # fmt: skip
    _parse_data(parser.add_argument_group("the data"))
    return parser.parse_args()


def _parse_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--memory", dest="what", action="store_const", const=_memory, help="bytes of memory for each key instead"
    )
    group.add_argument("--keys", type=int, default=200_000, metavar="N", help="strings (default: 200000)")
    group.add_argument(
        "--structures", dest="what", action="store_const", const=_structures,
        help="large collections instead: the cost of operations, and who waits when they go",
    )  # fmt: skip
    group.add_argument(
        "--families", type=_several(FAMILIES), default=list(FAMILIES), metavar="A,B", help=f"of {','.join(FAMILIES)}"
    )
    group.add_argument("--elements", type=int, default=1_000_000, metavar="N", help="of each (default: 1000000)")
    group.add_argument(
        "--persistence", dest="what", action="store_const", const=_persistence,
        help="append-only files, snapshots, full syncs and a replica's lag instead",
    )  # fmt: skip
    group.add_argument(
        "--snapshots", dest="what", action="store_const", const=_snapshots,
        help="what a snapshot costs while it is made instead: time, memory, how long GETs take",
    )  # fmt: skip
    group.add_argument(
        "--writers", type=_several(tuple(WRITERS)), default=list(WRITERS), metavar="A,B", help=f"of {','.join(WRITERS)}"
    )
    group.add_argument(
        "--snapshot-keys", type=_numbers, default=[1_000_000, 5_000_000], metavar="N,M", help="default: 1000000,5000000"
    )


def _several(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split(",")
        if unknown := [word for word in words if word not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return words

    return parse


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _throughput(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    rows = measure(directory, options.tests, options.pipelines, options.requests, options.rounds, report)
    return [throughput_table(rows)], {"throughput": [{**asdict(row), "ratio": row.ratio} for row in rows]}


def _cluster(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    gaps = measure_gaps(directory, options.rounds, report) if "gaps" in options.parts else []
    reshard = measure_resharding(directory, options.rounds, report) if "reshard" in options.parts else None
    bus = measure_bus(directory, options.sizes, report) if "bus" in options.parts else []
    figures: dict[str, object] = {
        "gaps": [asdict(row) for row in gaps],
        "resharding": asdict(reshard) if reshard is not None else None,
        "bus": [asdict(row) for row in bus],
    }
    return [cluster_table(gaps, reshard, bus)], figures


def _sentinel(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    rows = measure_sentinels(directory, options.rounds, report)
    return [sentinel_table(rows)], {"sentinel": [asdict(row) for row in rows]}


def _scale(_directory: Path, options: argparse.Namespace, report: Report) -> Result:
    rows = measure_scale(options.scales, report)
    return [scale_table(rows)], {"scale": [asdict(row) for row in rows]}


def _memory(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    rows = measure_memory(directory, options.keys, report)
    return [memory_table(rows)], {"memory": [{**asdict(row), "ratio": row.ratio} for row in rows]}


def _structures(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    operations, stalls = measure_structures(
        directory, options.families, options.elements, options.rounds, report
    )
    figures: dict[str, object] = {
        "operations": [asdict(row) for row in operations], "stalls": [asdict(row) for row in stalls]
    }
    return [operations_table(operations, options.elements), stalls_table(stalls, options.elements)], figures


def _persistence(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    rows = measure_persistence(directory, options.keys, options.requests, options.rounds, report)
    return [persistence_table(rows)], {"persistence": [{**asdict(row), "ratio": row.ratio} for row in rows]}


def _snapshots(directory: Path, options: argparse.Namespace, report: Report) -> Result:
    rows = measure_snapshots(directory, options.snapshot_keys, options.writers, report)
    return [snapshots_table(rows)], {"snapshots": [asdict(row) for row in rows]}


def _about() -> dict[str, object]:
    """What a reader of the figures must know."""
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "cluster_node": VERSION,
        "redis": redis.split()[2].removeprefix("v="),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": os.getloadavg(),
    }


if __name__ == "__main__":
    sys.exit(main())
