"""Commands of a difference, typed one by one, lead from one state to the other; what cannot be typed gets its place."""

from __future__ import annotations

from itertools import permutations

import pytest

from lab.errors import InputError, Place
from lab.scenario.phases import compile_stage, find_stage
from lab.spec import open_scenario
from lab.state import State, commands_of, difference
from lab.state.typed import NotModelled, Word, carry_out, split_words


@pytest.fixture(scope="module")
def flagship() -> dict[str, State]:
    scenario, topology = open_scenario("calico-24-mismatch")
    names = ("healthy", "broken", "routes-only")
    return {name: compile_stage(topology, scenario, find_stage(scenario.model, name)) for name in names}


def test_the_commands_that_are_printed_are_understood(flagship: dict[str, State]) -> None:
    for one, other in permutations(flagship, 2):
        state = flagship[one]
        for command in commands_of(difference(state, flagship[other])):
            assert command.namespace is not None
            script = [Word(line, Place("typed")) for line in (command.standard_input or "").splitlines()]
            state = carry_out(state, command.namespace, [Word(text, Place("typed")) for text in command.argv], script)
        assert not difference(state, flagship[other]).network, f"from {one} to {other}"


def test_a_link_that_chooses_no_address_changes_nothing(flagship: dict[str, State]) -> None:
    """As the printed commands have it, before a link goes up in a namespace that is there."""
    typed = split_words("ip link set dev eth0 addrgenmode none up", Place("typed"))
    assert not difference(flagship["healthy"], carry_out(flagship["healthy"], "c1-w1", typed))


@pytest.mark.parametrize(
    ("line", "column", "said"),
    [
        ("ip route add 10.9.0.0/16 via 10.1.0.2; reboot", 38, "no shell reads this: ';'"),
        ("ip route add $(cat /etc/passwd) dev eth0", 14, "no shell reads this: '$'"),
        ('ip route add "`id`" dev eth0', 15, "no shell reads this: '`'"),
        ("ip route add 10.9.0.0/16 | tee /tmp/x", 26, "no shell reads this: '|'"),
        ("ip route add 10.9.0.0/16 \\", 26, "a command ends on its own line"),
        ("ip route add '10.9.0.0/16", 14, "is not closed"),
        ("ip route add 10.9.0.0/16", 1, "needs `via` or `dev`"),
        ("ip route add 10.9.0.0/16 via", 29, "expected a next hop, an address here, and the command ends"),
        ("ip route add 10.9.0.0/16 via 10.9.0", 30, "expected a next hop, an address, found '10.9.0'"),
        ("ip route add 10.9.0.1/16 dev eth0", 14, "did you mean 10.9.0.0/16?"),
        ("ip route add 10.9.0.0/16 devv eth0", 26, "did you mean 'dev'?"),
        ("ip route add 10.9.0.0/16 dev ethO", 30, "did you mean 'eth0'?"),
        ("ip route ad 10.9.0.0/16 dev eth0 metric -1", 41, "metric is between 0 and"),
        ("ip route dle 10.9.0.0/16", 10, "did you mean 'delete'?"),
        ("ip route del 10.200.0.0/16", 1, "the kernel would refuse this: No such process"),
        ("ip rout3 add 10.9.0.0/16", 4, "did you mean 'route'?"),
        ("ip rule add form 10.0.0.0/8 table 5", 13, "did you mean 'from'?"),
        ("ip link set eth0 mtu big", 22, "expected an MTU, found 'big'"),
        ("ip link set eth0 arp of", 22, "expected on or off, found 'of'"),
        ("ip addr add 10.0.0.1/24", 13, "an address needs its device"),
        ("sysctl -w net.ipv4.conf.vxlan.calico.rp_filter=2", 11, "written with slashes"),
        ("sysctl -w kernel.core_pattern=x", 11, "no sysctl of a network namespace"),
        ("echo 1 > /etc/passwd", 10, "no shell reads this"),
        ("echo 1 > /proc/sys/net/../kernel/core_pattern", 10, "no shell reads this"),
        ("nft add rule ip filtre forward drop", 17, "has no table ip filtre"),
        ("nft add rule ip nat POSTROUTNG ip saddr 10.0.0.0/8 drop", 21, "did you mean 'POSTROUTING'?"),
    ],
)
def test_a_mistake_is_told_with_its_column(flagship: dict[str, State], line: str, column: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        carry_out(flagship["healthy"], "c1-w1", split_words(line, Place("change", 7)))
    assert said in str(caught.value)
    assert str(caught.value.place) == f"change:7:{column}"


@pytest.mark.parametrize(
    "line",
    [
        "iptables -A FORWARD -j DROP",
        "ip link set eth0 addrgenmode eui64",
        "tc qdisc add dev eth0 root tbf rate 1mbit",
        "ip -6 route add ::/0 dev eth0",
        "sysctl -p",
        "ip link add x type dummy",
    ],
)
def test_what_only_a_kernel_can_tell_is_said_to_be_that(flagship: dict[str, State], line: str) -> None:
    with pytest.raises(NotModelled):
        carry_out(flagship["healthy"], "c1-w1", split_words(line, Place("change", 7)))


def test_quotes_backslashes_and_comments_are_those_of_a_shell() -> None:
    words = split_words('  nft \'add rule\' a\\ b "x \\" y" # the rest', Place("change", 3))
    assert [(word.text, word.place.column) for word in words] == [("nft", 3), ("add rule", 7), ("a b", 18), ('x " y', 23)]


def test_reading_commands_change_nothing(flagship: dict[str, State]) -> None:
    state = flagship["healthy"]
    for line in ("ip route show table all", "ip r", "ip -br a", "sysctl net.ipv4.ip_forward", "nft list ruleset", "ip link show eth0"):
        assert not difference(carry_out(state, "c1-w1", split_words(line, Place("change"))), state)


def test_forwarding_for_all_is_forwarding_for_each(flagship: dict[str, State]) -> None:
    state = carry_out(flagship["healthy"], "c1-gw", split_words("echo 0 > /proc/sys/net/ipv4/ip_forward", Place("change")))
    assert {value for path, value in state["c1-gw"].sysctls.items() if path.startswith("net/ipv4/") and path.endswith("forward")} == {"0"}
    assert state["c1-gw"].sysctls["net/ipv4/conf/all/forwarding"] == "0"
