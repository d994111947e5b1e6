"""A state's nodes, cables and addresses, made by Mininet's `addHost`, `addSwitch` and `addLink`.

What Mininet has no word for (VXLAN, routes of many tables, rules, sysctls, rule sets, forwarding databases) the engine of the lab adds: it
reads what is there and does the difference, as it does between phases.
"""

from __future__ import annotations

import re
from itertools import count
from typing import Any, Final

from lab.kernel.engine import Engine
from lab.kernel.mininet.module import load
from lab.kernel.mininet.parts import bridge_class, interface_class, link_class
from lab.kernel.planning.changes import FIRST_INDEX
from lab.kernel.sandbox import Sandbox
from lab.state import Bridge, Link, Namespace, State, Veth

End = tuple[str, str]
_SWITCH: Final = re.compile("net/ipv6/conf/(all|default)/disable_ipv6")
UPLINK: Final = "eth0"
"""The interface that is Mininet's first, so that its address is what Mininet calls the node's."""


class MininetNetwork:
    """Mininet's picture of a lab, kept up to date as the lab goes from state to state."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        mininet = load("mininet.net").Mininet
        self.net: Any = mininet(topo=None, build=False, controller=None, intf=interface_class())
        self.net.built = True
        self._numbers = count(FIRST_INDEX)

    def prepare(self, state: State, engine: Engine) -> None:
        """Make the nodes and cables of a state that are not there yet, and let the engine know."""
        for name in set(self.net.nameToNode) - set(state.namespaces):
            self._forget(name)
        made = [namespace for namespace in state if namespace.name not in self._sandbox.namespaces]
        for namespace in made:
            self._node(namespace)
        cables = [pair for pair in _cables(state) if not _there(engine.target, *pair)]
        for one, other in cables:
            self._cable(state, one, other)
        for namespace in made:
            if _is_switch(namespace):
                self.net.nameToNode[namespace.name].start([])
        if made or cables:
            engine.adopt(state)

    def _node(self, namespace: Namespace) -> None:
        """Make a node: a switch where there is nothing but a bridge and its ports, else a host."""
        name = namespace.name
        if _is_switch(namespace):
            bridges = {link.name: _ports(namespace, link.name) for link in namespace.links if isinstance(link.kind, Bridge)}
            indexes = {bridge: next(self._numbers) for bridge in bridges}
            node = self.net.addSwitch(name, cls=bridge_class(), dpid=f"{next(self._numbers):x}", bridges=bridges, indexes=indexes)
        else:
            node = self.net.addHost(name, ip=None)
        node.configDefault(ip=None, mac=None)  # lo goes up
        node.cmd("sysctl", "-qw", *_ipv6_settings(namespace))
        self._sandbox.adopt_namespace(name, f"/proc/{node.pid}/ns/net")

    def _cable(self, state: State, one: End, other: End) -> None:
        ends = []
        for namespace, device in (one, other):
            link = state[namespace].link(device)
            assert link is not None
            address = next((str(e.interface) for e in state[namespace].addresses_of(device) if e.interface.version == 4), None)
            ends.append((self.net.nameToNode[namespace], link, {"ip": address} if address else {}))
        (near, link, here), (far, peer, there) = ends
        addresses = {key: end.mac for key, end in (("addr1", link), ("addr2", peer)) if end.mac is not None}
        self.net.addLink(
            near,
            far,
            cls=link_class(),
            indexes=(next(self._numbers), next(self._numbers)),
            port1=_port(near, link),
            port2=_port(far, peer),
            intfName1=link.name,
            intfName2=peer.name,
            params1=here,
            params2=there,
            **addresses,
        )

    def _forget(self, name: str) -> None:
        """Let go of a node that is no more; the engine removes its namespace."""
        node = self.net.nameToNode.pop(name)
        for nodes in (self.net.hosts, self.net.switches):
            if node in nodes:
                nodes.remove(node)
        self.net.links = [link for link in self.net.links if node not in (link.intf1.node, link.intf2.node)]
        node.terminate()


def _ipv6_settings(namespace: Namespace) -> list[str]:
    """Return what is set before there is any link: whether there is IPv6, and that no link chooses an address by itself."""
    stated = [f"{path.replace('/', '.')}={value}" for path, value in namespace.sysctls.items() if _SWITCH.fullmatch(path)]
    return ["net.ipv6.conf.default.addr_gen_mode=1", *stated]


def _is_switch(namespace: Namespace) -> bool:
    devices = {link.name for link in namespace.links if isinstance(link.kind, Bridge)}
    return bool(devices) and not any(entry.device != "lo" for entry in namespace.addresses)


def _ports(namespace: Namespace, bridge: str) -> list[str]:
    return [link.name for link in namespace.links if link.master == bridge]


def _port(node: Any, link: Link) -> int:
    return 0 if link.name == UPLINK and 0 not in node.intfs else int(node.newPort()) or 1


def _cables(state: State) -> list[tuple[End, End]]:
    """Return the pairs of a state, each once, in the order of its links."""
    found: dict[frozenset[End], tuple[End, End]] = {}
    for namespace in state:
        for link in namespace.links:
            if isinstance(link.kind, Veth) and link.kind.peer_namespace in state.namespaces:
                ends = (namespace.name, link.name), (link.kind.peer_namespace, link.kind.peer_name)
                found.setdefault(frozenset(ends), ends)
    return list(found.values())


def _there(state: State, one: End, other: End) -> bool:
    """Whether a state has a cable already."""
    namespace = state.namespaces.get(one[0])
    link = namespace.link(one[1]) if namespace is not None else None
    return link is not None and isinstance(link.kind, Veth) and (link.kind.peer_namespace, link.kind.peer_name) == other
