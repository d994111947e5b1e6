"""Rule sets that a person typed: the commands that lead to what was read of them make the same rule set, to the letter."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from lab.state import LO, Command, Namespace, State, commands_of, complete, difference
from lab.state.nft import NftTable
from lab.state.nftables import from_json

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


def typed(objects: str, rule: str) -> str:
    return f"table ip n {{\n{objects}\nchain f {{\ntype filter hook forward priority 0;\n{rule}\n}}\n}}\n"


def listing(in_namespace: InNamespace, script: str) -> tuple[str, State]:
    """What nft lists in a namespace where a script ran, and the state that this is read as."""
    done = in_namespace(f"{script}\nnft list ruleset; echo @@; nft -j list ruleset")
    assert done.returncode == 0, f"{done.stderr}\n{script}"
    text, _, document = done.stdout.partition("@@")
    return text, holding(from_json(json.loads(document)))


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
def test_what_an_object_has_counted_is_no_difference(in_namespace: InNamespace) -> None:
    _, before = listing(in_namespace, load("table ip n {\ncounter x {\npackets 1 bytes 2\n}\nquota q {\n1000 bytes\n}\n}\n"))
    _, after = listing(in_namespace, load("table ip n {\ncounter x {\npackets 3 bytes 9\n}\nquota q {\n1000 bytes used 10 bytes\n}\n}\n"))
    assert not difference(before, after)
