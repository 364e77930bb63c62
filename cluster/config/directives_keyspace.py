"""The table of directives, part: memory, expiry, encodings, events, slow log and scripts."""

from __future__ import annotations

from cluster.config.compound import EventClasses, Percentiles
from cluster.config.directive import ACCEPTED, Directive, Section
from cluster.config.values import INT_MAX, INT_MIN, LONG_MAX, ULONG_MAX, Choice, Integer, Memory, NeverYes, YesNo

LONG = Integer(0, LONG_MAX)
_NO_DEFRAG = "there is no defragmentation"
_NO_JEMALLOC_DEFRAG = (
    "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc like the "
    "one shipped by default with the Redis source distribution"
)

MEMORY = Section(
    "Memory and expiry",
    [
        Directive(
            name="databases", kind=Integer(1), default="16", immutable=True,
            about="databases of a node outside a cluster",
        ),
        Directive(
            name="maxmemory", kind=Memory(0, ULONG_MAX), default="0",
            about="bytes that may be in use, as INFO's used_memory counts them; 0: no limit",
        ),
        Directive(
            name="maxmemory-policy", default="noeviction", about="which keys go when the memory is full",
            kind=Choice((
                "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
                "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction",
            )),
        ),
        Directive(name="maxmemory-samples", kind=Integer(1), default="5", about="keys looked at to evict one"),
        Directive(
            name="maxmemory-eviction-tenacity", kind=Integer(0, 100), default="10",
            about="how long evicting may hold up others at once: half a millisecond at 10, without limit at 100",
        ),
        Directive(name="lfu-log-factor", kind=Integer(), default="10", about="how fast access counters saturate"),
        Directive(name="lfu-decay-time", kind=Integer(), default="1", about="minutes after which they go down by one"),
        Directive(
            name="active-expire-effort", kind=Integer(1, 10), default="1", effect=ACCEPTED,
            about="the effort follows from how many keys have expired",
        ),
        Directive(name="lazyfree-lazy-eviction", kind=YesNo(), default="no",
                  about="evictions travel as UNLINK, and count as freed in the background"),
        Directive(name="lazyfree-lazy-expire", kind=YesNo(), default="no",
                  about="expiries travel as UNLINK, and count as freed in the background"),
        Directive(
            name="lazyfree-lazy-server-del", kind=YesNo(), default="no",
            about="a set that SPOP empties goes as UNLINK; replaced values count as freed in the background",
        ),
        Directive(
            name="lazyfree-lazy-user-del", kind=YesNo(), default="no",
            about="INFO counts what DEL takes as freed in the background; nobody waits for it either way",
        ),
        Directive(
            name="lazyfree-lazy-user-flush", kind=YesNo(), default="no",
            about="the same for FLUSHALL and FLUSHDB that name no mode",
        ),
        Directive(
            name="activerehashing", kind=YesNo(), default="yes", effect=ACCEPTED,
            about="dictionaries grow by themselves",
        ),
        Directive(
            name="activedefrag", kind=NeverYes(_NO_JEMALLOC_DEFRAG), default="no", effect=ACCEPTED, about=_NO_DEFRAG,
        ),
        Directive(
            name="active-defrag-ignore-bytes", kind=Memory(1), default="100mb", effect=ACCEPTED, about=_NO_DEFRAG
        ),
        Directive(
            name="active-defrag-threshold-lower", kind=Integer(0, 1000), default="10", effect=ACCEPTED, about=_NO_DEFRAG
        ),
        Directive(
            name="active-defrag-threshold-upper", kind=Integer(0, 1000), default="100", effect=ACCEPTED,
            about=_NO_DEFRAG,
        ),
        Directive(name="active-defrag-cycle-min", kind=Integer(1, 99), default="1", effect=ACCEPTED, about=_NO_DEFRAG),
        Directive(name="active-defrag-cycle-max", kind=Integer(1, 99), default="25", effect=ACCEPTED, about=_NO_DEFRAG),
        Directive(
            name="active-defrag-max-scan-fields", kind=Integer(1, LONG_MAX), default="1000", effect=ACCEPTED,
            about=_NO_DEFRAG,
        ),
        Directive(
            name="jemalloc-bg-thread", kind=YesNo(), default="yes", effect=ACCEPTED, about="Python's allocator is used"
        ),
    ],
)  # fmt: skip

ENCODINGS = Section(
    "Encodings",
    [
        Directive(
            name="hash-max-listpack-entries", alias="hash-max-ziplist-entries", kind=LONG, default="512",
            about="fields up to which a hash is a listpack",
        ),
        Directive(
            name="hash-max-listpack-value", alias="hash-max-ziplist-value", kind=Memory(), default="64",
            about="bytes of a field or value up to which it is one",
        ),
        Directive(
            name="list-max-listpack-size", alias="list-max-ziplist-size", kind=Integer(INT_MIN, INT_MAX), default="-2",
            about="the largest listpack of a list: entries, or -1 to -5 for 4 to 64 kb",
        ),
        Directive(
            name="list-compress-depth", kind=Integer(), default="0", effect=ACCEPTED, about="lists are not compressed"
        ),
        Directive(
            name="set-max-intset-entries", kind=LONG, default="512",
            about="members up to which a set of integers is an intset",
        ),
        Directive(
            name="set-max-listpack-entries", kind=LONG, default="128", about="members up to which a set is a listpack"
        ),
        Directive(
            name="set-max-listpack-value", kind=Memory(), default="64", about="bytes of a member up to which it is one"
        ),
        Directive(
            name="zset-max-listpack-entries", alias="zset-max-ziplist-entries", kind=LONG, default="128",
            about="members up to which a sorted set is a listpack",
        ),
        Directive(
            name="zset-max-listpack-value", alias="zset-max-ziplist-value", kind=Memory(), default="64",
            about="bytes of a member up to which it is one",
        ),
        Directive(
            name="hll-sparse-max-bytes", kind=Memory(), default="3000",
            about="bytes up to which a HyperLogLog is sparse",
        ),
        Directive(
            name="stream-node-max-bytes", kind=Memory(), default="4096",
            about="the bytes of a node of a stream",
        ),
        Directive(
            name="stream-node-max-entries", kind=LONG, default="100",
            about="the entries of a node of a stream",
        ),
    ],
)  # fmt: skip

OBSERVATION = Section(
    "Events, latency and scripts",
    [
        Directive(
            name="notify-keyspace-events", kind=EventClasses(), default="",
            about="the events published, by class letters",
        ),
        Directive(
            name="slowlog-log-slower-than", kind=Integer(-1, LONG_MAX), default="10000",
            about="microseconds from which a command is in the slow log; -1: none",
        ),
        Directive(name="slowlog-max-len", kind=LONG, default="128", about="entries the slow log keeps"),
        Directive(
            name="latency-monitor-threshold", kind=LONG, default="0",
            about="milliseconds from which LATENCY notes an event; 0: none",
        ),
        Directive(
            name="latency-tracking", kind=YesNo(), default="yes",
            about="histograms of the time each command takes",
        ),
        Directive(
            name="latency-tracking-info-percentiles", kind=Percentiles(), default="50 99 99.9",
            about="the percentiles INFO shows of them",
        ),
        Directive(
            name="busy-reply-threshold", alias="lua-time-limit", kind=LONG, default="5000",
            about="milliseconds after which a script makes the node answer BUSY",
        ),
        Directive(
            name="lua-enable-deprecated-api", kind=YesNo(), default="no", immutable=True, hidden=True, effect=ACCEPTED,
            about="the old functions are not there",
        ),
    ],
)  # fmt: skip
