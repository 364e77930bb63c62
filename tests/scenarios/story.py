"""What a reader is told: which messages and effects are of note, in a few words, with names instead of ids.

Heartbeats, announcements and lists of members are left out, and so are lines of the log that only say what the message
before them says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bus import events
from bus.messages import (
    Announcement,
    Data,
    DataQuestion,
    Fail,
    ManualFailoverStart,
    Message,
    TakeOver,
    Update,
    Vote,
    VoteRequest,
)
from bus.view import ClusterView, NodeInfo, Ranges

_ID = re.compile(r"\b[0-9a-f]{40}\b")
_ECHOES = (
    "FAIL message received", "Failover auth granted", "Starting a failover election", "Manual failover requested",
)  # fmt: skip
_FLAGS = {"pfail": "fail?", "fail": "fail", "noaddr": "noaddr", "nofailover": "nofailover"}


class Names:
    """Nodes are called by one letter; an id that a node took later is its letter with a stroke."""

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}

    def id_of(self, name: str) -> str:
        return next((node_id for node_id, known in self._by_id.items() if known == name), first_id(name))

    def new_id(self, name: str) -> str:
        """For a node that knows nothing, not even what it was called."""
        while self.of(node_id := first_id(name)) != "?":
            name += "'"
        return node_id

    def add(self, node_id: str, name: str) -> str:
        """The name that `node_id` has from now on."""
        while node_id not in self._by_id and name in self._by_id.values():
            name += "'"
        return self._by_id.setdefault(node_id, name)

    def of(self, node_id: str) -> str:
        return self._by_id.get(node_id, "?")

    def put_into(self, text: str) -> str:
        return _ID.sub(lambda found: self.of(found[0]), text)


def first_id(name: str) -> str:
    """Ids go by the order of the names, which decides ties."""
    return (name.encode().hex() * 20)[:40]


def in_words(message: Message) -> str:
    """'' for what is not of note."""
    match message:
        case Announcement(meet=True):
            return "MEET"
        case Fail(node_id):
            return f"FAIL {node_id}"
        case Update(node_id, epoch, slots):
            return f"UPDATE {node_id} has {shown(slots)} by epoch {epoch}"
        case VoteRequest(epoch, config_epoch, slots, forced):
            how = ", forced" if forced else ""
            return f"vote for me in epoch {epoch} (slots {shown(slots)} of epoch {config_epoch}{how})"
        case Vote(epoch):
            return f"my vote in epoch {epoch}"
        case ManualFailoverStart():
            return "hold your writes, I take over"
        case DataQuestion():
            return "what data do you hold?"
        case Data():
            return f"I hold {message.offset} writes" if message.has_keys else "I hold no data"
        case TakeOver():
            return "take over"
        case _:
            return ""


def effect_in_words(effect: events.Effect) -> str:
    """'' for what is not of note."""
    match effect:
        case events.Log(level, text) if level != "debug" and not text.startswith(_ECHOES):
            return text
        case events.BecomePrimary():
            return "is a primary now"
        case events.FollowNode():
            return f"follows {effect.node_id} at {effect.ip}"
        case events.PauseWrites():
            return "holds its writes"
        case events.ResumeWrites():
            return "lets its writes go on"
        case events.HoldClients():
            return "holds its clients"
        case events.ReleaseClients(trusted):
            return "lets its clients go on" if trusted else "turns its clients away"
        case events.DropSlotKeys(slots):
            return f"drops the keys of {len(slots)} slots, the first {slots[0]}"
        case events.FlushData():
            return "drops all data"
        case _:
            return ""


def shown(slots: Ranges) -> str:
    return ",".join(str(start) if start == end else f"{start}-{end}" for start, end in slots) or "none"


def views_in_words(views: Mapping[str, ClusterView], names: Names, addresses: bool) -> list[str]:
    """As CLUSTER NODES shows them; nodes that see the same together."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for name, view in views.items():
        known = [one for one in view.nodes.values() if "handshake" not in one.flags]
        lines = sorted(_node(view, one, names, addresses) for one in known)
        if not view.state_ok:
            lines.insert(0, f"cluster_state:fail ({view.down_reason})")
        seen.setdefault(tuple(lines), []).append(name)
    return [line for lines, who in seen.items() for line in (f"{_these(who)}:", *(f"  {one}" for one in lines))]


def _these(names: Iterable[str]) -> str:
    return " ".join(names)


def _node(view: ClusterView, one: NodeInfo, names: Names, addresses: bool) -> str:
    words = [names.of(one.node_id)]
    if addresses:
        words.append(f"{one.ip}:{one.port}")
    flags = ["master" if one.role == "primary" else "slave"]
    flags += [word for flag, word in _FLAGS.items() if flag in one.flags]
    words += [",".join(flags), names.of(one.primary_id) if one.primary_id else f"- {one.config_epoch}"]
    if not one.link_connected:
        words.append("disconnected")
    words += [f"{start}-{end}" if start != end else str(start) for start, end in one.slots]
    if one.node_id == view.my_id:
        words += [f"[{slot}->-{names.of(other)}]" for slot, other in view.migrating.items()]
        words += [f"[{slot}-<-{names.of(other)}]" for slot, other in view.importing.items()]
    return " ".join(words)
