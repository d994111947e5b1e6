"""Frames: through a veth pair, across a bridge, and up into the IP stack or not.

After drivers/net/veth.c, net/bridge/br_input.c, br_forward.c and `eth_type_trans`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.forwarding.arp import receive_arp
from lab.forwarding.causes import Reason
from lab.forwarding.frames import pass_chains
from lab.forwarding.hooks import pass_hook
from lab.forwarding.ip import receive
from lab.forwarding.ip6 import receive6
from lab.forwarding.journey import Arrive, Journey, Receive, Transmit, TurnBack, Visit
from lab.forwarding.netfilter.transit import LinkType, Transit
from lab.forwarding.network import Node
from lab.forwarding.packet import BROADCAST_MAC, Arp, Frame, Packet
from lab.forwarding.results import Detail, Stage
from lab.forwarding.tunnel import encapsulate
from lab.forwarding.unknown import Undecided
from lab.state import Bridge, BridgePort, FdbEntry, Impairment, Link, Loopback, OtherKind, Veth, Vxlan
from lab.state.checks.devices import CERTAIN

VLAN_HEADER = 4
"""A veth and a bridge port take frames that are longer than the MTU by one VLAN tag (`__is_skb_forwardable`)."""


# -- onto a device -------------------------------------------------------------------------------------------------


def transmit(journey: Journey, task: Transmit) -> None:
    """Put a frame on a device."""
    visit, device = task.visit, task.device
    node = visit.node
    link = node.links.get(device)
    if link is None or not link.up:
        journey.drop(visit, Stage.TRANSMISSION, device, Reason.LINK_DOWN, link, f"{device} is {'missing' if link is None else 'down'}")
        return
    sent_by = node.ruleset.egress.get(device)
    if sent_by:
        mark = pass_chains(journey, visit, sent_by, "egress", task.frame, task.mark, oif=device)
        if mark is None:
            return
        task = replace(task, mark=mark)
    _demand_known(link)
    if link.impairment is not None and not _unharmed(journey, visit, link, link.impairment):
        return
    match link.kind:
        case Veth():
            _through_veth(journey, task, link)
        case Bridge():
            _flood_or_forward(journey, visit, link, None, task.frame, task.mark)
        case Vxlan():
            encapsulate(journey, task)
        case _:
            raise Undecided(f"what becomes of a frame on {device} ({type(link.kind).__name__.lower()}) is not modelled", link)


def _demand_known(link: Link) -> None:
    """Raise Undecided for a device of which something was read that is not modelled."""
    if link.foreign:
        raise Undecided(f"{' and '.join(link.foreign)} of a device is not modelled: {link.name}", link)


def _unharmed(journey: Journey, visit: Visit, link: Link, impairment: Impairment) -> bool:
    """Whether a frame survives what a device does to all it sends. Raises Undecided where chance decides; slowness kills nothing here."""
    if impairment.loss >= CERTAIN:
        journey.drop(visit, Stage.TRANSMISSION, link.name, Reason.IMPAIRED, link, f"{link.name} loses all it is to send")
        return False
    if impairment.loss:
        raise Undecided(f"{link.name} loses {impairment.loss / 100:g} % of what it sends, by chance", link)
    if impairment.corruption:
        raise Undecided(f"{link.name} damages {impairment.corruption / 100:g} % of what it sends, by chance", link)
    return True


def _through_veth(journey: Journey, task: Transmit, link: Link) -> None:
    visit, frame = task.visit, task.frame
    peer = journey.world.network.peer(link)
    if peer is None or not peer[1].up:
        assert isinstance(link.kind, Veth)
        other = f"{link.kind.peer_namespace}:{link.kind.peer_name}"
        subject = link if peer is None else peer[1]
        journey.drop(
            visit,
            Stage.TRANSMISSION,
            link.name,
            Reason.NO_CARRIER,
            subject,
            f"the other end, {other}, is {'missing' if peer is None else 'down'}",
        )
        return
    node, other_link = peer
    if frame.size > other_link.mtu + VLAN_HEADER and not _is_train(frame):
        text = (
            f"a frame with {frame.size} bytes is longer than {node.name}:{other_link.name} accepts (MTU {other_link.mtu}); nobody is told"
        )
        journey.drop(visit, Stage.TRANSMISSION, link.name, Reason.TOO_LONG_FOR_PEER, other_link, text)
        return
    visit.left_by.append(link.name)
    # A frame that changes namespaces loses its mark and its connection (`skb_scrub_packet`).
    mark = task.mark if node is visit.node else 0
    payload = frame.payload
    if isinstance(payload, Packet) and payload.mark != mark:
        frame = frame._replace(payload=payload._replace(mark=mark))
    journey.add(Arrive(node, other_link.name, frame, mark, visit.number))


def _is_train(frame: Frame) -> bool:
    """Whether a frame bears several segments at once. A train that is cut into fragments is taken apart first (`ip_finish_output_gso`)."""
    return isinstance(frame.payload, Packet) and frame.payload.train and frame.payload.fragment is None


# -- from a device -------------------------------------------------------------------------------------------------


def arrive(journey: Journey, task: Arrive) -> None:
    """Take a frame that came in from outside: a new hop begins."""
    visit = journey.visit(task.node, task.device, task.came_from)
    _take(journey, visit, task.device, task.frame, task.mark)


def take_again(journey: Journey, task: Receive) -> None:
    """Take a frame that a device of this namespace unwrapped or passed up."""
    _take(journey, task.visit, task.device, task.frame, task.mark, to_host=task.to_host)


def _take(journey: Journey, visit: Visit, device: str, frame: Frame, mark: int, *, to_host: bool = False) -> None:
    node = visit.node
    link = node.links[device]
    link_type: LinkType
    if not link.up:
        journey.drop(visit, Stage.ARRIVAL, device, Reason.LINK_DOWN, link)
        return
    _demand_known(link)
    taken_by = node.ruleset.ingress.get(device)
    if taken_by:
        link_type = "host" if to_host else _addressed_to(node, device, frame)
        passed = pass_chains(journey, visit, taken_by, "ingress", frame, mark, iif=device, link_type=link_type)
        if passed is None:
            return
        mark = passed
    if link.master is not None:
        _into_bridge(journey, visit, link, frame, mark)
        return
    if device in node.macvlan_parents:
        raise Undecided(f"macvlan devices on {device} are not modelled", link)
    link_type = "host" if to_host else _addressed_to(node, device, frame)
    payload = frame.payload
    if isinstance(payload, Arp):
        receive_arp(journey, visit, device, payload, link_type, mark)
        return
    if link_type == "other":
        _for_somebody_else(journey, visit, link, frame)
        return
    packet = payload if payload.mark == mark else payload._replace(mark=mark)
    if packet.version == 6:
        receive6(journey, visit, device, packet, link_type, frame.source)
    else:
        receive(journey, visit, device, packet, link_type)


def _addressed_to(node: Node, device: str, frame: Frame) -> LinkType:
    if frame.destination == node.mac(device):
        return "host"
    if frame.destination == BROADCAST_MAC:
        return "broadcast"
    return "multicast" if _is_group(frame.destination) else "other"


def _is_group(mac: str) -> bool:
    """Whether a MAC is that of a group, or of everybody."""
    first = mac.split(":", 1)[0]
    return len(first) == 2 and bool(int(first, 16) & 1)


def _for_somebody_else(journey: Journey, visit: Visit, link: Link, frame: Frame) -> None:
    mine = visit.node.mac(link.name)
    if mine.startswith("?") and not frame.destination.startswith("?") and not isinstance(link.kind, Loopback):
        raise Undecided(f"the kernel chooses the MAC of {link.name}, so whether it is {frame.destination} is not known", link)
    text = f"the frame is for {frame.destination}, {link.name} is {mine}"
    journey.drop(visit, Stage.ARRIVAL, link.name, Reason.OTHER_HOST, link, text)


# -- bridges -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bridging:
    """Where a bridge sent a frame."""

    bridge: Link
    frame: Frame
    ports: tuple[str, ...]
    how: str
    entry: FdbEntry | None = None
    spared: tuple[tuple[Link, str], ...] = ()
    """Ports it might have left by, and what keeps it from them."""

    @property
    def sentence(self) -> str:
        """What was decided."""
        where = ", ".join(self.ports) or "no port"
        return f"{self.bridge.name}: MAC {self.frame.destination} {self.how}: to {where}"

    @property
    def subject(self) -> object | None:
        """The FDB entry, or the bridge."""
        return self.entry or self.bridge

    @property
    def details(self) -> tuple[Detail, ...]:
        """What kept it from other ports."""
        return tuple(Detail(f"{port.name} is spared: {why}", port) for port, why in self.spared)


_PLAIN_PORT = BridgePort()


def _port(link: Link) -> BridgePort:
    return link.port or _PLAIN_PORT


def _into_bridge(journey: Journey, visit: Visit, port: Link, frame: Frame, mark: int) -> None:
    """A frame came in by a port: learn its source, then up, on, or both (`br_handle_frame_finish`)."""
    node, world = visit.node, journey.world
    bridge = node.links.get(port.master or "")
    if bridge is None or not bridge.up:
        journey.drop(visit, Stage.BRIDGE, port.name, Reason.LINK_DOWN, bridge, f"bridge {port.master} is down or missing")
        return
    if not isinstance(bridge.kind, Bridge):
        kind = bridge.kind.name if isinstance(bridge.kind, OtherKind) else type(bridge.kind).__name__.lower()
        raise Undecided(f"what becomes of a frame on {bridge.name} ({kind}) is not modelled", bridge)
    _demand_known(bridge)
    chains = node.ruleset.bridge
    if chains:
        passed = pass_chains(
            journey,
            visit,
            chains["prerouting"],
            "prerouting",
            frame,
            mark,
            iif=port.name,
            link_type=_addressed_to(node, bridge.name, frame),
        )
        if passed is None:
            return
        mark = passed
    if _port(port).learning:
        world.memory.bridge_fdb[node.name, bridge.name, frame.source] = port.name
    if frame.destination in node.bridge_macs(bridge.name):
        _up_from_bridge(journey, visit, bridge, port, frame, mark, to_host=True)
        return
    if _is_group(frame.destination):
        _up_from_bridge(journey, visit, bridge, port, frame, mark)
    _flood_or_forward(journey, visit, bridge, port, frame, mark)


def _up_from_bridge(journey: Journey, visit: Visit, bridge: Link, port: Link, frame: Frame, mark: int, *, to_host: bool = False) -> None:
    """Pass a frame up to the namespace of the bridge itself (`br_pass_frame_up`); its rules still see the port."""
    chains = visit.node.ruleset.bridge
    passed: int | None = mark
    if chains:
        passed = pass_chains(journey, visit, chains["input"], "input", frame, mark, iif=port.name)
    if passed is not None:
        journey.add(Receive(visit, bridge.name, frame, passed, to_host=to_host))


def turn_back(journey: Journey, task: TurnBack) -> None:
    """Forward a frame that was translated on a bridge: its rules of the prerouting hook were asked already."""
    links = task.visit.node.links
    mark = task.transit.packet.mark
    _flood_or_forward(journey, task.visit, links[task.bridge], links[task.port], task.frame, mark, task.transit)


def _flood_or_forward(
    journey: Journey, visit: Visit, bridge: Link, came_by: Link | None, frame: Frame, mark: int, transit: Transit | None = None
) -> None:
    node, world = visit.node, journey.world
    entry = node.bridge_fdb.get((bridge.name, frame.destination))
    known = entry.device if entry is not None else world.memory.bridge_fdb.get((node.name, bridge.name, frame.destination))
    everybody = _is_group(frame.destination)
    if known is not None and known in node.links and not everybody:
        candidates = [node.links[known]]
        how = "is stated" if entry is not None else "was learned"
    else:
        candidates = [port for port in node.ports(bridge.name) if everybody or _port(port).flood]
        how = "is everybody's" if everybody else "is not known, flooded"
    ports = [port for port in candidates if _may_leave(node, port, came_by)]
    if everybody and any(_port(port).neigh_suppress for port in ports):
        raise Undecided("neighbour suppression of a bridge port is not modelled", bridge)
    spared = tuple(_spared(node, bridge, came_by, candidates, ports))
    visit.note(Stage.BRIDGE, Bridging(bridge, frame, tuple(port.name for port in ports), how, entry, spared), bridge.name)
    if came_by is not None and ports:
        passed = _iptables_on_bridge(journey, visit, bridge, frame, mark, transit)
        if passed is None:
            return
        frame, mark = passed
    # The port that was added last comes first (br_add_if puts it at the head of the list).
    for port in reversed(ports):
        if frame.size > port.mtu + VLAN_HEADER and not _is_train(frame):
            text = f"a frame with {frame.size} bytes does not fit the MTU {port.mtu} of port {port.name}; nobody is told"
            journey.drop(visit, Stage.BRIDGE, port.name, Reason.TOO_LONG_FOR_BRIDGE, port, text)
        else:
            _out_by_port(journey, visit, port, came_by, frame, mark)
    if not ports and came_by is not None and candidates == [came_by]:
        text = f"{came_by.name} is no hairpin: nothing leaves by the port it came in by"
        journey.drop(visit, Stage.BRIDGE, bridge.name, Reason.NO_PORT, came_by, text)
    elif not ports and not everybody:
        journey.drop(visit, Stage.BRIDGE, bridge.name, Reason.NO_PORT, entry or bridge)
    elif not ports and came_by is None:
        journey.drop(visit, Stage.BRIDGE, bridge.name, Reason.NO_PORT, bridge)


def _spared(node: Node, bridge: Link, came_by: Link | None, candidates: list[Link], ports: list[Link]) -> Iterator[tuple[Link, str]]:
    """Yield the ports that settings of ports keep a frame from."""
    known = len(candidates) == 1 and len(node.ports(bridge.name)) > 1
    for port in candidates if known else node.ports(bridge.name):
        if port in ports or port is came_by:
            continue
        if came_by is not None and _port(port).isolated and _port(came_by).isolated:
            yield port, f"{port.name} and {came_by.name} are isolated ports"
        elif port not in candidates:
            yield port, f"{port.name} takes no flooded frames"


def _out_by_port(journey: Journey, visit: Visit, port: Link, came_by: Link | None, frame: Frame, mark: int) -> None:
    """Let a frame leave by a port: forwarded, or sent by the namespace of the bridge itself (`__br_forward`)."""
    chains = visit.node.ruleset.bridge
    passed: int | None = mark
    if chains and came_by is not None:
        passed = pass_chains(journey, visit, chains["forward"], "forward", frame, mark, iif=came_by.name, oif=port.name)
    elif chains:
        passed = pass_chains(journey, visit, chains["output"], "output", frame, mark, oif=port.name)
    if chains and passed is not None:
        passed = pass_chains(journey, visit, chains["postrouting"], "postrouting", frame, passed, oif=port.name)
    if passed is not None:
        journey.add(Transmit(visit, port.name, frame, passed))


def _may_leave(node: Node, port: Link, came_by: Link | None) -> bool:
    """Whether a frame may leave by a port (`should_deliver`)."""
    if not node.carrier(port):
        return False
    if came_by is None:
        return True
    if port.name == came_by.name and not _port(port).hairpin:
        return False
    return not (_port(port).isolated and _port(came_by).isolated)


def _iptables_on_bridge(
    journey: Journey, visit: Visit, bridge: Link, frame: Frame, mark: int, transit: Transit | None
) -> tuple[Frame, int] | None:
    """With bridge-nf-call-iptables, IP rule sets see bridged packets too, as if forwarded from the bridge to the bridge; those of IPv6
    with bridge-nf-call-ip6tables, neighbour discovery included.

    `transit` is that of a packet that has passed prerouting.
    """
    packet = frame.payload
    node = visit.node
    if not isinstance(packet, Packet):
        return frame, mark
    if not (node.settings.bridge_calls_iptables if packet.version == 4 else node.settings.bridge_calls_ip6tables):
        return frame, mark
    t = transit or Transit(journey.world, node, packet if packet.mark == mark else packet._replace(mark=mark))
    name = bridge.name
    if transit is None and not pass_hook(journey, visit, t, "prerouting", iif=name, oif=None, was_local=False, arrived_by=name):
        return None
    if t.packet.destination != packet.destination:
        raise Undecided("a bridged packet whose destination is translated is not modelled", bridge)
    # By now the packet is on its way out of a port, which has no address for an error of IPv6 to come from (`icmp6_send`).
    arrived_by = name if packet.version == 4 else None
    if not pass_hook(journey, visit, t, "forward", iif=name, oif=name, was_local=False, arrived_by=arrived_by):
        return None
    if not pass_hook(journey, visit, t, "postrouting", iif=None, oif=name, was_local=False, arrived_by=name):
        return None
    return frame._replace(payload=t.packet), t.packet.mark
