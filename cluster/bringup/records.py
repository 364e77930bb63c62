"""What lies in the data directories: whose cluster it is, and how to make room for a new one.

Beside the nodes' directories stands `bring-up.json`: which nodes the cluster was formed of. Without it, or when
it tells of other nodes, data that is there is not ours to build upon; forming a second cluster over the remains of
a first would leave nodes that remember each other wrongly.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.bringup.errors import BringUpError
from cluster.bringup.node_conf import NODE_CONF
from cluster.bringup.processes import NodeProcess
from cluster.config.yaml_config import ClusterPlan

_RECORD_FILE = "bring-up.json"


@dataclass(frozen=True, slots=True)
class Record:
    """`formed` is False from the first start of a node until every node agreed."""

    name: str
    replicas: int
    directories: dict[str, str]
    """By port, as text, since JSON has no other keys."""
    formed: bool = False


def _path(plan: ClusterPlan) -> Path:
    return Path(plan.directory) / _RECORD_FILE


def _record_of(plan: ClusterPlan, nodes: Sequence[NodeProcess], *, formed: bool) -> Record:
    directories = {str(node.plan.port): str(node.directory) for node in nodes}
    return Record(plan.name, plan.replicas, directories, formed)


def write_record(plan: ClusterPlan, nodes: Sequence[NodeProcess], *, formed: bool) -> None:
    path = _path(plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(_record_of(plan, nodes, formed=formed)), indent=2) + "\n")
    os.replace(temporary, path)


def read_record(plan: ClusterPlan) -> Record | None:
    try:
        return Record(**json.loads(_path(plan).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BringUpError(f"{_path(plan)} cannot be read ({error}); --fresh starts over") from None


def is_formed(plan: ClusterPlan, nodes: Sequence[NodeProcess], asked: str = "") -> bool:
    """Whether the plan's cluster is there to be started again.

    Raises BringUpError when the directories hold another one; `asked` is what was typed to have another one, as
    ``--nodes 3``. What a start that did not get to its end left behind is removed: no slot was ever served from it.
    """
    record = read_record(plan)
    wanted = _record_of(plan, nodes, formed=True)
    if record is not None and not record.formed:
        remove_data(plan, nodes)
        return False
    if record is None:
        strangers = [node for node in nodes if node.state_path.exists()]
        if strangers:
            names = ", ".join(str(node.directory) for node in strangers)
            raise BringUpError(f"there is data of another cluster in {names}; --fresh removes it and starts over")
        return False
    if (record.directories, record.replicas) != (wanted.directories, wanted.replicas):
        ports = ", ".join(record.directories)
        replicas = "1 replica" if record.replicas == 1 else f"{record.replicas} replicas"
        count = len(record.directories)
        there = f"{plan.directory} holds a cluster of {count} nodes ({ports}) with {replicas} per primary"
        if asked:  # Whoever mistyped must not be told to remove the data.
            raise BringUpError(f"{asked}: {there}; without {asked} it is started again")
        raise BringUpError(f"{there}, not the one asked for; --fresh removes it and starts over")
    missing = [node for node in nodes if not node.state_path.exists()]
    if missing:
        names = ", ".join(str(node.state_path) for node in missing)
        raise BringUpError(f"{names} is missing, so the cluster cannot be started again; --fresh starts over")
    return True


def remove_data(plan: ClusterPlan, nodes: Sequence[NodeProcess]) -> None:
    """Remove what nodes write, and nothing else that may lie in the same places."""
    record = read_record_leniently(plan)
    names = {
        name
        for node in nodes
        for name in (
            node.config.cluster_config_file,
            node.config.dbfilename,
            node.config.appenddirname,
            NODE_CONF,
            "node.log",
            "node.pid",
        )
    }
    directories = {node.directory for node in nodes}
    if record is not None:
        directories |= {Path(directory) for directory in record.directories.values()}
    for directory in directories:
        for name in names:
            _remove(directory / name)
        for pattern in ("temp-*", *(f"{node.config.cluster_config_file}.*" for node in nodes)):
            for leftover in directory.glob(pattern):
                _remove(leftover)
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    _remove(_path(plan))


def read_record_leniently(plan: ClusterPlan) -> Record | None:
    try:
        return read_record(plan)
    except BringUpError:
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
