"""What a node has of scripting, put together: the pace, the scripts and the functions, which are run at that pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.scripting.functions import Functions
from cluster.scripting.pace import Pace
from cluster.scripting.runner import Runner
from cluster.scripting.scripts import Scripts

if TYPE_CHECKING:
    from cluster.server import Server


def scripting_of(server: Server) -> tuple[Pace, Scripts, Functions]:
    pace = Pace(server)
    return pace, Scripts(Runner(server, pace)), Functions(Runner(server, pace, of_functions=True))
