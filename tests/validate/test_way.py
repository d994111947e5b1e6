"""The way to the end of a change, the parts that may fail afterwards, and the way back."""

from __future__ import annotations

from lab.errors import ExitCode
from lab.state import difference
from lab.validate.change import make
from lab.validate.commands import read_commands
from tests.validate.small import failed, small, validated

SWAP = """
r1: ip route del 10.2.0.0/24 via 10.12.0.2
r1: ip route del 10.2.0.0/24 via 10.13.0.2
r2: ip route add blackhole 10.77.0.0/16
r1: ip route add 10.2.0.0/24 via 10.12.0.2 metric 5
"""


def test_a_step_that_interrupts_is_found_and_a_better_order_is_proposed() -> None:
    found = validated(small().state, SWAP, steps=True)
    assert failed(found) == []
    assert [step.hurts for step in found.steps] == [True, True, True, False], "by the reserve it meets a strict rp_filter"
    assert found.exit_code is ExitCode.EXPECTATION
    assert found.order is not None
    assert (found.order.broken, found.order.complete) == (0, True)
    assert found.order.steps.index(3) < found.order.steps.index(0), "the new route comes before the old one goes"
    assert "another order breaks less" in found.conclusion


def test_the_proposed_order_was_made_and_breaks_nothing() -> None:
    found = validated(small().state, SWAP, steps=True)
    assert found.order is not None
    lines = SWAP.strip().splitlines()
    again = validated(small().state, "\n".join(lines[number] for number in found.order.steps), steps=True)
    assert not any(step.hurts for step in again.steps)
    assert again.order is None


def test_an_order_in_which_a_command_is_refused_is_none() -> None:
    commands = """
    r1: ip addr add 10.55.0.1/24 dev lan
    r1: ip route add 10.56.0.0/16 via 10.55.0.9
    r1: ip route del 10.2.0.0/24 via 10.12.0.2
    r1: ip route add 10.2.0.0/24 via 10.12.0.2
    """
    found = validated(small().state, commands, steps=True)
    assert found.order is not None
    assert found.order.steps.index(0) < found.order.steps.index(1)
    assert found.order.broken == found.order.given_broken > 0, "a route that goes and comes again is missed meanwhile"


def test_who_takes_the_reserve_away_is_told_what_depends_on_it() -> None:
    loose = small(rp_filter=2)
    found = validated(loose.state, "r1: ip route del 10.2.0.0/24 via 10.13.0.2", failures=True)
    assert failed(found) == []
    assert found.failures is not None
    fragile = {failure.what for failure in found.failures if failure.newly_cut}
    assert fragile == {"the link r1:direct to r2:direct", "the route to 10.2.0.0/24 via 10.12.0.2 on r1"}
    assert found.exit_code is ExitCode.EXPECTATION
    assert "reserve" in found.conclusion
    kept = validated(loose.state, "r1: ip route add blackhole 10.98.0.0/16", failures=True)
    assert [failure.what for failure in kept.failures or () if failure.newly_cut] == []
    assert any(failure.what == "the gateway r1" for failure in kept.failures or ())


def test_the_way_back_is_proved_by_going_there() -> None:
    commands = """
    r1: ip route del 10.2.0.0/24 via 10.13.0.2
    r2: sysctl -w net.ipv4.conf.all.rp_filter=0
    r2: ip link set dev direct mtu 1400
    h1: ip addr add 10.1.0.9/24 dev eth0
    r1: ip route del 10.2.0.0/24
    """
    before = small().state
    found = validated(before, commands)
    assert found.undo.proved
    state = before
    for text in (commands, "\n".join(f"{node}: {command}" for node, command in found.undo.commands)):
        for step in read_commands(text, "x", before.namespaces):
            state = make(state, step)
    assert not difference(state, before)


def test_a_sysctl_that_nobody_stated_is_not_forgotten() -> None:
    found = validated(small().state, "r1: sysctl -w net.ipv4.conf.lan.arp_ignore=2")
    assert "r1: net/ipv4/conf/lan/arp_ignore" in found.undo.remark
