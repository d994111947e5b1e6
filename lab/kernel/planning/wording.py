"""The objects of a namespace in one line each, in the words of ip(8) and bridge(8), for plans and for error messages."""

from __future__ import annotations

from collections.abc import Iterator

from lab.state import (
    AddressEntry,
    Bridge,
    FdbEntry,
    Link,
    Loopback,
    Macvlan,
    Neighbour,
    NextHopObject,
    OtherKind,
    Route,
    Rule,
    Tun,
    Veth,
    Vxlan,
)
from lab.state.commands.links import queueing_text
from lab.state.commands.nexthops import nexthop_text
from lab.state.commands.routing import route_text, rule_text

Object = Link | AddressEntry | NextHopObject | Route | Rule | Neighbour | FdbEntry
"""What netlink messages are about."""


def describe(thing: Object) -> str:
    """One line for one object, that names all that it has beyond the defaults."""
    match thing:
        case Link():
            return " ".join(_link(thing))
        case AddressEntry():
            return " ".join(_address(thing))
        case NextHopObject():
            return f"nexthop {nexthop_text(thing)}"
        case Route():
            return f"route {route_text(thing)}"
        case Rule():
            return f"rule {rule_text(thing)}"
        case Neighbour():
            return " ".join(_neighbour(thing))
        case FdbEntry():
            return " ".join(_fdb(thing))


def _link(link: Link) -> Iterator[str]:
    yield f"link {link.name}"
    match link.kind:
        case Veth(peer_namespace, peer_name):
            yield f"type veth peer {peer_name} in {peer_namespace}"
        case Vxlan():
            yield from _vxlan(link.kind)
        case Macvlan(device, mode):
            yield f"type macvlan on {device} mode {mode}"
        case Bridge():
            yield "type bridge"
        case Tun(tap):
            yield "type tap" if tap else "type tun"
        case OtherKind(name):
            yield f"type {name}"
        case Loopback():
            yield "type loopback"
    yield f"mtu {link.mtu}"
    if link.mac is not None:
        yield f"address {link.mac}"
    if not link.arp:
        yield "arp off"
    if link.master is not None:
        yield f"master {link.master}"
    if link.impairment is not None:
        yield queueing_text(link.impairment)
    yield from link.foreign


def _vxlan(vxlan: Vxlan) -> Iterator[str]:
    yield f"type vxlan id {vxlan.vni} dstport {vxlan.port}"
    if vxlan.local is not None:
        yield f"local {vxlan.local}"
    if vxlan.remote is not None:
        yield f"remote {vxlan.remote}"
    if vxlan.device is not None:
        yield f"dev {vxlan.device}"
    if not vxlan.learning:
        yield "nolearning"


def _address(entry: AddressEntry) -> Iterator[str]:
    yield f"address {entry.interface}"
    if entry.peer is not None:
        yield f"peer {entry.peer}"
    if entry.broadcast is not None:
        yield f"broadcast {entry.broadcast}"
    yield f"dev {entry.device}"
    if entry.scope != "global":
        yield f"scope {entry.scope}"
    if entry.no_prefix_route:
        yield "noprefixroute"


def _neighbour(neighbour: Neighbour) -> Iterator[str]:
    if neighbour.proxy:
        yield f"proxy neighbour {neighbour.address} dev {neighbour.device}"
    else:
        yield f"neighbour {neighbour.address} lladdr {neighbour.mac} dev {neighbour.device} {neighbour.state}"


def _fdb(entry: FdbEntry) -> Iterator[str]:
    yield f"fdb entry {entry.mac} dev {entry.device}"
    if entry.destination is not None:
        yield f"dst {entry.destination}"
    if entry.port is not None:
        yield f"port {entry.port}"
    if entry.vni is not None:
        yield f"vni {entry.vni}"
    if entry.via is not None:
        yield f"via {entry.via}"
    if entry.master:
        yield "master"
