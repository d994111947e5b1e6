"""From what a Mininet Topo class builds to a topology file.

Switches that are joined are one segment, and so is a cable between two hosts. A host with one interface is a host; one with several is a
router, since that is what it is for. Addresses are those that are given, or those that Mininet would give: 10.0.0.1/8 and up, in the order
in which it takes the hosts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Final

from lab.errors import InputError, Place, quoted

_BASE: Final = IPv4Network("10.0.0.0/8")
"""Mininet's ipBase."""
_ROUTE: Final = re.compile(r"(?:dev \S+ )?via (\S+)")
_DROPPED: Final = ("bw", "delay", "loss", "jitter", "max_queue_size", "use_htb")


@dataclass(slots=True)
class _Segment:
    name: str
    members: list[tuple[str, str]] = field(default_factory=list)
    """Hosts and their addresses on it."""
    network: IPv4Network | None = None


@dataclass(slots=True)
class Converted:
    """A topology file, and what of the class is not in it."""

    text: str
    notes: tuple[str, ...]


def topology_of(found: Mapping[str, Any], name: str, file: str) -> Converted:
    """Return the topology file for what a class built. Raises InputError for what no topology can say."""
    converter = _Converter(Place(file))
    return Converted(converter.convert(found, _label(name)), tuple(converter.notes))


def _label(name: str) -> str:
    """Return a name as topologies have them: an RFC 1123 label."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:63] or "x"


class _Converter:
    def __init__(self, place: Place) -> None:
        self._place = place
        self.notes: list[str] = []
        self._segments: dict[str, _Segment] = {}
        self._of_switch: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def convert(self, found: Mapping[str, Any], name: str) -> str:
        hosts = [(str(host), info if isinstance(info, dict) else {}) for host, info in found.get("hosts", ())]
        switches = [str(switch) for switch in found.get("switches", ())]
        links = [link for link in found.get("links", ()) if isinstance(link, dict)]
        self._name_all([host for host, _ in hosts] + switches)
        if not links:
            hint = "addLink(host, switch) in its build() joins them"
            raise InputError("this Topo has no links, and a topology is made of what is joined", place=self._place, hint=hint)
        self._join_switches(switches, links)
        self._attach(dict(hosts), links)
        self._check_networks()
        return self._text(name, hosts)

    def _name_all(self, names: Sequence[str]) -> None:
        for name in names:
            label = _label(name)
            if label in self._names.values():
                raise InputError(f"{quoted(name)} and another node would both be called {label}", place=self._place)
            self._names[name] = label
            if label != name:
                self.notes.append(f"{name} is called {label}: names are lower-case letters, digits and hyphens")

    def _join_switches(self, switches: Sequence[str], links: Sequence[Mapping[str, Any]]) -> None:
        """Put joined switches into one segment, called as the first of them."""
        first = {switch: switch for switch in switches}
        for link in links:
            one, other = str(link.get("node1")), str(link.get("node2"))
            if one in first and other in first:
                keep, gone = sorted((first[one], first[other]), key=switches.index)
                first = {switch: keep if group == gone else group for switch, group in first.items()}
        for switch, group in first.items():
            self._of_switch[switch] = self._names[group]
            self._segments.setdefault(self._names[group], _Segment(self._names[group]))

    def _attach(self, hosts: Mapping[str, Mapping[str, Any]], links: Sequence[Mapping[str, Any]]) -> None:
        seen: set[str] = set()
        numbers = {host: number for number, host in enumerate(hosts, start=1)}
        for link in links:
            ends = [str(link.get("node1")), str(link.get("node2"))]
            inside = [end for end in ends if end in hosts]
            dropped = [key for key in _DROPPED if key in link]
            if dropped:
                self.notes.append(f"{ends[0]} to {ends[1]}: {', '.join(dropped)} left out, the lab says nothing about speed")
            if not inside:
                continue
            segment = self._segment_of(ends, hosts)
            for number, host in enumerate(ends, start=1):
                if host in hosts:
                    own = link.get(f"params{number}")
                    given = own.get("ip") if isinstance(own, dict) else None
                    if given is None and host not in seen:
                        given = hosts[host].get("ip") or f"{_BASE.network_address + numbers[host]}/{_BASE.prefixlen}"
                    seen.add(host)
                    self._add(segment, host, given)

    def _segment_of(self, ends: Sequence[str], hosts: Mapping[str, object]) -> _Segment:
        switch = next((end for end in ends if end not in hosts), None)
        if switch is not None:
            if switch not in self._of_switch:
                raise InputError(f"a link leads to {quoted(switch)}, which is neither a host nor a switch", place=self._place)
            return self._segments[self._of_switch[switch]]
        name = "-".join(self._names[end] for end in ends)[:63]
        return self._segments.setdefault(name, _Segment(name))

    def _add(self, segment: _Segment, host: str, given: object) -> None:
        try:
            interface = IPv4Interface(str(given))
        except ValueError:
            raise InputError(
                f"the interface of {host} on {segment.name} has no address",
                place=self._place,
                hint="give it one: addLink(..., params1={'ip': '10.0.1.1/24'})",
            ) from None
        if segment.network not in (None, interface.network):
            raise InputError(
                f"{host} has {interface} where others are in {segment.network}: members of a segment share a network", place=self._place
            )
        segment.network = interface.network
        segment.members.append((host, str(interface.ip)))

    def _check_networks(self) -> None:
        known: dict[IPv4Network, str] = {}
        for segment in list(self._segments.values()):
            if segment.network is None:
                del self._segments[segment.name]
                self.notes.append(f"{segment.name} joins nobody, and is left out")
                continue
            twin = next((other for network, other in known.items() if network.overlaps(segment.network)), None)
            if twin is not None:
                raise InputError(
                    f"the segments {twin} and {segment.name} both have addresses of {segment.network}",
                    place=self._place,
                    hint="give hosts addresses of their own: addHost('h1', ip='10.0.1.1/24')",
                )
            known[segment.network] = segment.name

    def _text(self, name: str, hosts: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
        at: dict[str, list[tuple[str, str]]] = {}
        for segment in self._segments.values():
            for host, address in segment.members:
                at.setdefault(host, []).append((segment.name, address))
        lines = [f"topology: {name}", "title: Imported from a Mininet Topo class", "", "segments:"]
        lines += [f"  {segment.name}: {{cidr: {segment.network}}}" for segment in self._segments.values()]
        several = [(host, info) for host, info in hosts if len(at.get(host, ())) > 1]
        single = [(host, info) for host, info in hosts if len(at.get(host, ())) == 1]
        self.notes += [f"{host} is joined to nothing, and is left out" for host, _ in hosts if host not in at]
        if several:
            lines += ["", "routers:"]
            for host, info in several:
                lines.append(f"  {self._names[host]}:")
                lines.append(f"    interfaces: {{{', '.join(f'{where}: {address}' for where, address in at[host])}}}")
                gateway = self._gateway(host, info)
                lines += [f"    routes: [{{to: default, via: {gateway}}}]"] if gateway else []
        if single:
            lines += ["", "hosts:"]
            for host, info in single:
                ((where, address),) = at[host]
                gateway = self._gateway(host, info)
                more = f", gateway: {gateway}" if gateway else ""
                lines.append(f"  {self._names[host]}: {{segment: {where}, address: {address}{more}}}")
        return "\n".join(lines) + "\n"

    def _gateway(self, host: str, info: Mapping[str, Any]) -> str | None:
        """Return the next hop of a host's `defaultRoute`."""
        said = info.get("defaultRoute")
        if not said:
            return None
        found = _ROUTE.fullmatch(str(said).strip())
        try:
            return str(IPv4Address(found[1] if found else ""))
        except ValueError:
            self.notes.append(f"{host}: the default route {quoted(said)} is left out, it has no next hop")
            return None
