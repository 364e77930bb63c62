"""cluster.yaml: what it means, and that everything wrong with it is said with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config.errors import ConfigError
from cluster.config.store import Configuration
from cluster.config.yaml_config import ClusterPlan, node_settings, parse_cluster_yaml, pick_node

EXAMPLE = Path(__file__).parents[2] / "cluster.yaml"


def plan(text: str) -> ClusterPlan:
    return parse_cluster_yaml(text, "/etc/c/cluster.yaml")


def config(text: str, number: int = 1) -> Configuration:
    parsed = plan(text)
    result = Configuration(node_settings(parsed, pick_node(parsed, number=number)))
    result.check()
    return result


def test_the_example_is_six_nodes() -> None:
    parsed = parse_cluster_yaml(EXAMPLE.read_text(), str(EXAMPLE))
    assert [node.port for node in parsed.nodes] == [7000, 7001, 7002, 7003, 7004, 7005]
    assert (parsed.replicas, parsed.primaries, parsed.node_timeout_ms) == (1, 3, 2000)
    for node in parsed.nodes:
        Configuration(node_settings(parsed, node)).check()


def test_defaults() -> None:
    parsed = plan("nodes: [{port: 7000}]")
    assert (parsed.replicas, parsed.node_timeout_ms, parsed.host, parsed.password) == (1, None, "127.0.0.1", "")
    told = config("nodes: [{port: 7000}]")
    assert (told.cluster_node_timeout, told.pidfile) == (2000, "node.pid")
    node = parsed.nodes[0]
    assert (node.bus_port, node.directory) == (17000, "/etc/c/data/7000")


def test_what_a_node_is_told() -> None:
    text = """
        cluster: {password: "p w", secret: s, node_timeout_ms: 500, host: 127.0.0.2, directory: /var/x,
                  directives: {maxmemory: 5mb, appendonly: yes, save: "60 1",
                               client-output-buffer-limit: "pubsub 1 2 3"}}
        nodes:
          - {port: 7000, bus_port: 9000, directives: {maxmemory: 6mb, save: ["5 6", "7 8"]}}
          - {port: 7001, host: "::1", directory: own}
    """
    first, second = config(text, 1), config(text, 2)
    assert (first.port, first.cluster_port, first.bind, first.dir) == (7000, 9000, ("127.0.0.2",), "/var/x/7000")
    assert (first.requirepass, first.masterauth, first.cluster_secret) == ("p w", "p w", "s")
    assert (first.cluster_enabled, first.cluster_node_timeout, first.appendonly) == (True, 500, True)
    assert (first.maxmemory, first.save) == (6 << 20, ((5, 6), (7, 8)))
    assert (second.maxmemory, second.save) == (5 << 20, ((60, 1),))
    assert (second.cluster_port, second.bind, second.dir) == (0, ("::1",), "/etc/c/own")
    assert first.client_output_buffer_limit["pubsub"] == (1, 2, 3)


def test_a_list_is_words_where_lines_do_not_add_up() -> None:
    text = """
        nodes: [{port: 1, directives: {latency-tracking-info-percentiles: [50, 99.5], rename-command: ['A B', 'C ""']}}]
    """
    result = config(text)
    assert result.latency_tracking_info_percentiles == (50.0, 99.5)
    assert result.rename_command == (("A", "B"), ("C", ""))


NODES = "nodes: [{port: 7000}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [{port: 1}, {port: 2}, {prot: 3}]", "nodes[2].prot: unknown key (did you mean 'port'?)"),
        (NODES + "clustr: {}", "clustr: unknown key (did you mean 'cluster'?)"),
        (NODES + "cluster: {directives: 5}", "cluster.directives: must be a mapping of keys to values"),
        ("nodes: [{port: 1, zzz: 1}]",
         "nodes[0].zzz: unknown key (known: port, bus_port, host, directory, directives)"),
        ("nodes: [{}]", "nodes[0].port: is missing"),
        ("nodes: [{port: '7000'}]", "nodes[0].port: must be a whole number, not '7000'"),
        ("nodes: [{port: yes}]", "nodes[0].port: must be a whole number, not yes"),
        ("nodes: [{port: 70000}]", "nodes[0].port: must be between 1 and 65535, not 70000"),
        ("nodes: [{port: 60000}]", "nodes[0].port: port + 10000 is no port for the bus: give a bus_port"),
        ("nodes: [{port: 1}, {port: 1}]", "nodes[1].port: 1 is already nodes[0].port"),
        ("nodes: [{port: 1}, {port: 10001}]", "nodes[1].port: 10001 is already nodes[0].bus_port"),
        ("nodes: [{port: 1}, {port: 2, directory: data/1}]",
         "nodes[1].directory: /etc/c/data/1 is already the directory of nodes[0]"),
        ("nodes: []", "nodes: there has to be at least one node"),
        ("nodes: {}", "nodes: must be a list, not a mapping"),
        ("nodes: [7000]", "nodes[0]: must be a mapping of keys to values"),
        ("- 1", "must be a mapping of keys to values"),
        (NODES + "cluster: {host: example}", "cluster.host: 'example' is not an IP address"),
        (NODES + "cluster: {password: 123}", "cluster.password: must be a text, in quotes if need be, not 123"),
        (NODES + "cluster: {replicas: -1}", "cluster.replicas: must be between 0 and 100, not -1"),
        (NODES + "cluster: {directives: {maxmemry: 1}}",
         "cluster.directives.maxmemry: unknown directive (did you mean 'maxmemory'?)"),
        (NODES + "cluster: {directives: {maxmemory: big}}",
         "cluster.directives.maxmemory: argument must be a memory value"),
        (NODES + "cluster: {directives: {port: 1}}", "cluster.directives.port: is not set here but by port"),
        (NODES + "cluster: {directives: {requirepass: yes}}",
         "cluster.directives.requirepass: must be a text, in quotes if need be, not yes"),
        (NODES + "cluster: {directives: {unixsocketperm: 0700}}",
         "cluster.directives.unixsocketperm: must be in quotes, since YAML reads 0700 as another number"),
        ('nodes: [{port: 1, directory: "a\\0"}]', "nodes[0].directory: can't contain a NUL"),
        (NODES + 'cluster: {directives: {logfile: "a\\0"}}',
         "cluster.directives.logfile: argument can't contain a NUL"),
        ('"nod\\nes": 1', "nod\\nes: unknown key (did you mean 'nodes'?)"),
        (NODES + "cluster: {directives: {hz: {a: 1}}}",
         "cluster.directives.hz: must be a text, a number, yes or no, not a mapping"),
    ],
)  # fmt: skip
def test_errors_name_the_path(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(text)
    assert str(caught.value) == f"/etc/c/cluster.yaml: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [\n{port: 1}\n", "/etc/c/cluster.yaml:3: "),
        ("nodes: []\nnodes: []", "/etc/c/cluster.yaml:2: key 'nodes' stands twice"),
        ("nodes: !!python/object:os.system x", "/etc/c/cluster.yaml:1: "),
        ("a: *b", "/etc/c/cluster.yaml:1: "),
        ("\x01", "/etc/c/cluster.yaml: "),
        ("a: 2001-02-31", "/etc/c/cluster.yaml:1: no value of the kind timestamp"),
        ("a:\n  0b_", "/etc/c/cluster.yaml:2: no value of the kind int"),
        ("a: !!bool x", "/etc/c/cluster.yaml:1: no value of the kind bool"),
        ("a: !!timestamp x", "/etc/c/cluster.yaml:1: no value of the kind timestamp"),
        ("a: !!int ''", "/etc/c/cluster.yaml:1: no value of the kind int"),
        ("a: " + "9" * 5000, "/etc/c/cluster.yaml:1: no value of the kind int"),
        ("a: 0x" + "f" * 5000, "/etc/c/cluster.yaml:1: a number that is too large"),
        ('a: "\\ud800"', "/etc/c/cluster.yaml:1: half a character"),
        ('a: "\\U00110000"', "/etc/c/cluster.yaml: not YAML"),
        ('a: "\\UFFFFFFFF"', "/etc/c/cluster.yaml: not YAML"),
        ("[" * 3000, "/etc/c/cluster.yaml: nested too deep"),
        ("a0: &a0 {x: 1, y: 2}\n" + "".join(
            f"a{at}: &a{at} {{<<: [{', '.join([f'*a{at - 1}'] * 30)}]}}\n" for at in range(1, 20)
        ), "/etc/c/cluster.yaml:"),
    ],
)
def test_what_is_no_yaml_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_picking_a_node() -> None:
    parsed = plan("nodes: [{port: 7000}, {port: 7001}]")
    assert pick_node(parsed, port=7001).port == 7001
    assert pick_node(parsed, number=2).port == 7001
    with pytest.raises(ConfigError, match=r"no node has port 1: there are 7000, 7001"):
        pick_node(parsed, port=1)
    with pytest.raises(ConfigError, match="there is no node 3"):
        pick_node(parsed, number=3)
    with pytest.raises(ConfigError, match="which node is this"):
        pick_node(parsed)
