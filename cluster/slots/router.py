"""Which node serves a command: the answer is 'this one', or a redirect.

`served` has one byte a slot: 1 where this node serves the slot without question (it owns it, it is not open, the
cluster is up and this node is a primary), 2 where the slot is on its way here, which is enough for RESTORE-ASKING
of MIGRATE, and 0 elsewhere. The session's fast road looks only there. Everything else comes to
`check`, which follows redis-server's order of questions (Redis Cluster specification, 'Redirection and
resharding').
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from bus.view import ClusterView, NodeInfo
from cluster import errors
from cluster.errors import CommandError
from cluster.keyspace.hashing import SLOT_COUNT, common_slot, key_slot

if TYPE_CHECKING:
    from cluster.commands.registry import Command
    from cluster.config.store import Configuration
    from cluster.network.session import Session

SERVED, IMPORTED = 1, 2
_FLAG_WRITE = "write"
_SHARDED_PUBSUB = frozenset({"ssubscribe", "sunsubscribe", "spublish"})


class Router:
    """Holds the view the node serves by. `answers_for` says whether a key of an open slot is this node's: it is here,
    or it is being moved and this node still has the last word on it."""

    def __init__(self, config: Configuration, answers_for: Callable[[bytes], bool]) -> None:
        self._config = config
        self._answers_for = answers_for
        self.view: ClusterView | None = None
        self.served = bytearray(SLOT_COUNT)

    @property
    def myself(self) -> NodeInfo | None:
        return None if self.view is None else self.view.nodes[self.view.my_id]

    def update(self, view: ClusterView) -> None:
        """Serve by `view` from now on."""
        self.view = view
        me = view.my_id
        if not view.state_ok or view.nodes[me].role != "primary":
            self.served[:] = bytes(SLOT_COUNT)
            return
        served = bytearray(SLOT_COUNT)
        for start, end in view.nodes[me].slots:
            served[start : end + 1] = b"\1" * (end - start + 1)
        self.served[:] = served
        for slot in view.migrating:
            self.served[slot] = 0
        for slot in view.importing:
            self.served[slot] = 0 if view.owners[slot] == me else IMPORTED

    def check(self, client: Session, command: Command, arguments: list[bytes]) -> None:
        """Raise the redirect or refusal that `arguments` deserve; return when this node executes them."""
        positions = command.key_positions(arguments)
        if positions:
            keys = [arguments[position] for position in positions]
            self.check_keys(client, command, keys, writes=_FLAG_WRITE in command.flags_for(client.server, arguments))

    def check_keys(self, client: Session, command: Command, keys: list[bytes], *, writes: bool) -> None:
        slot = common_slot(keys)
        if slot is None:
            self._refuse_several(keys[0])
        if self.served[slot] == SERVED:
            return
        self._check_slot(client, command, keys, slot, writes)

    def _refuse_several(self, first_key: bytes) -> NoReturn:
        """Keys of several slots: whether anybody serves the first one's is asked before they are compared."""
        if self.view is not None and self.view.owners[key_slot(first_key)] is None:
            raise CommandError(errors.CLUSTERDOWN_UNBOUND)
        raise CommandError(errors.CROSSSLOT)

    def _check_slot(self, client: Session, command: Command, keys: list[bytes], slot: int, writes: bool) -> None:
        view = self.view
        if view is None:
            raise CommandError(errors.CLUSTERDOWN_STATE)
        owner = view.owners[slot]
        if owner is None:
            raise CommandError(errors.CLUSTERDOWN_UNBOUND)
        sharded = command.name in _SHARDED_PUBSUB or (client.transaction is not None and client.transaction.sharded)
        if not view.state_ok:
            self._check_down(sharded, writes)
        me = view.my_id
        if owner == me or slot in view.importing:
            if self._check_open(client, command, keys, slot, owner == me, sharded):
                return
        myself = view.nodes[me]
        if myself.role == "replica" and (client.reads_replica or sharded) and not writes and myself.primary_id == owner:
            return
        if owner != me:
            raise self.redirect(client, "MOVED", slot, view.nodes[owner])

    def check_waiting(self, client: Session, key: bytes, *, reads: bool) -> None:
        """Raise what a client has to be told that waits for `key` and can no longer be served here. While the slot is
        on its way it may be: the client waits on. `reads`: it waits by a command that only reads, as XREAD."""
        view = self.view
        assert view is not None
        if not view.state_ok:
            raise CommandError(errors.CLUSTERDOWN_STATE)
        slot = key_slot(key)
        owner = view.owners[slot]
        if owner == view.my_id or slot in view.importing:
            return
        myself = view.nodes[view.my_id]
        if reads and client.reads_replica and myself.role == "replica" and myself.primary_id == owner:
            return
        if owner is None:
            raise CommandError(errors.CLUSTERDOWN_UNBOUND)
        raise self.redirect(client, "MOVED", slot, view.nodes[owner])

    def check_moving(self, client: Session, command: Command, keys: list[bytes]) -> None:
        """Raise what a client has to be told that waits for keys, of which one may have gone with its slot."""
        view = self.view
        if view is not None and key_slot(keys[0]) in view.migrating:
            self.check_keys(client, command, keys, writes=_FLAG_WRITE in command.flags)

    def _check_down(self, sharded: bool, writes: bool) -> None:
        if sharded and self._config.cluster_allow_pubsubshard_when_down:
            return
        if sharded:
            raise CommandError(errors.CLUSTERDOWN_STATE)
        if not self._config.cluster_allow_reads_when_down:
            raise CommandError(errors.CLUSTERDOWN_STATE)
        if writes:
            raise CommandError(errors.CLUSTERDOWN_READONLY)

    def _check_open(
        self, client: Session, command: Command, keys: list[bytes], slot: int, mine: bool, sharded: bool
    ) -> bool:
        """A slot that is migrating away or being imported. Whether this node executes the command; one about shard
        channels has no keys that could have moved."""
        view = self.view
        assert view is not None
        target = view.migrating.get(slot) if mine else None
        importing = slot in view.importing
        if target is None and not importing:
            return mine
        if command.name == "migrate":
            return True
        if not mine and not (client.asking or "asking" in command.flags):
            return False
        if sharded or (target is None and len(keys) == 1):
            return True
        keys = list(dict.fromkeys(keys))
        missing = sum(not self._answers_for(key) for key in keys)
        if target is not None and missing:
            if len(keys) > 1 and missing != len(keys):
                raise CommandError(errors.TRYAGAIN)
            raise self.redirect(client, "ASK", slot, view.nodes[target])
        if not mine and len(keys) > 1 and missing:
            raise CommandError(errors.TRYAGAIN)
        return True

    def redirect(self, client: Session, kind: str, slot: int, node: NodeInfo) -> CommandError:
        """MOVED or ASK to `node`, at the endpoint that cluster-preferred-endpoint-type names, and at the port where it
        speaks TLS if the client does."""
        preferred = self._config.cluster_preferred_endpoint_type
        if preferred == "hostname":
            host = node.hostname or "?"
        elif preferred == "unknown-endpoint":
            host = ""
        else:
            host = node.ip
        port = node.port_for(tls="tls" in client.client_flags)
        return CommandError(f"{kind} {slot} {host}:{port}")
