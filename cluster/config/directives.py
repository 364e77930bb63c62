"""The one table of directives: everything CONFIG, redis.conf, the command line, cluster.yaml and docs know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cluster.config.directive import Directive, Section
from cluster.config.directives_cluster import CLUSTER, LINES, SECURITY
from cluster.config.directives_data import APPEND_ONLY, REPLICATION, SNAPSHOTS
from cluster.config.directives_keyspace import ENCODINGS, MEMORY, OBSERVATION
from cluster.config.directives_network import CLIENTS, FILES, NETWORK, PROCESS, TLS

SECTIONS: tuple[Section, ...] = (
    NETWORK, CLIENTS, TLS, PROCESS, FILES, SECURITY, MEMORY, ENCODINGS, OBSERVATION, SNAPSHOTS, APPEND_ONLY,
    REPLICATION, CLUSTER, LINES,
)  # fmt: skip

DIRECTIVES: tuple[Directive, ...] = tuple(directive for section in SECTIONS for directive in section.directives)

BY_NAME: Mapping[str, Directive] = MappingProxyType(
    {name: directive for directive in DIRECTIVES for name in directive.names}
)
"""Every name, old ones too, in lower case."""
