"""Whether a well-formed topology makes sense: addresses inside their networks, names that lead somewhere, nothing twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv6Address

from lab.errors import InputError, InputErrors, Place, nearest
from lab.spec.check_cluster import check_cluster
from lab.spec.check_ports import check_ports
from lab.spec.check_segments import check_segments
from lab.spec.cluster import Node
from lab.spec.document import Path
from lab.spec.findings import Mistakes, dangling, overlap, overlaps, sysctl_name, sysctl_value, twice
from lab.spec.load import Loaded
from lab.spec.selectors import dns_pods, switch_name
from lab.spec.site import FilterRule, Firewall, Host, Router, StaticNexthop, StaticRoute
from lab.spec.sysctls import SHORT_NAMES
from lab.spec.topology import Topology
from lab.spec.values import Address, Network, Sysctls


def check_topology(loaded: Loaded[Topology]) -> None:
    """Raise InputErrors with everything in the topology that contradicts itself, each at its place."""
    mistakes = [
        *_names(loaded),
        *_segments(loaded),
        *check_segments(loaded),
        *_policies(loaded),
        *check_ports(loaded),
        *_routers(loaded),
        *_hosts(loaded),
        *_nodes(loaded),
        *twice("the address", _members(loaded), loaded.document.file),
        *(mistake for name in loaded.model.clusters for mistake in check_cluster(loaded, name)),
        *_ranges(loaded),
        *_submariner(loaded),
        *_sysctls(loaded),
    ]
    if mistakes:
        raise InputErrors(mistakes)


def namespace_paths(topology: Topology) -> Iterator[tuple[str, Path]]:
    """Yield every name a namespace of the lab gets from the topology, with the path of what it names."""
    for name in topology.routers:
        yield name, ("routers", name)
    for name in topology.hosts:
        yield name, ("hosts", name)
    for cluster_name, cluster in topology.clusters.items():
        for node_name, node in cluster.nodes.items():
            yield node_name, ("clusters", cluster_name, "nodes", node_name)
            for pod in node.pods:
                yield pod, ("clusters", cluster_name, "nodes", node_name, "pods", pod)


def _names(loaded: Loaded[Topology]) -> Mistakes:
    topology = loaded.model
    reserved = {pod: f"a DNS pod of {name}" for name, cluster in topology.clusters.items() for pod in dns_pods(name, cluster)}
    reserved |= {switch_name(name): f"the switch of segment {name}" for name in topology.segments}
    placed = [(repr(name), loaded.key_place(*path)) for name, path in namespace_paths(topology)]
    for name, path in namespace_paths(topology):
        if name in reserved:
            yield InputError(f"the name {name!r} is taken by {reserved[name]}", place=loaded.key_place(*path))
    yield from twice("the name", placed, loaded.document.file)


def _segments(loaded: Loaded[Topology]) -> Mistakes:
    segments = loaded.model.segments
    for key in ("cidr", "cidr6"):
        networks = ((getattr(segment, key), name) for name, segment in segments.items() if not segment.private)
        for (first, one), (second, other) in overlaps((network, name) for network, name in networks if network is not None):
            here, there = loaded.place("segments", one, key), loaded.place("segments", other, key)
            yield overlap((f"the segment {one!r} ({first})", here), (f"the segment {other!r} ({second})", there), loaded.document.file)
    for name, segment in segments.items():
        if segment.cidr6 is not None and segment.cidr6.prefixlen - 96 > segment.cidr.prefixlen:
            hint = f"a /{segment.cidr.prefixlen + 96} has room, a /64 is usual"
            yield InputError(
                f"{segment.cidr6} has no room for every host of {segment.cidr}", place=loaded.place("segments", name, "cidr6"), hint=hint
            )


def _policies(loaded: Loaded[Topology]) -> Mistakes:
    for name, segment in loaded.model.segments.items():
        yield from _filter(loaded, segment.policy, ("segments", name, "policy"), (name,))


def _members(loaded: Loaded[Topology]) -> Iterator[tuple[tuple[str, Address], Place]]:
    """Yield every address on a segment and where it stands; what is wrong with it otherwise is said elsewhere."""
    topology = loaded.model
    for name, router in topology.routers.items():
        for segment, address in router.interfaces.items():
            yield (segment, address), loaded.place("routers", name, "interfaces", segment)
    for name, host in topology.hosts.items():
        yield (host.segment, host.address), loaded.place("hosts", name, "address")
        for segment, address in host.interfaces.items():
            yield (segment, address), loaded.place("hosts", name, "interfaces", segment)
    for cluster_name, cluster in topology.clusters.items():
        for node_name, node in cluster.nodes.items():
            path: Path = ("clusters", cluster_name, "nodes", node_name)
            yield (node.segment or cluster.segment, node.address), loaded.place(*path, "address")
            for segment, address in node.interfaces.items():
                yield (segment, address), loaded.place(*path, "interfaces", segment)


def _routers(loaded: Loaded[Topology]) -> Mistakes:
    for name, router in loaded.model.routers.items():
        path: Path = ("routers", name)
        yield from _interfaces(loaded, router.interfaces, path)
        for index, segment in enumerate(router.masquerade):
            if segment not in router.interfaces:
                yield dangling("segment", segment, router.interfaces, loaded.place(*path, "masquerade", index), f" on the router {name!r}")
        for index, rule in enumerate(router.policy):
            for key, named in (("into", rule.into), ("out_of", rule.out_of)):
                if named is not None and named not in router.interfaces:
                    yield dangling(
                        "segment", named, router.interfaces, loaded.place(*path, "policy", index, key), f" on the router {name!r}"
                    )
        yield from _ipv6(loaded, router.ipv6, router.interfaces, path)
        yield from _filter(loaded, router.policy, (*path, "policy"), router.interfaces)
        yield from _routes(loaded, router, path, tuple(router.interfaces))


def _ipv6(loaded: Loaded[Topology], written: Mapping[str, IPv6Address], on: Collection[str], path: Path) -> Mistakes:
    """Check a machine's IPv6 addresses, which are on segments that it is on and that have an IPv6 network."""
    segments = loaded.model.segments
    for segment, address in written.items():
        place = loaded.place(*path, "ipv6", segment)
        if segment not in on or segment not in segments:
            yield dangling("segment", segment, on, loaded.key_place(*path, "ipv6", segment), f" of {path[-1]!r}")
            continue
        cidr6 = segments[segment].cidr6
        if cidr6 is None:
            yield InputError(f"the segment {segment!r} has no IPv6 network", place=place, hint="give it `cidr6`")
        elif address not in cidr6:
            yield InputError(f"the address {address} is not on the segment {segment!r} ({cidr6})", place=place)


def _interfaces(loaded: Loaded[Topology], interfaces: Mapping[str, Address], path: Path, first: str | None = None) -> Mistakes:
    """Check a machine's addresses on segments; `first` is the segment it is on already."""
    segments = loaded.model.segments
    for segment, address in interfaces.items():
        if segment not in segments:
            yield dangling("segment", segment, segments, loaded.key_place(*path, "interfaces", segment))
        elif segment == first:
            hint = "a second device needs a segment of its own"
            place = loaded.key_place(*path, "interfaces", segment)
            yield InputError(f"{path[-1]!r} is on the segment {segment!r} already", place=place, hint=hint)
        else:
            yield from _on_segment(address, segments[segment].cidr, segment, loaded.place(*path, "interfaces", segment))


def _filter(loaded: Loaded[Topology], rules: Sequence[FilterRule], path: Path, on: Collection[str]) -> Mistakes:
    """Check the lines of a packet filter whose owner is `on` some segments: names that are there twice, and IPv6 where there is none."""
    named = ((repr(rule.name), loaded.place(*path, index)) for index, rule in enumerate(rules) if rule.name)
    yield from twice("the name", named, loaded.document.file)
    yield from _without_ipv6(loaded, rules, path, on)


def _without_ipv6(loaded: Loaded[Topology], rules: Sequence[FilterRule], path: Path, on: Collection[str]) -> Mistakes:
    """Yield a mistake for every line about IPv6 alone, where nothing is that has it."""
    segments = loaded.model.segments
    if any(segment in segments and segments[segment].cidr6 is not None for segment in on):
        return
    for index, rule in enumerate(rules):
        if rule.versions == {6}:
            owner = path[path.index("policy" if path[-1] == "policy" else "firewall") - 1]
            where = (
                f"the segment {owner!r} has no IPv6 network" if path[0] == "segments" else f"no segment of {owner!r} has a network of it"
            )
            yield InputError(f"the line is about IPv6, and {where}", place=loaded.place(*path, index), hint="give a segment `cidr6`")


def _machine(loaded: Loaded[Topology], machine: Host | Node, segment: str, path: Path) -> Mistakes:
    """Check what hosts and nodes have in common."""
    yield from _interfaces(loaded, machine.interfaces, path, segment)
    yield from _ipv6(loaded, machine.ipv6, (segment, *machine.interfaces), path)
    yield from _routes(loaded, machine, path, (segment, *machine.interfaces))
    yield from _firewall(loaded, machine.firewall, path, (segment, *machine.interfaces))


def _firewall(loaded: Loaded[Topology], firewall: Firewall | None, path: Path, on: Collection[str]) -> Mistakes:
    if firewall is not None:
        chains = (("input", firewall.input), ("forward", firewall.forward))
        named = [
            (repr(rule.name), loaded.place(*path, "firewall", chain, index))
            for chain, rules in chains
            for index, rule in enumerate(rules)
            if rule.name
        ]
        yield from twice("the name", named, loaded.document.file)
        for chain, rules in chains:
            yield from _without_ipv6(loaded, rules, (*path, "firewall", chain), on)


def _hosts(loaded: Loaded[Topology]) -> Mistakes:
    segments = loaded.model.segments
    for name, host in loaded.model.hosts.items():
        path: Path = ("hosts", name)
        if host.segment not in segments:
            yield dangling("segment", host.segment, segments, loaded.place(*path, "segment"))
            continue
        cidr = segments[host.segment].cidr
        yield from _on_segment(host.address, cidr, host.segment, loaded.place(*path, "address"))
        if host.gateway is not None:
            yield from _on_segment(host.gateway, cidr, host.segment, loaded.place(*path, "gateway"))
            if host.gateway == host.address:
                hint = "name the address of a router on its segment"
                yield InputError(f"{name!r} is its own gateway", place=loaded.place(*path, "gateway"), hint=hint)
        yield from _machine(loaded, host, host.segment, path)
        yield from twice("the port", _ports(loaded, host, path), loaded.document.file)
    owners = ((dns.rstrip(".").lower(), name, index) for name, host in loaded.model.hosts.items() for index, dns in enumerate(host.names))
    yield from twice("the DNS name", ((dns, loaded.place("hosts", name, "names", i)) for dns, name, i in owners), loaded.document.file)


def _nodes(loaded: Loaded[Topology]) -> Mistakes:
    segments = loaded.model.segments
    for name, cluster in loaded.model.clusters.items():
        path: Path = ("clusters", name)
        if cluster.segment not in segments:
            yield dangling("segment", cluster.segment, segments, loaded.place(*path, "segment"))
            continue
        cidr = segments[cluster.segment].cidr
        if cluster.gateway is not None:
            yield from _on_segment(cluster.gateway, cidr, cluster.segment, loaded.place(*path, "gateway"))
        on = {cluster.segment, *(segment for node in cluster.nodes.values() for segment in (node.segment, *node.interfaces) if segment)}
        yield from _firewall(loaded, cluster.firewall, path, on)
        for node_name, node in cluster.nodes.items():
            node_path: Path = (*path, "nodes", node_name)
            segment = node.segment or cluster.segment
            if segment not in segments:
                yield dangling("segment", segment, segments, loaded.place(*node_path, "segment"))
                continue
            yield from _on_segment(node.address, segments[segment].cidr, segment, loaded.place(*node_path, "address"))
            if node.address == cluster.gateway:
                hint = "name the address of a router on their segment as the cluster's `gateway`"
                yield InputError(f"{node_name!r} is its own gateway", place=loaded.place(*node_path, "address"), hint=hint)
            yield from _machine(loaded, node, segment, node_path)


def _routes(loaded: Loaded[Topology], machine: Router | Host | Node, owner: Path, segments: Collection[str]) -> Mistakes:
    here = [loaded.model.segments[name] for name in segments if name in loaded.model.segments]
    cidrs = [cidr for segment in here for cidr in (segment.cidr, segment.cidr6) if cidr is not None]
    known = {thing.id for thing in machine.nexthops}
    for index, route in enumerate(machine.routes):
        path: Path = (*owner, "routes", index)
        if route.nexthop is not None:
            yield from _named_nexthop(loaded, route, path, known)
        elif route.type == "unicast" and route.via is None:
            hint = "add `via` or `nexthop`, or a `type` that needs no way out, as blackhole"
            yield InputError("this route has no next hop", place=loaded.place(*path), hint=hint)
        elif route.type != "unicast" and route.via is not None:
            yield InputError(f"a route of type {route.type} has no next hop", place=loaded.place(*path, "via"))
        elif route.via is not None and route.via.version != (4 if route.to == "default" else route.to.version):
            hint = "both are IPv4, or both IPv6"
            yield InputError(f"the next hop {route.via} leads to no {route.to}", place=loaded.place(*path, "via"), hint=hint)
        elif route.via is not None and not any(route.via in cidr for cidr in cidrs):
            yield _off_segment(loaded, route.via, cidrs, path, owner)
    destinations = ((route.to, loaded.place(*owner, "routes", index)) for index, route in enumerate(machine.routes))
    yield from twice("the route to", destinations, loaded.document.file)
    yield from _nexthops(loaded, machine, owner, cidrs)


def _off_segment(loaded: Loaded[Topology], via: object, cidrs: Sequence[object], path: Path, owner: Path) -> InputError:
    where = ", ".join(map(str, cidrs)) or "none"
    return InputError(f"the next hop {via} is on no segment of {owner[-1]!r} ({where})", place=loaded.place(*path, "via"))


def _named_nexthop(loaded: Loaded[Topology], route: StaticRoute, path: Path, known: Collection[int]) -> Mistakes:
    place = loaded.place(*path, "nexthop")
    if route.via is not None or route.type != "unicast":
        yield InputError("a route that names a nexthop has neither `via` nor `type`", place=place)
    elif route.to != "default" and route.to.version == 6:
        yield InputError(f"nexthops here are of IPv4, and the route leads to {route.to}", place=place)
    elif route.nexthop not in known:
        yield InputError(f"there is no nexthop {route.nexthop}", place=place, hint=f"`nexthops` has {_numbers(known)}")


def _nexthops(loaded: Loaded[Topology], machine: Router | Host | Node, owner: Path, cidrs: Sequence[Network]) -> Mistakes:
    before: dict[int, StaticNexthop] = {}
    for index, thing in enumerate(machine.nexthops):
        path: Path = (*owner, "nexthops", index)
        if thing.via is not None and not any(thing.via in cidr for cidr in cidrs):
            yield _off_segment(loaded, thing.via, cidrs, path, owner)
        for member in thing.group:
            if member not in before:
                hint = f"before it stand {_numbers(before)}"
                yield InputError(f"there is no nexthop {member} before the group", place=loaded.place(*path, "group"), hint=hint)
            elif before[member].group or (before[member].blackhole and len(thing.group) > 1):
                kind = "a group" if before[member].group else "a blackhole beside others"
                yield InputError(f"nexthop {member} is {kind}, which no group may have", place=loaded.place(*path, "group"))
        if len(set(thing.group)) < len(thing.group):
            yield InputError("a group has a nexthop once", place=loaded.place(*path, "group"))
        before.setdefault(thing.id, thing)
    numbers = ((thing.id, loaded.place(*owner, "nexthops", index)) for index, thing in enumerate(machine.nexthops))
    yield from twice("the nexthop", numbers, loaded.document.file)


def _numbers(known: Collection[int]) -> str:
    return ", ".join(map(str, sorted(known))) or "none"


def _ports(loaded: Loaded[Topology], host: Host, path: Path) -> Iterator[tuple[str, Place]]:
    for index, serve in enumerate(host.serves):
        yield f"{serve.port}/{serve.protocol}", loaded.place(*path, "serves", index)
    if host.http_proxy is not None:
        yield f"{host.http_proxy.port}/tcp", loaded.place(*path, "http_proxy")
    for protocol in ("udp", "tcp") if host.dns is not None else ():
        yield f"53/{protocol}", loaded.place(*path, "dns")


_RANGES = {"cidr": "the segment", "pod_cidr": "the pod CIDR of", "service_cidr": "the service CIDR of"}


def _ranges(loaded: Loaded[Topology]) -> Mistakes:
    """Joined clusters need ranges of their own, and the corporate network's routes lead to no pods; so it is with IPv6."""
    for version in ("", "6"):
        yield from _overlapping_ranges(loaded, version)


def _overlapping_ranges(loaded: Loaded[Topology], version: str) -> Mistakes:
    """Check the ranges of a version of IP, whose keys end with `version`."""
    topology = loaded.model
    places: list[tuple[str, str, str]] = [
        ("segments", name, f"cidr{version}") for name, segment in topology.segments.items() if not segment.private
    ]
    for name in topology.clusters:
        places += [("clusters", name, f"pod_cidr{version}"), ("clusters", name, f"service_cidr{version}")]
    written = [(getattr(getattr(topology, kind)[name], key), (kind, name, key)) for kind, name, key in places]
    for (first, one), (second, other) in overlaps((network, place) for network, place in written if network is not None):
        separate = topology.submariner is not None and topology.submariner.globalnet is not None and one[1] != other[1]
        if one[0] == other[0] == "segments" or (one[0] == other[0] == "clusters" and separate):
            continue
        here, there = (
            (f"{_RANGES[place[2].removesuffix(version)]} {place[1]!r} ({network})", loaded.place(*place))
            for network, place in ((first, one), (second, other))
        )
        yield overlap(here, there, loaded.document.file)


def _submariner(loaded: Loaded[Topology]) -> Mistakes:
    topology = loaded.model
    if topology.submariner is None:
        return
    if topology.submariner.broker is not None and topology.submariner.broker not in topology.hosts:
        yield dangling("host", topology.submariner.broker, topology.hosts, loaded.place("submariner", "broker"))
    for name, cluster in topology.clusters.items():
        if not any(node.gateway for node in cluster.nodes.values()):
            place = loaded.key_place("clusters", name, "nodes")
            yield InputError(f"no node of {name!r} is a gateway", place=place, hint="set `gateway: true` on one of them")


def _sysctls(loaded: Loaded[Topology]) -> Mistakes:
    """A path may lead anywhere the kernel has something; a short name is one of a few."""
    topology = loaded.model
    written: list[tuple[Path, Sysctls]] = [(("routers", name), router.sysctls) for name, router in topology.routers.items()]
    written += [(("hosts", name), host.sysctls) for name, host in topology.hosts.items()]
    for name, cluster in topology.clusters.items():
        written.append((("clusters", name), cluster.sysctls))
        written += [(("clusters", name, "nodes", node_name), node.sysctls) for node_name, node in cluster.nodes.items()]
    for path, values in written:
        for key, value in values.items():
            yield from sysctl_value(key, value, loaded.place(*path, "sysctls", key))
            yield from sysctl_name(key, loaded.key_place(*path, "sysctls", key))
            if "/" not in key and key not in SHORT_NAMES:
                best = nearest(key, SHORT_NAMES)
                hint = f"did you mean {best!r}?" if best else f"write its path, as net/ipv4/{key}"
                yield InputError(f"there is no short name {key!r} of a sysctl", place=loaded.key_place(*path, "sysctls", key), hint=hint)


def _on_segment(address: Address, cidr: Network, segment: str, place: Place) -> Mistakes:
    if address not in cidr:
        yield InputError(f"the address {address} is not on the segment {segment!r} ({cidr})", place=place)
    elif cidr.prefixlen < cidr.max_prefixlen - 1 and address in (cidr.network_address, cidr.broadcast_address):
        yield InputError(f"{address} is the network or broadcast address of {cidr}", place=place)
