"""The words of a scenario; docs/architecture.md has the list. One line is one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bus import events
from tests.scenarios.story import views_in_words
from tests.scenarios.world import Process, World
from tests.simulation.process import BUS_PORT, PORT

SETTLE_MS = 3_000
"""After that a cluster that has been there is linked, serves, and its replicas are in step."""


class Script:
    def __init__(self) -> None:
        self.world = World()
        self._words: dict[str, Callable[[list[str]], None]] = {
            "nodes": self._nodes, "cluster": self._cluster, "run": self._run, "show": self._show, "cut": self._cut,
            "heal": self._heal, "crash": self._crash, "power-off": self._power_off, "pause": self._pause,
            "resume": self._resume, "start": self._start, "write": self._write, "config": self._config,
        }

    def play(self, lines: Sequence[str]) -> list[str]:
        world = self.world
        world.since, world.story = world.clock.now, []
        for line in lines:
            word, *arguments = line.split()
            if word.endswith(">"):
                self._operate(word[:-1], arguments)
            else:
                self._words[word](arguments)
        return world.story

    def _say(self, *lines: str) -> None:
        self.world.story.extend(lines)

    def _one(self, name: str) -> Process:
        return self.world.processes[name]

    # -- what there is, and time -----------------------------------------------------------------------------

    def _nodes(self, names: list[str]) -> None:
        for name in names:
            self.world.add(name).start()

    def _cluster(self, shards: list[str]) -> None:
        """What is told while it starts is of no interest."""
        self.world.cluster([shard.split("+") for shard in shards])
        self.world.clock.run(SETTLE_MS)
        self.world.story.clear()
        self.world.since = self.world.clock.now

    def _run(self, arguments: list[str]) -> None:
        (duration,) = arguments
        self.world.clock.run(int(duration[:-2]) if duration.endswith("ms") else int(duration[:-1]) * 1000)

    def _config(self, arguments: list[str]) -> None:
        name, *settings = arguments
        for one in self.world.processes.values() if name == "all" else [self._one(name)]:
            for setting in settings:
                directive, value = setting.split("=")
                one.config = replace(one.config, **{directive.replace("-", "_"): int(value)})  # type: ignore[arg-type]
            one.step(events.ConfigChanged(one.config))

    # -- faults ----------------------------------------------------------------------------------------------

    def _cut(self, arguments: list[str]) -> None:
        """`A B | C D` both ways, `A > B` what A sends; without a second side: from everybody else."""
        signs = [word for word in arguments if word in "|>"]
        at = arguments.index(signs[0]) if signs else len(arguments)
        some = [self._one(name).index for name in arguments[:at]]
        others = [self._one(name).index for name in arguments[at + 1 :]]
        others = others or [one.index for one in self.world.processes.values() if one.index not in some]
        self.world.network.cuts |= {(a, b) for a in some for b in others}
        if signs != [">"]:
            self.world.network.cuts |= {(b, a) for a in some for b in others}

    def _heal(self, _arguments: list[str]) -> None:
        self.world.network.cuts.clear()

    def _crash(self, names: list[str]) -> None:
        for name in names:
            self._one(name).crash()

    def _power_off(self, names: list[str]) -> None:
        for name in names:
            self._one(name).crash(power=True)

    def _pause(self, names: list[str]) -> None:
        for name in names:
            self._one(name).stopped = True

    def _resume(self, names: list[str]) -> None:
        for name in names:
            self._one(name).resume()

    def _start(self, arguments: list[str]) -> None:
        """`A`, `A at 10.0.0.9`, `A without data` (its nodes.conf is there), `A without disk` (that is gone, too)."""
        name, *rest = arguments
        process = self._one(name)
        match rest:
            case ["at", ip]:
                self.world.move(process, ip)
            case ["without", "disk"]:
                process.disk = process.durable_disk = None
        process.start(with_data="without" not in rest)

    # -- clients and operators -------------------------------------------------------------------------------

    def _write(self, arguments: list[str]) -> None:
        name, count = arguments
        process = self._one(name)
        if process.serves:
            process.offset += int(count)
        else:
            self._say(f"       {name} refuses to write")

    def _operate(self, name: str, words: list[str]) -> None:
        process = self._one(name)
        answer = self.world.names.put_into(process.ask(self._event(words)))
        if answer != "OK":
            self.world.tell(f"{name} answers: {answer}")

    def _event(self, words: list[str]) -> events.OperatorEvent:
        """CLUSTER as typed, with names for ids and addresses."""
        match words[1:]:
            case ["MEET", name]:
                known = self.world.processes.get(name)
                return events.Meet(known.ip if known is not None else name, PORT, BUS_PORT)
            case ["FORGET", name]:
                return events.Forget(self._id(name))
            case ["ADDSLOTSRANGE", first, last]:
                return events.AddSlots(tuple(range(int(first), int(last) + 1)))
            case ["SETSLOT", slot, "STABLE"]:
                return events.SetSlot(int(slot), "stable")
            case ["SETSLOT", slot, kind, name]:
                return events.SetSlot(int(slot), kind.lower(), self._id(name))
            case ["REPLICATE", name]:
                return events.Replicate(self._id(name))
            case ["FAILOVER", *mode]:
                return events.Failover("".join(mode).lower())
            case ["SET-CONFIG-EPOCH", epoch]:
                return events.SetConfigEpoch(int(epoch))
            case ["BUMPEPOCH"]:
                return events.BumpEpoch()
            case ["RESET", *hard]:
                return events.Reset(hard=hard == ["HARD"])
        raise ValueError(f"not a command of the scenarios: {' '.join(words)}")

    def _id(self, name: str) -> str:
        return self.world.names.id_of(name)

    # -- looking ---------------------------------------------------------------------------------------------

    def _show(self, arguments: list[str]) -> None:
        """`nodes` or `addresses` (CLUSTER NODES), `epochs`, `data`; of those named, or of all that run."""
        what, *names = arguments
        those = [self._one(name) for name in names] or self.world.living()
        if what in ("nodes", "addresses"):
            views = {one.name: one.running.view for one in those}
            self._say(*views_in_words(views, self.world.names, what == "addresses"))
        elif what == "epochs":
            for one in those:
                view, disk = one.running.view, one.disk
                voted = disk.last_vote_epoch if disk is not None else 0
                self._say(f"{one.name}: current {view.current_epoch}, "
                          f"own {view.nodes[view.my_id].config_epoch}, voted in {voted}")
        else:
            assert what == "data", what
            self._say(*(f"{one.name}: {one.offset} writes" for one in those))
