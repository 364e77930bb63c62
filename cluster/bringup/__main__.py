"""scripts/bring-up: start the cluster of cluster.yaml and stay, or look after one that was started before."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cluster.bringup.errors import BringUpError
from cluster.bringup.formation import form, wait_agreed, wait_answering
from cluster.bringup.look import look_at, look_until_settled, rows, why_not_whole
from cluster.bringup.processes import NodeProcess, plan_processes, require_free_ports, stop_all
from cluster.bringup.records import is_formed, read_record_leniently, remove_data, write_record
from cluster.bringup.screen import Screen
from cluster.bringup.watch import watch
from cluster.config.errors import ConfigError
from cluster.config.store import BUS_PORT_OFFSET
from cluster.config.yaml_config import ClusterPlan, NodePlan, parse_cluster_yaml

MAX_PORT = 65535
MIN_PRIMARIES_FOR_FAILOVER = 3
_DEFAULT_FILE = Path(__file__).resolve().parents[2] / "cluster.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    screen = Screen()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # A shell's background job ignores the first.
        signal.signal(number, _as_interrupt)
    try:
        plan = _read_plan(options.config)
        if options.stop or options.status:
            plan = _as_started(plan, options)
        plan = _adjusted(plan, options.nodes, options.replicas)
        nodes = plan_processes(plan, lenient=options.stop or options.status or options.fresh)
        if options.stop:
            return _stop(nodes, screen)
        if options.status:
            return _status(plan, nodes, screen)
        return _start(plan, nodes, screen, options)
    except ConfigError as error:
        screen.error(str(error))
    except BringUpError as error:
        for line in error.lines:
            screen.error(line)
    except OSError as error:
        screen.error(str(error))
    except KeyboardInterrupt:
        screen.error("interrupted")
    return 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bring-up", description="Start the cluster that cluster.yaml describes, and stop it again on Ctrl-C."
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=_DEFAULT_FILE, help="the cluster (default: cluster.yaml)"
    )
    parser.add_argument("--nodes", type=int, metavar="N", help="so many nodes, on ports that follow the file's first")
    parser.add_argument("--replicas", type=int, metavar="R", help="so many replicas for each primary")
    parser.add_argument("--fresh", action="store_true", help="remove the data of an earlier cluster first")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--detach", action="store_true", help="leave the nodes running and return")
    what.add_argument("--status", action="store_true", help="show the cluster; status 0 if it is whole")
    what.add_argument("--stop", action="store_true", help="stop the nodes, however they were started")
    options = parser.parse_args(argv)
    if options.fresh and (options.stop or options.status):
        parser.error(f"argument --fresh: not allowed with argument {'--stop' if options.stop else '--status'}")
    return options


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _read_plan(path: Path) -> ClusterPlan:
    try:
        text = path.read_text()
    except OSError as error:
        raise BringUpError(f"cannot read {path}: {error.strerror}") from None
    return parse_cluster_yaml(text, str(path.resolve()))


def _as_started(plan: ClusterPlan, options: argparse.Namespace) -> ClusterPlan:
    """The plan in the shape in which the cluster was started, which --nodes may have changed."""
    record = read_record_leniently(plan)
    if record is None:
        return plan
    return _adjusted(plan, len(record.directories), record.replicas)


def _adjusted(plan: ClusterPlan, count: int | None, replicas: int | None) -> ClusterPlan:
    """The plan with --nodes and --replicas in place of what the file says. Raises BringUpError."""
    if replicas is not None:
        if replicas < 0:
            raise BringUpError(f"--replicas {replicas}: it cannot be less than 0")
        plan = replace(plan, replicas=replicas)
    if count is not None:
        if count < 1:
            raise BringUpError(f"--nodes {count}: there has to be at least 1")
        plan = replace(plan, nodes=[*plan.nodes[:count], *_further_nodes(plan, count)])
    if plan.primaries < 1:
        said = f"--nodes {count}: " if count is not None else f"--replicas {replicas}: " if replicas is not None else ""
        needed = plan.replicas + 1
        raise BringUpError(f"{said}a primary and its replicas are {needed} nodes, and there are {len(plan.nodes)}")
    return plan


def _further_nodes(plan: ClusterPlan, count: int) -> list[NodePlan]:
    """The nodes that --nodes asks for beyond the file's, on the ports behind them."""
    base = max(node.port for node in plan.nodes)
    last = base + count - len(plan.nodes)
    if last > MAX_PORT - BUS_PORT_OFFSET:
        raise BringUpError(f"--nodes {count}: the last would have port {last}, and no port is left for its bus")
    return [
        NodePlan(port, port + BUS_PORT_OFFSET, plan.host, str(Path(plan.directory) / str(port)), ())
        for port in range(base + 1, last + 1)
    ]


def _asked(options: argparse.Namespace) -> str:
    """What was typed instead of what the file says, as it was typed."""
    given = {"--nodes": options.nodes, "--replicas": options.replicas}
    return " ".join(f"{name} {value}" for name, value in given.items() if value is not None)


def _start(plan: ClusterPlan, nodes: list[NodeProcess], screen: Screen, options: argparse.Namespace) -> int:
    running = [node.name for node in nodes if node.pid() is not None]
    if running:
        raise BringUpError(f"{', '.join(running)} of this cluster run already; --status shows them, --stop ends them")
    if options.fresh:
        remove_data(plan, nodes)
    formed = is_formed(plan, nodes, asked=_asked(options))
    if not formed:  # The files that were there are gone.
        nodes = plan_processes(plan)
    _require_logins(plan, nodes)
    require_free_ports(nodes)
    try:
        _bring_up(plan, nodes, screen, formed=formed)
        sights = look_at(nodes)
        screen.table(plan.name, rows(sights))
        if why := why_not_whole(sights, plan.replicas):
            screen.line(f"not whole: {why}")
        _what_next(plan, nodes, screen, options)
        if options.detach:
            return 0
        status = watch(nodes, screen)
    except BaseException:
        # Whatever went wrong, an interrupt included: nothing that was started here is left running.
        stop_all(nodes)
        raise
    _end(nodes, screen)
    return status


def _require_logins(plan: ClusterPlan, nodes: Sequence[NodeProcess]) -> None:
    """Any node may become the replica of any other, and has to be able to log in there."""
    if not plan.replicas or not any(node.config.requirepass for node in nodes):
        return
    mute = [node.name for node in nodes if not node.config.masterauth]
    if mute:
        raise BringUpError(
            f"requirepass without masterauth in {', '.join(mute)}: replicas could not log in to their primaries; the "
            "key password in cluster.yaml sets both"
        )


def _bring_up(plan: ClusterPlan, nodes: list[NodeProcess], screen: Screen, *, formed: bool) -> None:
    forming = () if formed else ("Forming the cluster",)
    with screen.steps((f"Starting {len(nodes)} nodes", *forming, "Waiting until every node agrees")) as steps:
        report = steps.begin()
        write_record(plan, nodes, formed=formed)
        for node in nodes:
            node.start()
        wait_answering(nodes, report)
        if not formed:
            form(plan, nodes, steps.begin())
        wait_agreed(nodes, steps.begin())
        write_record(plan, nodes, formed=True)


def _what_next(plan: ClusterPlan, nodes: Sequence[NodeProcess], screen: Screen, options: argparse.Namespace) -> None:
    if plan.replicas and plan.primaries < MIN_PRIMARIES_FOR_FAILOVER:
        screen.line(
            f"With fewer than {MIN_PRIMARIES_FOR_FAILOVER} primaries no replica can take over: a majority of them has "
            "to be left when one dies."
        )
    first = nodes[0]
    login = " --askpass" if first.config.requirepass else ""
    login += " --tls --cacert FILE --cert FILE --key FILE" if plan.tls else ""
    script = "scripts/bring-up" + ("" if options.config == _DEFAULT_FILE else f" --config {options.config}")
    screen.line(f"The cluster is up. Try:  redis-cli -c -h {first.host} -p {first.plan.port}{login}")
    screen.line(f"                         redis-cli --cluster check {first.host}:{first.plan.port}{login}")
    if options.detach:
        screen.line(f"Look at it and stop it:  {script} --status    {script} --stop")
    else:
        screen.line("Ctrl-C stops every node.")


def _end(nodes: Sequence[NodeProcess], screen: Screen) -> None:
    running = sum(node.pid() is not None for node in nodes)
    if running:
        screen.line(f"Stopping {running} nodes ...")
    for name in stop_all(nodes):
        screen.error(f"{name} did not end in time and was killed")


def _stop(nodes: Sequence[NodeProcess], screen: Screen) -> int:
    if not any(node.pid() for node in nodes):
        screen.line("No node of this cluster is running.")
        return 0
    _end(nodes, screen)
    return 0


def _status(plan: ClusterPlan, nodes: Sequence[NodeProcess], screen: Screen) -> int:
    sights = look_until_settled(nodes)
    screen.table(plan.name, rows(sights))
    why = why_not_whole(sights, plan.replicas)
    screen.line(f"not whole: {why}" if why else "The cluster is whole: every node agrees, every replica follows.")
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
