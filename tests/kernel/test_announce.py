"""An address is announced, and neighbours take it or not, as their settings say."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

import pytest

from lab.errors import InputError
from lab.kernel.announce import announce
from lab.kernel.engine import Engine
from lab.kernel.sandbox import Sandbox
from lab.state import LO, AddressEntry, Bridge, BridgePort, Link, Namespace, Neighbour, State, Veth, complete

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)]
VIP, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("2001:db8::100")
MARKER = IPv4Address("10.0.0.101")
MACS = {"router": "02:00:00:00:00:01", "old": "02:00:00:00:00:02", "new": "02:00:00:00:00:03"}


def lan(**sysctls: str) -> State:
    """A router and two machines on a switch; what is stated of sysctls is the router's."""
    ends = {
        name: Namespace(
            name,
            links=(LO, Link("eth0", Veth("sw", name), mac=mac)),
            addresses=(
                AddressEntry("eth0", IPv4Interface(f"10.0.0.{number}/24")),
                AddressEntry("eth0", IPv6Interface(f"2001:db8::{number}/64")),
            ),
            sysctls={f"net/ipv4/conf/eth0/{key}": value for key, value in sysctls.items()} if name == "router" else {},
        )
        for number, (name, mac) in enumerate(MACS.items(), start=1)
    }
    ports = (Link(name, Veth(name, "eth0"), master="br0", port=BridgePort()) for name in MACS)
    return complete(State({"sw": Namespace("sw", links=(LO, Link("br0", Bridge()), *ports)), **ends}))


def known(sandbox: Sandbox, address: IPv4Address | IPv6Address) -> str:
    """Which MAC address the router has for an address, and in which state."""
    with sandbox.enter("router"):
        words = subprocess.run(["ip", "neigh", "show", str(address)], capture_output=True, text=True, check=True).stdout.split()
    return f"{words[words.index('lladdr') + 1]} {words[-1]}" if "lladdr" in words else " ".join(words[3:])


def heard(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    """Wait until the router has taken every announcement so far: they come in order, and it takes this one in any case."""
    learn(sandbox, MARKER, "old")
    announce(sandbox, "new", "eth0", MARKER)
    eventually(lambda: known(sandbox, MARKER).split()[0] != MACS["old"], "the router hears the last announcement")


def learn(sandbox: Sandbox, address: IPv4Address | IPv6Address, name: str) -> None:
    with sandbox.enter("router"):
        learned = ["ip", "neigh", "replace", str(address), "dev", "eth0", "lladdr", MACS[name], "nud", "reachable"]
        subprocess.run(learned, check=True)


@pytest.mark.parametrize("address", [VIP, VIP6])
def test_who_has_an_entry_takes_the_new_mac_address(
    sandbox: Sandbox, eventually: Callable[..., None], address: IPv4Address | IPv6Address
) -> None:
    with Engine(sandbox) as engine:
        engine.apply(lan())
        learn(sandbox, address, "old")
        announce(sandbox, "new", "eth0", address)
        heard(sandbox, eventually)
        assert known(sandbox, address) == f"{MACS['new']} STALE"
        (read,) = (entry for entry in engine.read_back()["router"].neighbours if entry.address == address)
        assert (read.mac, read.state, read.provenance.component) == (MACS["new"], "stale", "kernel")


@pytest.mark.parametrize(("accept", "entry"), [("0", ""), ("1", f"{MACS['new']} STALE")])
def test_who_has_none_makes_one_where_arp_accept_says_so(
    sandbox: Sandbox, eventually: Callable[..., None], accept: str, entry: str
) -> None:
    with Engine(sandbox) as engine:
        engine.apply(lan(arp_accept=accept))
        announce(sandbox, "new", "eth0", VIP)
        heard(sandbox, eventually)
        assert known(sandbox, VIP) == entry


def test_an_entry_that_was_stated_stays(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    with Engine(sandbox) as engine:
        engine.apply(lan())
        with sandbox.enter("router"):
            subprocess.run(["ip", "neigh", "replace", str(VIP), "dev", "eth0", "lladdr", MACS["old"]], check=True)
        announce(sandbox, "new", "eth0", VIP)
        heard(sandbox, eventually)
        assert known(sandbox, VIP) == f"{MACS['old']} PERMANENT"


def test_arp_notify_announces_a_new_mac_address_by_itself(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    state = lan()
    own = IPv4Address("10.0.0.3")
    links = (LO, replace(state["new"].links[1], mac="02:00:00:00:00:33"))
    with Engine(sandbox) as engine:
        for notify, mac in (("0", MACS["new"]), ("1", "02:00:00:00:00:33")):
            before = replace(state["new"], sysctls={"net/ipv4/conf/eth0/arp_notify": notify})
            engine.apply(replace(state, namespaces={**state.namespaces, "new": before}))
            learn(sandbox, own, "new")
            engine.apply(replace(state, namespaces={**state.namespaces, "new": replace(before, links=links)}))
            heard(sandbox, eventually)
            assert known(sandbox, own).split()[0] == mac


def test_a_device_that_is_not_there_or_down_cannot_announce(sandbox: Sandbox) -> None:
    with Engine(sandbox) as engine:
        state = lan()
        down = replace(state["new"], links=(LO, replace(state["new"].links[1], up=False)))
        engine.apply(complete(replace(state, namespaces={**state.namespaces, "new": down}), state))
        for device in ("eth0", "eth1"):
            with pytest.raises(InputError, match=f"new:{device} cannot announce 10.0.0.100"):
                announce(sandbox, "new", device, VIP)


def test_what_was_learned_is_forgotten_between_phases_unless_it_is_stated(sandbox: Sandbox) -> None:
    state = lan()
    entry = Neighbour("eth0", VIP, MACS["old"], "reachable")
    stating = replace(state["router"], neighbours=(entry,))
    with Engine(sandbox) as engine:
        engine.apply(replace(state, namespaces={**state.namespaces, "router": stating}))
        learn(sandbox, VIP6, "old")
        engine.flush()
        assert (known(sandbox, VIP), known(sandbox, VIP6)) == (f"{MACS['old']} REACHABLE", "")
        engine.apply(state)
        assert known(sandbox, VIP) == f"{MACS['old']} REACHABLE", "what the kernel has learned is left alone"
        engine.flush()
        assert known(sandbox, VIP) == ""
