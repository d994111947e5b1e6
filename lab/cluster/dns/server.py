"""The DNS server: dnsmasq in a pod, with what CoreDNS and Lighthouse's CoreDNS would answer written down as files.

In a real cluster CoreDNS forwards ``clusterset.local`` to a second server behind a service address of its own; here one server
answers for both, unless the topology gives Lighthouse's an address. Where several clusters are possible, Lighthouse answers with
one of them in turn, dnsmasq with all of them in turning order: a client that takes the first sees the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from lab.cluster.dns.zones import Zones
from lab.cluster.world import v4
from lab.spec.site import DnsServer
from lab.state.network import Program
from lab.state.objects import Address
from lab.state.provenance import Provenance

PORT: Final = 53
TTL: Final = 5
"""Seconds; CoreDNS' kubernetes plugin and Lighthouse agree on it."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Whom a server asks for what it does not know itself: servers of some zones, and one for all the rest, where there is one."""

    zones: tuple[tuple[str, IPv4Address], ...] = ()
    rest: IPv4Address | None = None


def dns_server(
    known: Zones, own: Iterable[str], outside: Iterable[tuple[str, Address]], why: Provenance, elsewhere: Elsewhere = Elsewhere()
) -> Program:
    """Return the program that answers: for its `own` zones alone, for the names of hosts `outside`, and by asking `elsewhere`."""
    # Without anybody to ask, every other name does not exist: there is no Internet behind.
    rest = "address=/#/" if elsewhere.rest is None else f"server={elsewhere.rest}"
    forwards = tuple(f"server=/{zone}/{address}" for zone, address in elsewhere.zones)
    lines = [*(f"local=/{zone}/" for zone in own), *forwards, rest, *(f"host-record={name},{address}" for name, address in outside)]
    lines += [f'txt-record={name},"not connected"' for name in known.empty]
    return dnsmasq((*lines, "addn-hosts={scratch}/names"), known.addresses, why)


def host_dns_server(server: DnsServer, outside: Iterable[tuple[str, Address]], why: Provenance) -> Program:
    """Return the program that answers on a host: for the names of all hosts, and for what the file gives it."""
    lines = ["address=/#/", *(f"address=/{domain.rstrip('.')}/{address}" for domain, address in server.wildcards.items())]
    records: list[tuple[str, Address]] = [
        (name.rstrip("."), v4(address)) for name, addresses in server.records.items() for address in addresses
    ]
    return dnsmasq((*lines, "addn-hosts={scratch}/names"), (*outside, *records), why)


def dnsmasq(lines: Iterable[str], names: Iterable[tuple[str, Address]], why: Provenance) -> Program:
    """Return dnsmasq with these lines of configuration beside those every server has, and these names."""
    configuration = ["no-resolv", "no-hosts", "no-poll", "pid-file", "cache-size=0", f"port={PORT}", f"local-ttl={TTL}", *lines]
    configuration += ["log-queries", "log-facility={scratch}/queries.log"]
    return Program(
        name="dnsmasq",
        argv=("dnsmasq", "--conf-file={scratch}/dnsmasq.conf", "--keep-in-foreground", "--user=", "--group="),
        files={"dnsmasq.conf": "\n".join(configuration) + "\n", "names": "".join(f"{address} {name}\n" for name, address in names)},
        listens=(("udp", PORT), ("tcp", PORT)),
        provenance=why,
    )
