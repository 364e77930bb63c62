"""What the bus wants of the node, carried out: a new view for the router, 'become primary', 'follow that node', 'pause
the writes', 'drop the keys of these slots', messages for clients.

Always in the node's thread, between two commands or within an operator's, and in the order in which the core said it.
What concerns the data waits until they are loaded, and for a script that is half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bus import events

if TYPE_CHECKING:
    from bus.view import ClusterView
    from cluster.server import Server

HOLD_MARGIN_MS = 1_000
"""The bus ends a hold itself; the pause's own end is for the case that it does not."""
_ABOUT_DATA = (
    events.FollowNode, events.BecomePrimary, events.PauseWrites, events.ResumeWrites, events.DropSlotKeys,
    events.FlushData,
)  # fmt: skip
"""What waits for a script that is half-way, and for the data to be loaded."""


class BusEffects:
    """`post` tells the bus how far a pause of writes let the data come."""

    def __init__(self, server: Server, post: Callable[[events.Event], None]) -> None:
        self._server = server
        self._post = post
        self._following: str | None = None
        self._primary: events.FollowNode | None = None
        self._holding = False
        self._held: list[events.Effect] = []

    def hold(self) -> None:
        """The data are not there yet."""
        self._holding = True

    def release(self) -> None:
        """The data are there: what was to be done with them is done now."""
        self._holding = False
        held, self._held = self._held, []
        for effect in held:
            self.carry_out(effect)

    def carry_out(self, effect: events.Effect) -> None:
        server = self._server
        if self._holding and isinstance(effect, _ABOUT_DATA):
            self._held.append(effect)
            return
        if isinstance(effect, _ABOUT_DATA) and server.pace.defer(lambda: self._do_late(effect)):
            return
        self._do(effect)

    def follow_again(self) -> None:
        """A directive has changed: perhaps the one that says by which port."""
        if self._primary is not None:
            self._follow(self._primary)

    def _follow(self, primary: events.FollowNode) -> None:
        """Replicate from the port that goes with tls-replication."""
        port = primary.tls_port if self._server.config.tls_replication else primary.port
        self._server.replication.follow(primary.ip, port or primary.port, same_data=primary.same_data)

    def _do_late(self, effect: events.Effect) -> None:
        if isinstance(effect, events.DropSlotKeys):
            self._drop_still_lost(effect.slots)
        else:
            self._do(effect)

    def _do(self, effect: events.Effect) -> None:
        server = self._server
        match effect:
            case events.ViewChanged():
                self._show(effect.view)
            case events.FollowNode():
                if effect.node_id != self._following:
                    self._following = effect.node_id
                    server.is_replica = True
                    server.lost_slots.forget()
                self._primary = effect
                self._follow(effect)
                server.refresh_road()
            case events.BecomePrimary():
                self._following = self._primary = None
                server.is_replica = False
                server.replication.become_primary()
                server.refresh_road()
            case events.PauseWrites():
                server.lost_slots.finish()
                server.pause.start("failover", server.clock_ms() + effect.duration_ms, writes_only=True)
                server.flush_journal()
                self._post(events.Paused(server.replication.offset))
            case events.ResumeWrites():
                server.pause.stop("failover")
            case events.HoldClients():
                server.doubt.start(server.clock_ms() + effect.duration_ms + HOLD_MARGIN_MS)
            case events.ReleaseClients():
                server.doubt.end(trusted=effect.trusted)
            case events.DropSlotKeys():
                self._drop_keys(effect.slots)
            case events.FlushData():
                server.flush(server.databases)
                server.functions.flush()
            case events.Deliver():
                for item in effect.items:
                    if item.sharded:
                        server.pubsub.deliver_sharded(item.channel, item.message)
                    else:
                        server.pubsub.deliver(item.channel, item.message)
            case _:
                pass

    def _drop_keys(self, slots: Sequence[int]) -> None:
        """Drop the keys of slots that are another's now; while writes are paused, when that is over."""
        server = self._server
        if server.pause.active:
            server.pause.afterwards.append(lambda: self._drop_still_lost(slots))
        else:
            server.lost_slots.drop(list(slots))

    def _drop_still_lost(self, slots: Sequence[int]) -> None:
        """Some time has passed since they were lost."""
        view = self._server.router.view
        if view is not None and not self._server.is_replica:  # a replica's keys are its primary's business
            self._drop_keys([slot for slot in slots if view.owners[slot] not in (view.my_id, None)])

    def _show(self, view: ClusterView) -> None:
        server = self._server
        server.router.update(view)
        server.under_way.follow_view(view)
        server.lost_slots.follow_view(view)
        server.pubsub.follow_view(view)
        server.redirect_waiting()


