"""What a sentinel knows: the primaries it watches over, and of each the replicas and the other sentinels.

All times are in ms of the core's clock; 0 means 'never' where nothing else is said.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cluster.sentinel.events import Close, Effect, Note, Persist, Publish, RunScript, Send, Value

HELLO_CHANNEL = b"__sentinel__:hello"
MAX_DESYNC_MS = 1000
"""Sentinels that see a primary fail at the same time start up to so far apart, so that votes split less."""
MAX_REPLICAS = 4_000
MAX_PEERS = 1_000
"""Of one primary; whatever servers and hellos name beyond that is not taken in."""
MAX_KEPT_INFO = 64 << 10
"""Characters of a replica's INFO for SENTINEL INFO-CACHE; a usual one has 6,000."""
MAX_PENDING = 100
"""Commands on one connection that nobody has answered; no more are sent."""

Resolve: TypeAlias = Callable[[str], str | None]
"""The address of a host, or None when it has none (or is no address, where names are not resolved)."""

NONE, WAIT_START, SELECT_REPLICA, SEND_PROMOTION, WAIT_PROMOTION, RECONFIGURE, UPDATE_CONFIG = range(7)
STAGES = (
    "none", "wait_start", "select_slave", "send_slaveof_noone", "wait_promotion", "reconf_slaves", "update_config",
)  # fmt: skip
"""A failover's stages, and what SENTINEL MASTER calls them."""

ELECTED, PROMOTED = "crash-after-election", "crash-after-promotion"
FAILURES = (ELECTED, PROMOTED)
"""What SENTINEL SIMULATE-FAILURE can do; its flags in INFO are 1, 2."""


@dataclass(slots=True)
class Periods:
    """How often and how long, in ms: SENTINEL DEBUG shows and sets these, in this order."""

    info_period: int = 10_000
    ping_period: int = 1_000
    ask_period: int = 1_000
    publish_period: int = 2_000
    default_down_after: int = 30_000
    default_failover_timeout: int = 180_000
    tilt_trigger: int = 2_000
    tilt_period: int = 30_000
    slave_reconf_timeout: int = 10_000
    min_link_reconnect_period: int = 15_000
    election_timeout: int = 10_000
    script_max_runtime: int = 60_000
    script_retry_delay: int = 30_000


class Address(NamedTuple):
    """`host` as it was given, and what it stands for."""

    host: str
    ip: str
    port: int


@dataclass(slots=True, eq=False)
class Link:
    """The connections to one server or sentinel; one to a sentinel serves all primaries we both watch."""

    last_available_ms: int
    ping_asked_ms: int
    """When the first PING that is not yet answered was sent."""
    last_pong_ms: int
    owners: list[Instance] = field(default_factory=list)
    commands: int | None = None
    messages: int | None = None
    commands_since_ms: int = 0
    messages_since_ms: int = 0
    last_message_ms: int = 0
    last_ping_ms: int = 0
    last_connect_ms: int = 0
    local_ip: str = ""
    pending: int = 0
    broken: bool = True
    """One of the connections it needs is missing; they are made anew once a second."""


class Instance:
    """What primaries, replicas and sentinels have in common."""

    kind: Literal["master", "slave", "sentinel"]

    def __init__(self, name: str, address: Address, link: Link, down_after_ms: int, now_ms: int) -> None:
        self.name = name
        self.address = address
        self.run_id = ""
        self.link = link
        link.owners.append(self)
        self.down_after_ms = down_after_ms
        self.s_down = False
        self.s_down_since_ms = 0
        self.last_hello_sent_ms = now_ms
        self.script_kill_sent = False

    @property
    def primary(self) -> Primary:
        raise AttributeError("primary")


class DataServer(Instance):
    """A primary or a replica: a server that answers INFO."""

    def __init__(self, name: str, address: Address, link: Link, down_after_ms: int, now_ms: int) -> None:
        super().__init__(name, address, link, down_after_ms, now_ms)
        self.info = ""
        self.info_at_ms = 0
        self.info_asked = False
        self.role = self.kind
        self.role_since_ms = now_ms


class Replica(DataServer):
    kind = "slave"

    def __init__(self, name: str, address: Address, link: Link, primary: Primary, now_ms: int) -> None:
        super().__init__(name, address, link, primary.down_after_ms, now_ms)
        self._primary = primary
        self.link_down_ms = 0
        """For how long its link to its primary has been down."""
        self.link_up = False
        self.priority = 100
        self.announced = True
        self.follows_host = ""
        self.follows_port = 0
        self.follows_since_ms = now_ms
        self.offset = 0
        self.promoted = False
        self.reconfiguration = ""
        """How far a failover is with it: sent, inprog, done."""
        self.reconfigured_ms = 0

    @property
    def primary(self) -> Primary:
        return self._primary


class Peer(Instance):
    """Another sentinel, as far as one primary is concerned."""

    kind = "sentinel"

    def __init__(self, name: str, address: Address, link: Link, primary: Primary, now_ms: int) -> None:
        super().__init__(name, address, link, primary.down_after_ms, now_ms)
        self._primary = primary
        self.says_down = False
        self.last_answer_ms = 0
        self.asked = False
        self.last_hello_ms = now_ms
        self.leader = ""
        self.leader_epoch = 0

    @property
    def primary(self) -> Primary:
        return self._primary


class Primary(DataServer):
    kind = "master"

    def __init__(self, name: str, address: Address, link: Link, quorum: int, periods: Periods, now_ms: int) -> None:
        super().__init__(name, address, link, periods.default_down_after, now_ms)
        self.quorum = quorum
        self.failover_timeout_ms = periods.default_failover_timeout
        self.parallel_syncs = 1
        self.reboot_down_after_ms = 0
        self.auth_user = ""
        self.auth_pass = ""
        self.notification_script = ""
        self.client_reconfig_script = ""
        self.renamed: dict[str, str] = {}
        self.replicas: dict[str, Replica] = {}
        self.peers: dict[str, Peer] = {}
        self.config_epoch = 0
        self.leader = ""
        """For whom we voted in `leader_epoch`."""
        self.leader_epoch = 0
        self.asked_epoch = 0
        """In which epoch we have asked the others for their votes."""
        self.o_down = False
        self.o_down_since_ms = 0
        self.rebooted_ms: int | None = None
        self.lost_since_ms = 0
        """Since when it has been down, or whoever was the primary before one that has not answered yet."""
        self.noted_full: set[str] = set()
        """Of what there was more than we take in: a line in the log has said so."""
        self.stage = NONE
        self.stage_since_ms = 0
        self.failing_over = False
        self.forced = False
        self.failover_epoch = 0
        self.failover_started_ms: int | None = None
        self.delay_noted_ms: int | None = None
        self.promoted: Replica | None = None

    @property
    def primary(self) -> Primary:
        return self

    def called(self, name: str) -> str:
        """What a command is called by this primary and its replicas (sentinel rename-command)."""
        return next((new for old, new in self.renamed.items() if old.lower() == name.lower()), name)

    @property
    def current_address(self) -> Address:
        """Where clients are sent: during a failover the promoted replica, as soon as it is known to be a primary."""
        if self.failing_over and self.stage >= RECONFIGURE and self.promoted is not None:
            return self.promoted.address
        return self.address


@dataclass(slots=True)
class Settings:
    """Sentinel's own directives."""

    port: int = 26379
    announce_ip: str = ""
    announce_port: int = 0
    resolve_hostnames: bool = False
    announce_hostnames: bool = False
    deny_scripts_reconfig: bool = True
    sentinel_user: str = ""
    sentinel_pass: str = ""
    requirepass: str = ""


@dataclass(slots=True)
class Connection:
    """One that was asked for. `waiting`: what its next replies answer, and to whom."""

    link: Link
    waiting: deque[tuple[str, Instance]] = field(default_factory=deque)
    up: bool = False


class State:
    def __init__(
        self, my_id: str, settings: Settings, rng: random.Random, resolve: Resolve, now_ms: int,
        is_executable: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self.my_id = my_id
        self.settings = settings
        self.rng = rng
        self.resolve = resolve
        self.is_executable = is_executable
        self.now = now_ms
        self.ticked_ms = now_ms
        self.periods = Periods()
        self.primaries: dict[str, Primary] = {}
        self.current_epoch = 0
        self.epoch_on_disk = 0
        """No newer one is told to anybody: whoever starts again must not use one twice."""
        self.tilt = False
        self.tilt_since_ms = 0
        self.unsaved = False
        """The file does not hold what we promised: nothing more is promised until it does."""
        self.not_saved_ms = 0
        self.failures: set[str] = set()
        self.connections: dict[int, Connection] = {}
        self.out: list[Effect] = []
        self._last_connection = 0

    # -- addresses -------------------------------------------------------------------------------------------

    def address(self, host: str, port: int) -> Address | None:
        ip = self.resolve(host)
        return None if ip is None else Address(host, ip, port)

    def address_in_file(self, host: str, port: int) -> Address | None:
        """The same for a file's: a name that has no address just now may have one later."""
        address = self.address(host, port)
        return Address(host, "", port) if address is None and self.settings.resolve_hostnames else address

    def shown(self, address: Address) -> str:
        """The address as clients and servers are told it."""
        return address.host if self.settings.announce_hostnames or not address.ip else address.ip

    def is_at(self, address: Address, host: str, port: int) -> bool:
        if port != address.port:
            return False
        return host in (address.ip, address.host) or (self.resolve(host) or host) == address.ip

    # -- connections -----------------------------------------------------------------------------------------

    def new_connection(self, link: Link) -> int:
        self._last_connection += 1
        self.connections[self._last_connection] = Connection(link)
        return self._last_connection

    def send(self, instance: Instance, purpose: str, *arguments: Value) -> None:
        """A command over the command connection of `instance`, which has one; the reply goes to `purpose`."""
        link = instance.link
        assert link.commands is not None
        self.connections[link.commands].waiting.append((purpose, instance))
        link.pending += 1
        self.out.append(Send(link.commands, arguments))

    def close(self, connection: int | None) -> None:
        if connection is not None and self.connections.pop(connection, None) is not None:
            self.out.append(Close(connection))

    def instances(self) -> Iterator[Instance]:
        for primary in self.primaries.values():
            yield primary
            yield from primary.replicas.values()
            yield from primary.peers.values()

    # -- what is told ----------------------------------------------------------------------------------------

    def persist(self) -> None:
        if Persist() not in self.out:  # the one that stands there writes what this step has changed later, too
            self.out.append(Persist())

    def described(self, instance: Instance) -> str:
        """`master mymaster 127.0.0.1 6379`, or `slave … @ mymaster 127.0.0.1 6379`."""
        address, primary = instance.address, instance.primary
        text = f"{instance.kind} {instance.name} {self.shown(address)} {address.port}"
        if primary is not instance:
            text += f" @ {primary.name} {self.shown(primary.address)} {primary.address.port}"
        return text

    def tell(self, level: str, event: str, instance: Instance, more: str = "") -> None:
        """An event about `instance`."""
        self.announce(level, event, self.described(instance) + more, instance.primary)

    def announce(self, level: str, event: str, text: str, about: Primary | None) -> None:
        """An event with a text of its own. What is a warning also goes to the notification script of `about`."""
        self.out.append(Publish(level, event, text))
        if level == "warning" and about is not None and about.notification_script:
            self.out.append(RunScript(about.notification_script, (event, text)))

    def note(self, level: str, text: str) -> None:
        self.out.append(Note(level, text))
