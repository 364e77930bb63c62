"""scripts/chaos: the cluster, the load, the faults, and at the end the verdict."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cluster.bringup.client import ReplyError
from cluster.bringup.errors import BringUpError
from cluster.bringup.formation import Report, form, wait_agreed, wait_answering
from cluster.bringup.processes import NodeProcess, plan_processes, require_free_ports, stop_all
from cluster.config.errors import ConfigError
from cluster.config.store import BUS_PORT_OFFSET, Setting
from cluster.config.yaml_config import ClusterPlan, NodePlan
from scripts.chaos_run.clients import Load, read_all
from scripts.chaos_run.faults import Faults
from scripts.chaos_run.schedule import schedule
from scripts.chaos_run.timeline import Event, exposures, rows, verdict
from scripts.histories.judgement import judge
from scripts.histories.operations import Operation, to_lines, told

ROOT = Path(__file__).resolve().parents[2]
_USUAL = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"}
MOST_TOLD = 3
"""So many keys that are wrong are told with all that was done to them; the history that is kept has the rest."""
_ABOUT = """A real cluster on loopback under load: primaries and replicas are killed, stopped, restarted, failed over,
slots are moved, all in an order that a seed decides. After each fault the cluster must become whole again. What clients
were answered is recorded, and must be linearizable key by key; only what a primary acknowledged in the second before
it was killed or stopped may be missing. Exit status 0 if so, 1 if not; then history and logs are kept."""


def main() -> int:
    options = _parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=True)
    parent = ROOT / ".bench_tmp"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-", dir=parent))
    nodes: list[NodeProcess] = []
    keep = True
    try:
        nodes = _plan(directory, options)
        keep = not _run(nodes, directory, options, console)
        return 1 if keep else 0
    except (BringUpError, ConfigError, ReplyError, RuntimeError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        keep = options.keep
        return 130
    finally:
        stop_all(nodes, deadline_s=5.0)
        if keep or options.keep:
            print(f"The history and the nodes' logs are in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=_ABOUT)
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M", help="how long faults go on (default: 1)")
    parser.add_argument("--seed", type=int, metavar="N", help="the same faults in the same order again")
    parser.add_argument("--nodes", type=int, default=6, metavar="N", help="nodes, half of them replicas (default: 6)")
    parser.add_argument("--port", type=int, default=7400, metavar="P", help="the first node's port (default: 7400)")
    parser.add_argument("--clients", type=int, default=4, metavar="N", help="clients at once (default: 4)")
    parser.add_argument(
        "--rate", type=float, default=400.0, metavar="N", help="operations a second, all together (default: 400)"
    )
    parser.add_argument("--node-timeout", type=int, default=2000, metavar="MS", help="default: 2000")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a directive for every node; may be repeated"
    )
    parser.add_argument("--no-loss", action="store_true", help="nothing that was acknowledged may be missing at all")
    parser.add_argument("--keep", action="store_true", help="keep history and logs in any case")
    options = parser.parse_args()
    if wrong := [text for text in options.set if "=" not in text]:
        parser.error(f"argument --set: {wrong[0]}: not NAME=VALUE")
    if options.nodes < 6 or options.nodes % 2:
        parser.error("argument --nodes: an even number, 6 or more")
    if options.clients < 1 or options.rate <= 0:
        parser.error("arguments --clients and --rate: more than 0")
    if options.seed is None:
        options.seed = random.randrange(1_000_000)
    return options


def _plan(directory: Path, options: argparse.Namespace) -> list[NodeProcess]:
    given = {**_USUAL, **dict(text.split("=", 1) for text in options.set)}
    ports = range(options.port, options.port + options.nodes)
    plan = ClusterPlan(
        name="chaos", replicas=1, node_timeout_ms=options.node_timeout, host="127.0.0.1", directory=str(directory),
        password="", secret="", directives=[Setting(name, tuple(value.split(" "))) for name, value in given.items()],
        nodes=[NodePlan(port, port + BUS_PORT_OFFSET, "127.0.0.1", str(directory / str(port)), ()) for port in ports],
    )  # fmt: skip
    nodes = plan_processes(plan)
    require_free_ports(nodes)
    options.plan = plan
    return nodes


def _run(nodes: list[NodeProcess], directory: Path, options: argparse.Namespace, console: Console) -> bool:
    console.print(f"seed {options.seed}; partitions of the network are not made")
    with console.status("starting the cluster") as status:

        def report(text: str) -> None:
            status.update(text)

        for node in nodes:
            node.start()
        wait_answering(nodes, report)
        form(options.plan, nodes, report)
        wait_agreed(nodes, report)
        ways = {node.plan.port: node.connect for node in nodes}
        load = Load(ways, options.clients, options.rate, options.seed)
        begun = time.monotonic_ns()
        load.start()
        try:
            events = _strike(nodes, load, options, console, report)
        finally:
            load.stop()
        report("judging")
        recorded = load.recorded()
        with (directory / "history.jsonl").open("w") as file:
            file.writelines(to_lines(recorded))
        recorded += read_all(ways, recorded)
        exposed = exposures(events)
        judgement = judge(recorded, exposed, no_loss=options.no_loss)
    console.print(_table(events, recorded, begun))
    console.print(
        f"{judgement.operations} operations on {judgement.keys} keys; {judgement.exposed} writes were acknowledged by "
        f"a primary in its last second, {judgement.lost} elements of lists among them are lost"
    )
    wrong = verdict(judgement, events)
    for line in wrong:
        console.print(f"WRONG: {line}", markup=False)
    for key in judgement.broken_keys[:MOST_TOLD]:
        console.print(told(key, recorded, exposed), markup=False)
    again = f"scripts/chaos --seed {options.seed} --minutes {options.minutes:g}"
    console.print(f"verdict: {len(wrong)} things are wrong; again: {again}" if wrong else "verdict: all is well")
    return not wrong


def _strike(
    nodes: list[NodeProcess], load: Load, options: argparse.Namespace, console: Console, report: Report
) -> list[Event]:
    """Fault after fault until the time is over, or until the cluster stays broken."""
    faults, events = Faults(nodes), []
    end = time.monotonic() + options.minutes * 60
    for strike in schedule(options.seed):
        report(f"calm; {load.count()} operations")
        time.sleep(strike.calm_s)
        if time.monotonic() > end:
            break
        report(f"{strike.fault}; {load.count()} operations")
        event = faults.strike(strike)
        events.append(event)
        if not console.is_terminal:
            console.print(event.what, markup=False)
        if event.trouble:
            break
    return events


def _table(events: list[Event], recorded: list[Operation], begun_ns: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("at", "what", "whole after", "ok", "failed", "unknown"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    for row in rows(events, recorded, begun_ns):
        counts = (str(row.ok), str(row.failed), str(row.unknown))
        table.add_row(f"{row.at_s:.1f} s", row.what, row.outcome, *counts)
    return table


if __name__ == "__main__":
    sys.exit(main())
