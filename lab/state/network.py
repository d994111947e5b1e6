"""A network state: the complete, explicit content of every namespace, and the control plane that made it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.state.bgp import BgpSpeaker
from lab.state.control import ApiObject, LogLine
from lab.state.nft import NftTable
from lab.state.objects import Address, AddressEntry, FdbEntry, Link, Neighbour, NextHop, NextHopObject, Route, Rule, Table, XfrmPolicy
from lab.state.provenance import UNKNOWN, Provenance
from lab.state.ways import ways_of

Role = Literal["node", "pod", "router", "switch", "host", "proxy"]
"""What a namespace stands for; drawing and reports read it, the kernel and the forwarding model do not."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket that the lab itself serves.

    `behaviour`: ``echo`` returns what it gets; ``http`` answers every request with JSON (name of the namespace, client
    address and port as seen here, request line, host header); ``sink`` reads and discards.
    """

    name: str
    protocol: Literal["tcp", "udp"]
    port: int
    address: Address | None = None
    """None listens on every address."""
    behaviour: Literal["echo", "http", "sink"] = "http"
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the distribution that runs in a namespace: a DNS server, a proxy, a routing daemon.

    `files` are written to the program's private scratch folder before it starts; ``{scratch}`` in `argv` and in the files'
    contents stands for that folder. `listens` are the sockets that must be bound before the program counts as ready. A program with a
    `speaker` is a routing daemon: it reads its files again at SIGHUP, and the routes of protocol bird in its namespace are its own.
    """

    name: str
    argv: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    listens: tuple[tuple[Literal["tcp", "udp"], int], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    speaker: BgpSpeaker | None = None
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace: a node, a pod, a router, a switch, a host.

    `sysctls` maps paths below /proc/sys (``net/ipv4/conf/vxlan.calico/rp_filter``) to values; every one that matters is
    stated. `files` are seen by programs that run in this namespace (``/etc/resolv.conf``), `environment` as well.
    """

    name: str
    role: Role = "host"
    cluster: str | None = None
    parent: str | None = None
    """The node a pod lives on."""
    links: tuple[Link, ...] = ()
    addresses: tuple[AddressEntry, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[NftTable, ...] = ()
    listeners: tuple[Listener, ...] = ()
    programs: tuple[Program, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    nexthops: tuple[NextHopObject, ...] = ()
    policies: tuple[XfrmPolicy, ...] = ()
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def link(self, name: str) -> Link | None:
        """Return the link of that name, if there is one."""
        return next((link for link in self.links if link.name == name), None)

    def addresses_of(self, device: str) -> tuple[AddressEntry, ...]:
        """Return the addresses of a device in the order of configuration."""
        return tuple(entry for entry in self.addresses if entry.device == device)

    def table(self, number: int = Table.MAIN) -> tuple[Route, ...]:
        """Return the routes of one routing table."""
        return tuple(route for route in self.routes if route.table == number)

    def ways(self, route: Route) -> tuple[NextHop, ...]:
        """Return the ways out of a route; none for one that leads nowhere."""
        return ways_of(route, {thing.id: thing for thing in self.nexthops} if route.nexthop is not None else {})

    def sysctl(self, key: str, default: str = "0") -> str:
        """Return the stated value of a sysctl, its path given below /proc/sys."""
        return self.sysctls.get(key, default)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The objects of all API servers and the log lines of all components."""

    objects: tuple[ApiObject, ...] = ()
    logs: tuple[LogLine, ...] = ()

    def of(self, kind: str, cluster: str | None = None) -> Iterator[ApiObject]:
        """Yield the objects of a kind, of one cluster or of all."""
        return (o for o in self.objects if o.kind == kind and cluster in (None, o.cluster))


@dataclass(frozen=True, slots=True)
class State:
    """The one noun of the lab. Namespaces keep the order in which they were made."""

    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    control: ControlPlane = field(default_factory=ControlPlane)

    def __getitem__(self, name: str) -> Namespace:
        return self.namespaces[name]

    def __iter__(self) -> Iterator[Namespace]:
        return iter(self.namespaces.values())

    def owner(self, address: Address) -> Namespace | None:
        """Return the first namespace that has `address` on a device, if there is one."""
        for namespace in self:
            if any(entry.interface.ip == address for entry in namespace.addresses):
                return namespace
        return None
