"""What an operator has to do something about although the nodes agree: open slots, primaries without a replica."""

from __future__ import annotations

from cluster.bringup.topology import lonely_primaries, open_slots, parse_nodes

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def nodes(me: str, of_a: str = "", of_b: str = "", c: str = f"slave {A}", c_flag: str = "") -> str:
    lines = {
        A: f"{A} 127.0.0.1:7000@17000 master - 0 0 1 connected 0-8191{of_a}",
        B: f"{B} 127.0.0.1:7001@17001 master - 0 0 2 connected 8192-16383{of_b}",
        C: f"{C} 127.0.0.1:7002@17002 {c.replace(' ', c_flag + ' ', 1)} 0 0 3 connected",
    }
    return "\n".join(line.replace("0 ", "0 myself,", 1) if one == me else line for one, line in lines.items())


def test_open_slots_are_named_with_their_two_ends() -> None:
    a = parse_nodes(nodes(A, of_a=f" [93->-{B}] [7-<-{B}]"))
    b = parse_nodes(nodes(B, of_b=f" [93-<-{A}]"))
    assert open_slots({A: a, B: b}) == [
        "slot 7 is open (importing on 127.0.0.1:7000)",
        "slot 93 is open (migrating on 127.0.0.1:7000, importing on 127.0.0.1:7001)",
    ]
    assert open_slots({A: parse_nodes(nodes(A))}) == []


def test_a_primary_is_lonely_whose_replica_is_none_or_down() -> None:
    assert [one.port for one in lonely_primaries(parse_nodes(nodes(A)))] == [7001]
    assert [one.port for one in lonely_primaries(parse_nodes(nodes(A, c_flag=",fail")))] == [7000, 7001]
    assert [one.port for one in lonely_primaries(parse_nodes(nodes(A, c="master -")))] == [7000, 7001]
