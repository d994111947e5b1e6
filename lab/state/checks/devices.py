"""What is wrong with links and their addresses."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from lab.errors import did_you_mean
from lab.state.builder import NAME_LENGTH
from lab.state.checks.mistake import MAC, Mistake, missing_link, repeated
from lab.state.network import Namespace, State
from lab.state.objects import Bridge, Link, Macvlan, Veth, Vxlan

VNI_MAX = 0xFFFFFF
"""RFC 7348, section 5: a VXLAN network identifier has 24 bits."""

MTU_MIN = 68
"""RFC 791: every module forwards a datagram of 68 octets; ETH_MIN_MTU."""

MTU_MAX = 65536
"""That of `lo`; ETH_MAX_MTU is one less."""

CERTAIN = 10_000
"""How many of ten thousand packets are all of them."""


def name_mistake(name: str, longest: int) -> str | None:
    """Return what is wrong with a name that becomes the name of a file, None when nothing is; dev_valid_name in net/core/dev.c."""
    if name in ("", ".", ".."):
        return "is no name"
    if len(name.encode()) > longest:
        return f"is longer than {longest} bytes"
    if any(char in "/:" or char.isspace() for char in name):
        return "contains a slash, a colon or white space"
    return None


def link_mistakes(state: State, namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the links of a namespace."""
    for link in repeated(namespace.links, lambda link: link.name):
        yield Mistake(f"link {link.name} is there twice", link.provenance)
    for link in repeated(namespace.links, _tunnel):
        if isinstance(link.kind, Vxlan):
            yield Mistake(f"link {link.name}: another VXLAN device over IPv{link.kind.version} has its VNI and port", link.provenance)
    for link in namespace.links:
        yield from _named_well(link)
        yield from _numbered_well(link)
        yield from _mastered_well(namespace, link)
        yield from _paired_well(state, namespace, link)
        yield from tunnel_mistakes(namespace, link)
        if isinstance(link.kind, Vxlan | Macvlan) and link.kind.device is not None:
            yield from missing_link(namespace, link.kind.device, f"link {link.name}", link.provenance)


def _tunnel(link: Link) -> Hashable:
    """What no other VXLAN device may have: VNI, port and version; with link-local addresses each lower device has its own."""
    kind = link.kind
    if not isinstance(kind, Vxlan):
        return link.name
    near = any(end is not None and end.version == 6 and end.is_link_local for end in (kind.local, kind.remote))
    return kind.vni, kind.port, kind.version, kind.device if near else None


def tunnel_mistakes(namespace: Namespace, link: Link) -> Iterator[Mistake]:
    """Yield what is wrong with the ends of a VXLAN device: they go together, and so does its lower device (vxlan_config_validate)."""
    kind = link.kind
    if not isinstance(kind, Vxlan):
        return
    local, remote = kind.local, kind.remote
    if local is not None and remote is not None and local.version != remote.version:
        message = f"link {link.name}: {local} is an address of IPv{local.version} and {remote} one of IPv{remote.version}"
        yield Mistake(message, link.provenance, "the two ends of a tunnel are addresses of one version")
        return
    if local is not None and local.is_multicast:
        yield Mistake(f"link {link.name}: its local address {local} is one of a group", link.provenance)
    if kind.device is None and remote is not None and remote.is_multicast:
        yield Mistake(f"link {link.name}: to the group {remote} it sends by a device", link.provenance, "name its lower device")
    if kind.version == 6:
        yield from _tunnelled_over_ipv6(namespace, link, kind)


def _tunnelled_over_ipv6(namespace: Namespace, link: Link, kind: Vxlan) -> Iterator[Mistake]:
    near = [end for end in (kind.local, kind.remote) if end is not None and end.is_link_local]
    far = [end for end in (kind.local, kind.remote) if end is not None and not end.is_link_local]
    if near and kind.device is None:
        yield Mistake(f"link {link.name}: {near[0]} is on every link", link.provenance, "name its lower device")
    if near and any(not end.is_multicast for end in far):
        yield Mistake(f"link {link.name}: {near[0]} does not leave its link, and {far[0]} is beyond it", link.provenance)
    if kind.device is not None and not _has_ipv6(namespace, kind.device):
        yield Mistake(f"link {link.name}: its lower device {kind.device} has IPv6 switched off", link.provenance)


def _has_ipv6(namespace: Namespace, device: str) -> bool:
    inherited = namespace.sysctl("net/ipv6/conf/default/disable_ipv6", namespace.sysctl("net/ipv6/conf/all/disable_ipv6"))
    return namespace.sysctl(f"net/ipv6/conf/{device}/disable_ipv6", inherited) != "1"


def _named_well(link: Link) -> Iterator[Mistake]:
    problem = name_mistake(link.name, NAME_LENGTH)
    if problem is not None:
        yield Mistake(f"link name {link.name!r} {problem}", link.provenance)


def _numbered_well(link: Link) -> Iterator[Mistake]:
    if not MTU_MIN <= link.mtu <= MTU_MAX:
        yield Mistake(f"link {link.name}: {link.mtu} is no MTU", link.provenance, f"from {MTU_MIN} to {MTU_MAX - 1} bytes")
    if link.mac is not None and not MAC.fullmatch(link.mac):
        yield Mistake(f"link {link.name}: {link.mac!r} is no MAC address", link.provenance, "as 02:00:00:00:00:01, in lower case")
    elif link.mac is not None and int(link.mac[:2], 16) & 1:
        yield Mistake(f"link {link.name}: {link.mac} is a group address, no device can have it", link.provenance)
    if link.impairment is not None and not (0 <= link.impairment.loss <= CERTAIN and 0 <= link.impairment.corruption <= CERTAIN):
        yield Mistake(f"link {link.name}: a chance of its impairment is none", link.provenance, f"from 0 to {CERTAIN}, in ten thousand")
    if isinstance(link.kind, Vxlan) and not 0 <= link.kind.vni <= VNI_MAX:
        yield Mistake(f"link {link.name}: {link.kind.vni} is no VNI", link.provenance, f"from 0 to {VNI_MAX}")
    if isinstance(link.kind, Vxlan) and not 0 < link.kind.port < 65536:
        yield Mistake(f"link {link.name}: {link.kind.port} is no UDP port", link.provenance)


def _mastered_well(namespace: Namespace, link: Link) -> Iterator[Mistake]:
    if link.master is None:
        if link.port is not None:
            yield Mistake(f"link {link.name} has the settings of a port and is none", link.provenance)
        return
    yield from missing_link(namespace, link.master, f"link {link.name}", link.provenance)
    master = namespace.link(link.master)
    if master is not None and not isinstance(master.kind, Bridge):
        yield Mistake(f"link {link.name}: its master {link.master} is no bridge", link.provenance)


def _paired_well(state: State, namespace: Namespace, link: Link) -> Iterator[Mistake]:
    """A veth pair has two ends that name each other, each with a MAC address of its own."""
    if not isinstance(link.kind, Veth):
        return
    there, name = link.kind.peer_namespace, link.kind.peer_name
    far = state.namespaces.get(there)
    peer = far.link(name) if far is not None else None
    if far is None:
        hint = did_you_mean(there, list(state.namespaces), "namespace")
        yield Mistake(f"link {link.name}: its other end would be in {there}, which is not there", link.provenance, hint)
    elif peer is None:
        hint = did_you_mean(name, [other.name for other in far.links], "link")
        yield Mistake(f"link {link.name}: its other end, {name} in {there}, is not there", link.provenance, hint)
    elif peer.kind != Veth(namespace.name, link.name):
        yield Mistake(f"link {link.name}: {name} in {there} is not its other end", link.provenance)
    elif peer is link:
        yield Mistake(f"link {link.name} is its own other end", link.provenance)
    elif link.mac is not None and link.mac == peer.mac:
        yield Mistake(f"link {link.name} has the MAC address of its other end, {name} in {there}", link.provenance)


def address_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the addresses of a namespace."""
    for entry in repeated(namespace.addresses, lambda e: (e.device, e.interface, e.peer)):
        yield Mistake(f"{entry.device} has address {entry.interface} twice", entry.provenance)
    for entry in namespace.addresses:
        yield from missing_link(namespace, entry.device, f"address {entry.interface}", entry.provenance)
        if entry.interface.ip.is_multicast or entry.interface.ip.is_unspecified:
            yield Mistake(f"{entry.interface.ip} on {entry.device} is no address of a host", entry.provenance)
        if entry.peer is not None and entry.peer.network.prefixlen != entry.interface.network.prefixlen:
            hint = "the prefix length belongs to the peer, and both bear it"
            yield Mistake(f"{entry.interface} on {entry.device} and its peer {entry.peer} differ in length", entry.provenance, hint)
