"""A node's redis.conf over its starts: what cluster.yaml says holds, what CONFIG REWRITE wrote besides stays."""

from __future__ import annotations

from cluster.bringup.node_conf import node_conf
from cluster.config.redis_conf import parse_text
from cluster.config.rewrite import rewrite
from cluster.config.store import Configuration, Setting

USUAL = [Setting("cluster-node-timeout", ("2000",))]


def named(*lines: str) -> list[Setting]:
    return list(parse_text("\n".join(lines), "cluster.yaml"))


def read(text: str) -> Configuration:
    return Configuration(parse_text(text, "redis.conf"))


def rewritten(text: str, *changes: tuple[str, str]) -> str:
    """The file after CONFIG SET and CONFIG REWRITE in a node that was started from it."""
    config = read(text)
    config.set(changes)
    return rewrite(text, config)


def test_the_first_file_says_what_cluster_yaml_says() -> None:
    text = node_conf("", named("port 7000", 'requirepass "a b#"', "save 60 1", "save 30 5"), USUAL)
    config = read(text)
    assert (config.port, config.requirepass, config.save) == (7000, "a b#", ((60, 1), (30, 5)))
    assert config.cluster_node_timeout == 2000


def test_another_start_changes_nothing() -> None:
    settings = named("port 7000", "save 60 1", "save 30 5", 'rename-command A "B"')
    text = node_conf("", settings, USUAL)
    assert node_conf(text, settings, USUAL) == text
    changed = rewritten(text, ("timeout", "9"))
    again = node_conf(changed, settings, USUAL)
    assert node_conf(again, settings, USUAL) == again


def test_what_config_rewrite_wrote_stays_unless_cluster_yaml_names_it() -> None:
    settings = named("port 7000", "maxmemory 1mb")
    text = rewritten(
        node_conf("", settings, USUAL), ("maxmemory", "2mb"), ("timeout", "9"), ("cluster-node-timeout", "5000")
    )
    config = read(node_conf(text, settings, USUAL))
    assert (config.maxmemory, config.timeout, config.cluster_node_timeout) == (1 << 20, 9, 5000)


def test_what_is_taken_out_of_cluster_yaml_goes() -> None:
    text = node_conf("", named("port 7000", "maxmemory 1mb", "rename-command KEYS X"), USUAL)
    text = node_conf(rewritten(text, ("timeout", "9")), named("port 7000"), USUAL)
    config = read(text)
    assert (config.maxmemory, config.rename_command, config.timeout) == (0, (), 9)


def test_lines_of_somebodys_own_stay_under_older_names_too() -> None:
    text = "# mine\nslave-priority 5\nno-such-directive 1\ncluster-node-timeout 7\n"
    result = node_conf(text, named("port 7000"), USUAL)
    assert result.endswith(text)
    assert "2000" not in result
    assert "slave-priority" not in node_conf(text, named("replica-priority 6"), USUAL)
