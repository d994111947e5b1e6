"""Links and addresses as commands: ip-link(8), ip-address(8), bridge(8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.errors import InputError
from lab.state.commands.command import Command, command, sysctl_command
from lab.state.network import Namespace
from lab.state.objects import AddressEntry, Bridge, BridgePort, Impairment, Link, LinkKind, Loopback, Macvlan, Tun, Veth, Vxlan

Placed = tuple[str, Link]
"""A link and the name of its namespace."""


def in_order_of_need(links: Iterable[Link]) -> list[Link]:
    """Return links so that parents and masters stand before those that need them, otherwise in the order given."""
    waiting = {link.name: link for link in links}
    ordered: list[Link] = []

    def place(link: Link) -> None:
        if waiting.pop(link.name, None) is None:
            return
        for needed in (_parent(link.kind), link.master):
            if needed in waiting:
                place(waiting[needed])
        ordered.append(link)

    for link in list(waiting.values()):
        place(link)
    return ordered


def _parent(kind: LinkKind) -> str | None:
    return kind.device if isinstance(kind, Vxlan | Macvlan) else None


def with_dependants(links: Sequence[Link], names: set[str]) -> list[Link]:
    """Return the links of these names and those that go with them, since they are on top of them; the topmost first."""
    gone = set(names)
    ordered = in_order_of_need(links)
    for link in ordered:
        if _parent(link.kind) in gone:
            gone.add(link.name)
    return [link for link in reversed(ordered) if link.name in gone]


def make_link(namespace: str, link: Link, peer: Link | None) -> Command:
    """Return what makes a link, of a veth pair both ends. InputError for a kind this lab cannot make."""
    return command(namespace, f"ip link add {_named(link)} {_kind(link.kind, peer)}", link.provenance)


def _named(link: Link) -> str:
    parent = f" link {link.kind.device}" if isinstance(link.kind, Macvlan) else ""
    mac = f" address {link.mac}" if link.mac else ""
    return f"name {link.name}{parent} mtu {link.mtu}{mac}{'' if link.arp else ' arp off'}"


def _kind(kind: LinkKind, peer: Link | None) -> str:
    match kind:
        case Veth(namespace, name):
            named = _named(peer) if peer is not None else f"name {name}"
            return f"type veth peer {named} netns {namespace}"
        case Bridge(ageing_time):
            return f"type bridge stp_state 0 forward_delay 0 ageing_time {ageing_time * 100}"
        case Vxlan():
            return f"type vxlan {_vxlan(kind)}"
        case Macvlan(_, mode):
            return f"type macvlan mode {mode}"
        case _:
            raise InputError(f"no command makes a link of this kind: {kind}")


def _vxlan(vxlan: Vxlan) -> str:
    words = [f"id {vxlan.vni} dstport {vxlan.port}"]
    words += [f"local {vxlan.local}"] if vxlan.local else []
    words += [f"remote {vxlan.remote}"] if vxlan.remote else []
    words += [f"dev {vxlan.device}"] if vxlan.device else []
    words += [] if vxlan.learning else ["nolearning"]
    words += [f"ttl {vxlan.ttl}"] if vxlan.ttl else []
    words += ["df set"] if vxlan.df else []
    if not vxlan.udp_checksum:
        words += ["noudpcsum"] if vxlan.version == 4 else ["udp6zerocsumtx udp6zerocsumrx"]
    return " ".join(words)


def make_links(before: dict[str, Namespace], after: dict[str, Namespace], made: dict[str, list[Link]]) -> Iterator[Command]:
    """Yield what makes the links `made` in each namespace; the second end of a veth pair comes with the first."""
    there = {(name, link.name) for name, namespace in before.items() for link in namespace.links}
    for name, links in made.items():
        for link in in_order_of_need(links):
            if (name, link.name) in there:
                continue
            if isinstance(link.kind, Tun):
                yield command(name, f"ip tuntap add dev {link.name} mode {'tap' if link.kind.tap else 'tun'}", link.provenance)
                yield from change_attributes(name, Link(link.name, link.kind, up=False, impairment=link.impairment), link)
                continue
            peer = None
            if isinstance(link.kind, Veth):
                there.add((link.kind.peer_namespace, link.kind.peer_name))
                far = after.get(link.kind.peer_namespace)
                peer = far.link(link.kind.peer_name) if far is not None else None
            making = make_link(name, link, peer)
            if isinstance(link.kind, Vxlan) and link.kind.device is not None:
                below = before[name].link(link.kind.device) or after[name].link(link.kind.device)
                yield from _make_on(below, link, link.kind, after[name], making)
            else:
                yield making


def _make_on(below: Link | None, link: Link, kind: Vxlan, after: Namespace, making: Command) -> Iterator[Command]:
    """Yield what makes a VXLAN device on another one, as it is meanwhile.

    The kernel makes none over IPv6 where that is off below, and gives none an MTU for which there is no room below: not then, that is,
    for it does not mind later (vxlan_config_validate, vxlan_config_apply).
    """
    path = f"net/ipv6/conf/{kind.device}/disable_ipv6"
    if kind.version == 6 and after.sysctl(path, "") == "0":
        yield sysctl_command(after.name, path, "0", link.provenance)
    short = below is not None and below.mtu < link.mtu + kind.overhead
    if short:
        yield command(after.name, f"ip link set dev {kind.device} mtu {link.mtu + kind.overhead}", link.provenance)
    yield making
    if below is not None and short:
        yield command(after.name, f"ip link set dev {kind.device} mtu {below.mtu}", link.provenance)


def change_attributes(namespace: str, before: Link, after: Link) -> Iterator[Command]:
    """Yield what gives a link another MTU or MAC address, and what lets it ask for neighbours or not."""
    if before.mtu != after.mtu:
        yield command(namespace, f"ip link set dev {after.name} mtu {after.mtu}", after.provenance)
    if after.mac is not None and before.mac != after.mac:
        yield command(namespace, f"ip link set dev {after.name} address {after.mac}", after.provenance)
    if before.arp != after.arp:
        yield command(namespace, f"ip link set dev {after.name} arp {'on' if after.arp else 'off'}", after.provenance)
    if before.impairment != after.impairment:
        queue = None if after.impairment is None else queueing_text(after.impairment)
        what = f"del dev {after.name} root" if queue is None else f"replace dev {after.name} root {queue}"
        yield command(namespace, f"tc qdisc {what}", after.provenance)


TBF_BURST = 16 * 1024
"""What a token bucket lets through at once, in bytes: tc-tbf(8)."""

QUEUE_MS = 1000
"""How long a packet may wait for its turn where a rate is all that may be sent; one that would wait longer is lost."""


def is_rate_alone(impairment: Impairment) -> bool:
    """Whether a token bucket does all of it."""
    return impairment == Impairment(rate=impairment.rate, bucket=impairment.bucket)


def tbf_limit(rate: int) -> int:
    """Return how many bytes may wait for a token bucket of a rate in kilobits per second, as tc(8) works it out of a latency."""
    return rate * QUEUE_MS // 8 + TBF_BURST


def netem_limit(impairment: Impairment) -> int:
    """Return how many packets netem may hold: without a rate what tc(8) takes, with one what goes out while a packet may wait."""
    if not impairment.rate:
        return 1000
    return max(20, impairment.rate * (QUEUE_MS + impairment.delay) // (8 * 1500))


def queueing_text(impairment: Impairment) -> str:
    """Return the queueing discipline of an impairment as tc(8) has it: a token bucket for a rate alone, netem for the rest."""
    if impairment.bucket is not None:
        return f"tbf rate {impairment.rate}kbit burst {impairment.bucket.burst} limit {impairment.bucket.limit}"
    if is_rate_alone(impairment):
        return f"tbf rate {impairment.rate}kbit burst {TBF_BURST // 1024}kb latency {QUEUE_MS}ms"
    words = ["netem"]
    words += [f"limit {netem_limit(impairment)}"] if impairment.rate else []
    words += [f"delay {impairment.delay}ms"] if impairment.delay else []
    words += [f"loss {impairment.loss / 100:g}%"] if impairment.loss else []
    words += [f"corrupt {impairment.corruption / 100:g}%"] if impairment.corruption else []
    words += [f"rate {impairment.rate}kbit"] if impairment.rate else []
    return " ".join(words)


def change_master(namespace: str, before: Link, after: Link) -> Iterator[Command]:
    """Yield what enslaves a link to a bridge or frees it, and the settings of the port."""
    why = after.provenance
    if before.master != after.master:
        yield command(namespace, f"ip link set dev {after.name} " + (f"master {after.master}" if after.master else "nomaster"), why)
    if after.master is not None:
        had = (before.port if before.master == after.master else None) or BridgePort()
        settings = " ".join(port_settings(had, after.port or BridgePort()))
        if settings:
            yield command(namespace, f"bridge link set dev {after.name} {settings}", why)


def port_settings(before: BridgePort, after: BridgePort) -> Iterator[str]:
    """Yield what differs between two settings of a port, in the words of bridge(8)."""
    for name in ("hairpin", "isolated", "learning", "flood", "neigh_suppress"):
        wanted = getattr(after, name)
        if wanted != getattr(before, name):
            yield f"{name} {'on' if wanted else 'off'}"


def settle_bridges(namespace: str, pairs: Sequence[tuple[Link, Link]]) -> Iterator[Command]:
    """Yield what gives bridges their MTU once more, where a changed port has made the kernel take another (br_mtu_auto_adjust)."""
    for _, bridge in pairs:
        ports = [(one, other) for one, other in pairs if other.master == bridge.name]
        changed = any((one.master, one.mtu) != (other.master, other.mtu) for one, other in ports)
        if changed and bridge.mtu != min(other.mtu for _, other in ports):
            yield command(namespace, f"ip link set dev {bridge.name} mtu {bridge.mtu}", bridge.provenance)


def change_state(namespace: str, before: Link, after: Link) -> Iterator[Command]:
    """Yield what sets a link up or down."""
    if before.up != after.up:
        yield command(namespace, f"ip link set dev {after.name} {'up' if after.up else 'down'}", after.provenance)


def remove_links(removed: Iterable[Placed]) -> Iterator[Command]:
    """Yield what removes links: those on top of others first, since one end of a veth pair takes the other and all on it along."""
    gone: set[tuple[str, str]] = set()
    for namespace, link in sorted(removed, key=lambda placed: _parent(placed[1].kind) is None):
        if (namespace, link.name) in gone or isinstance(link.kind, Loopback):
            continue
        if isinstance(link.kind, Veth):
            gone.add((link.kind.peer_namespace, link.kind.peer_name))
        yield command(namespace, f"ip link del dev {link.name}", link.provenance)


def add_address(namespace: str, entry: AddressEntry) -> Command:
    """Return what puts an address on a link."""
    words = ["ip address add"]
    words += [f"{entry.interface.ip} peer {entry.peer}"] if entry.peer is not None else [str(entry.interface)]
    words += [f"broadcast {entry.broadcast}"] if entry.broadcast is not None else []
    words += [f"dev {entry.device}"]
    words += [f"scope {entry.scope}"] if entry.scope != _default_scope(entry) else []
    words += ["nodad"] if entry.interface.version == 6 else []
    words += ["noprefixroute"] if entry.no_prefix_route else []
    words += ["preferred_lft 0"] if entry.deprecated else []
    return command(namespace, " ".join(words), entry.provenance)


def remove_address(namespace: str, entry: AddressEntry) -> Command:
    """Return what takes an address off a link."""
    address = f"{entry.interface.ip} peer {entry.peer}" if entry.peer is not None else str(entry.interface)
    return command(namespace, f"ip address del {address} dev {entry.device}", entry.provenance)


def _default_scope(entry: AddressEntry) -> str:
    """ip-address(8) gives a loopback address scope host, and IPv6 addresses the scope they have by nature."""
    if entry.interface.version == 6:
        return entry.scope
    return "host" if entry.interface.is_loopback else "global"
