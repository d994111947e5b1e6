"""Rule sets that a person typed: the commands that lead to what was read of them make the same rule set, to the letter."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from itertools import pairwise

import pytest

from lab.state import LO, Command, Namespace, State, commands_of, complete, difference
from lab.state.nft import NftTable
from lab.state.nftables import from_json, with_dynamic

InNamespace = Callable[..., subprocess.CompletedProcess[str]]

OBJECTS = {
    "counter": ("counter x { }", 'counter name "x"'),
    "counter of an address": (
        'counter x { comment "seen"; }\nmap m { type ipv4_addr : counter; elements = { 10.0.0.1 : "x" } }',
        "counter name ip saddr map @m",
    ),
    "quota": ("quota x { over 10 mbytes; }", 'quota name "x" drop'),
    "quota not reached": ("quota x { 1000 bytes; }", 'quota name "x" accept'),
    "limit": ("limit x { rate 400/hour; }", 'limit name "x" accept'),
    "limit of bytes": ("limit x { rate over 1024 bytes/second burst 512 bytes; }", 'limit name "x" drop'),
    "helper": ('ct helper x { type "ftp" protocol tcp; l3proto ip; }', 'tcp dport 21 ct helper set "x"'),
    "timeout": ("ct timeout x {\nprotocol tcp; l3proto ip; policy = { established: 100, close: 4 };\n}", 'ct timeout set "x"'),
    "expectation": ("ct expectation x { protocol udp; dport 9876; timeout 2m; size 12; l3proto ip; }", 'ct expectation set "x"'),
    "synproxy": ("synproxy x {\nmss 1460\nwscale 7\ntimestamp sack-perm\n}", 'ct state invalid synproxy name "x"'),
}
UNKNOWN = "meta mark set jhash ip saddr mod 2"
"""A statement this lab has no class for, nor text."""
NAT_CHAIN = "chain p {\ntype nat hook prerouting priority -100;"


def typed(objects: str, rule: str) -> str:
    return f"table ip n {{\n{objects}\nchain f {{\ntype filter hook forward priority 0;\n{rule}\n}}\n}}\n"


def listing(in_namespace: InNamespace, script: str) -> tuple[str, State]:
    """What nft lists in a namespace where a script ran, and the state that this is read as."""
    done = in_namespace(f"{script}\nnft list ruleset; echo @@; nft -j list ruleset")
    assert done.returncode == 0, f"{done.stderr}\n{script}"
    text, _, document = done.stdout.partition("@@")
    return text, holding(with_dynamic(from_json(json.loads(document)), text))


def holding(tables: tuple[NftTable, ...] = ()) -> State:
    return complete(State({"n": Namespace("n", links=(LO,), tables=tables)}))


def load(text: str) -> str:
    return Command("n", ("nft", "-f", "-"), text).text


def change(before: State, after: State) -> str:
    return "\n".join(command.text for command in commands_of(difference(before, after)))


@pytest.mark.kernel
@pytest.mark.parametrize("beside", ["", UNKNOWN], ids=["words", "words and JSON"])
@pytest.mark.parametrize("kind", OBJECTS)
def test_stateful_objects_come_with_the_rules_that_use_them(in_namespace: InNamespace, kind: str, beside: str) -> None:
    objects, rule = OBJECTS[kind]
    wanted, after = listing(in_namespace, load(typed(objects, f"{rule}\n{beside}")))
    made, again = listing(in_namespace, change(holding(), after))
    assert made == wanted
    assert not difference(again, after)


@pytest.mark.kernel
def test_stateful_objects_come_change_and_go(in_namespace: InNamespace) -> None:
    for (one, _), (other, rule) in [
        (OBJECTS["counter"], OBJECTS["quota"]),
        (OBJECTS["quota"], OBJECTS["quota not reached"]),
        (OBJECTS["timeout"], OBJECTS["synproxy"]),
        (("", ""), OBJECTS["helper"]),
        (OBJECTS["expectation"], ("", "accept")),
    ]:
        first, then = load(typed(one, "accept")), load(typed(other, rule))
        _, before = listing(in_namespace, first)
        wanted, after = listing(in_namespace, then)
        made, again = listing(in_namespace, f"{first}\n{change(before, after)}")
        assert made == wanted
        assert not difference(again, after)


@pytest.mark.kernel
@pytest.mark.parametrize("beside", ["add @d { ip saddr }", UNKNOWN])
def test_a_map_of_concatenated_values_comes_with_what_has_no_class(in_namespace: InNamespace, beside: str) -> None:
    """As JSON nft 1.0.6 reads no such map: it ends by a fault."""
    rules = f"dnat to ip daddr . tcp dport map @m\n{beside}"
    declared = "type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.9.9.9 . 80 : 10.4.0.10 . 80 }"
    table = f"table ip n {{\nset d {{ type ipv4_addr; size 9; flags dynamic; }}\nmap m {{ {declared} }}\n{NAT_CHAIN}\n{rules}\n}}\n}}\n"
    wanted, after = listing(in_namespace, load(table))
    made, again = listing(in_namespace, change(holding(), after))
    assert made == wanted
    assert not difference(again, after)


@pytest.mark.kernel
@pytest.mark.parametrize(
    "statement",
    [
        "add @d { ip saddr }",
        "update @d { ip saddr timeout 1m }",
        "add @d { ip saddr limit rate 3/second } accept",
        "delete @d { ip saddr }",
        "add @m { ip saddr : ip daddr }",
        "limit rate 10 kbytes/second drop",
    ],
)
def test_statements_without_a_class_have_words(in_namespace: InNamespace, statement: str) -> None:
    containers = (
        "set d {\ntype ipv4_addr; size 9; flags dynamic,timeout;\n}\nmap m {\ntype ipv4_addr : ipv4_addr; size 9; flags dynamic;\n}"
    )
    wanted, after = listing(in_namespace, load(typed(containers, statement)))
    (command,) = commands_of(difference(holding(), after))
    assert "-j" not in command.argv
    made, again = listing(in_namespace, command.text)
    assert made == wanted
    assert not difference(again, after)


@pytest.mark.kernel
def test_what_an_object_has_counted_is_no_difference(in_namespace: InNamespace) -> None:
    _, before = listing(in_namespace, load("table ip n {\ncounter x {\npackets 1 bytes 2\n}\nquota q {\n1000 bytes\n}\n}\n"))
    _, after = listing(in_namespace, load("table ip n {\ncounter x {\npackets 3 bytes 9\n}\nquota q {\n1000 bytes used 10 bytes\n}\n}\n"))
    assert not difference(before, after)


SETS = {
    "plain": "set d {\ntype ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }\n}",
    "dynamic": "set d {\ntype ipv4_addr; flags dynamic; elements = { 10.0.0.1 }\n}",
    "size": "set d {\ntype ipv4_addr; size 100; elements = { 10.0.0.1 }\n}",
    "timeout": "set d {\ntype ipv4_addr; timeout 1h30m; gc-interval 12s;\n}",
    "timeout of an element": "set d {\ntype ipv4_addr; flags timeout; elements = { 10.0.0.1 timeout 1h, 10.0.0.2 }\n}",
    "another timeout of it": "set d {\ntype ipv4_addr; flags timeout; elements = { 10.0.0.1 timeout 2h }\n}",
    "all at once": "set d {\ntype ipv4_addr; size 9; flags dynamic,timeout; timeout 1d; elements = { 10.0.0.1 timeout 2d, 10.0.0.2 }\n}",
    "limit": "set d {\ntype ipv4_addr; size 9; flags dynamic; limit rate 10/second burst 7 packets\n}",
    "map": "map d {\ntype ipv4_addr : ipv4_addr; size 44; flags timeout; timeout 10m; elements = { 10.0.0.1 timeout 1h : 10.0.0.2 }\n}",
    "another map": "map d {\ntype ipv4_addr : ipv4_addr; size 44; timeout 10m; elements = { 10.0.0.1 timeout 2h : 10.0.0.3 }\n}",
}


@pytest.mark.kernel
@pytest.mark.parametrize("kind", SETS)
def test_what_a_set_is_made_with_is_not_lost(in_namespace: InNamespace, kind: str) -> None:
    wanted, after = listing(in_namespace, load(typed(SETS[kind], "accept")))
    made, again = listing(in_namespace, change(holding(), after))
    assert _without_clocks(made) == _without_clocks(wanted)
    assert not difference(again, after)


@pytest.mark.kernel
@pytest.mark.parametrize(("one", "other"), list(pairwise(SETS)))
def test_a_set_of_one_make_becomes_one_of_another(in_namespace: InNamespace, one: str, other: str) -> None:
    first = load(typed(SETS[one], "accept"))
    _, before = listing(in_namespace, first)
    wanted, after = listing(in_namespace, load(typed(SETS[other], "accept")))
    assert difference(before, after)
    made, again = listing(in_namespace, f"{first}\n{change(before, after)}")
    assert _without_clocks(made) == _without_clocks(wanted)
    assert not difference(again, after)


def _without_clocks(text: str) -> str:
    return re.sub(r" expires \w+", "", text)
