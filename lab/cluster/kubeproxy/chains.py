"""kube-proxy's chains, from the Services and EndpointSlices of the API.

Source: kubernetes pkg/proxy/iptables/proxier.go at v1.27. Left out are NodePorts, and the chains that stay empty without them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, Literal

from lab.cluster.api import ApiServer
from lab.cluster.names import endpoint_chain, external_chain, local_chain, service_chain, service_port_name
from lab.cluster.objects import SERVICE_NAME_LABEL, EndpointSlice, Service
from lab.cluster.rules import (
    ACCEPT,
    DROP,
    MASQUERADE,
    RETURN,
    destination,
    dnat,
    flip_mark,
    jump,
    marked,
    not_source,
    port,
    protocol,
    rule,
    set_mark,
    source,
    states,
    unmarked,
)
from lab.state.nft import Chain, Match, NftRule, Numgen, Reject
from lab.state.objects import Address, Network
from lab.state.provenance import Provenance

MASQUERADE_MARK: Final = 0x4000
"""--iptables-masquerade-bit 14."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port behind a service port."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}" if self.address.version == 4 else f"[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class PortOfService:
    """A service port with its endpoints, in the order of their addresses as kube-proxy has them."""

    name: str
    """``default/kubernetes:https``."""
    protocol: str
    address: Address
    port: int
    endpoints: tuple[Endpoint, ...]
    because: tuple[Provenance, ...]
    external: tuple[IPv4Address, ...] = ()
    keeps_source: bool = False

    @property
    def chain(self) -> str:
        """Its KUBE-SVC chain."""
        return service_chain(self.name, self.protocol)

    @property
    def outside_chain(self) -> str:
        """Its KUBE-EXT chain."""
        return external_chain(self.name, self.protocol)

    @property
    def to_it(self) -> tuple[Match, Match]:
        """What a packet to this port looks like."""
        return destination(self.address), port(self.protocol, self.port)


def service_ports(api: ApiServer, version: Literal[4, 6] = 4) -> tuple[PortOfService, ...]:
    """Return all service ports of a version of IP; slices of other clusters' services lack the label and are not seen."""
    found: list[PortOfService] = []
    for service in api.list(Service):
        cluster_ip = service.cluster_ip if version == 4 else service.cluster_ip6
        if cluster_ip is None:
            continue
        slices = [s for s in api.list(EndpointSlice, service.namespace) if s.labels.get(SERVICE_NAME_LABEL) == service.name]
        for service_port in service.ports:
            endpoints = {
                Endpoint(address, slice_port.target_port)
                for each in slices
                for slice_port in each.ports
                if (slice_port.name, slice_port.protocol) == (service_port.name, service_port.protocol)
                for address in (each.addresses if version == 4 else each.addresses6)
            }
            name = service_port_name(service.namespace, service.name, service_port.name)
            ordered = tuple(sorted(endpoints, key=str))
            because = (service.provenance, *(each.provenance for each in slices))
            found.append(
                PortOfService(
                    name,
                    service_port.protocol,
                    cluster_ip,
                    service_port.port,
                    ordered,
                    because,
                    service.external if version == 4 else (),
                    service.keeps_source,
                )
            )
    return tuple(found)


def nat_chains(ports: Iterable[PortOfService], cluster_cidr: Network, local: Collection[Address], proxy: Provenance) -> tuple[Chain, ...]:
    """Return the chains of a node's nat table; PREROUTING and OUTPUT jump to KUBE-SERVICES, POSTROUTING to KUBE-POSTROUTING.

    `local` are the addresses of the node's own pods.
    """
    live = tuple(p for p in ports if p.endpoints)
    why = _because(proxy, "masquerading")
    services = tuple(entry for p in live for entry in _entries(p, proxy))
    return (
        Chain("KUBE-SERVICES", services, provenance=_because(proxy, "services of the cluster")),
        Chain("KUBE-POSTROUTING", _postrouting(why), provenance=why),
        Chain("KUBE-MARK-MASQ", (rule(then=set_mark(MASQUERADE_MARK), why=why),), provenance=why),
        *(chain for p in live for chain in (*_service_chains(p, cluster_cidr, proxy), *_outside_chains(p, cluster_cidr, local, proxy))),
    )


def filter_chains(ports: Iterable[PortOfService], proxy: Provenance, *, drops_invalid: bool) -> tuple[Chain, ...]:
    """Return the chains of the filter table: services without endpoints are refused, marked and answering packets accepted.

    `drops_invalid`: whether what conntrack cannot place is dropped, as kube-proxy does since 1.15.
    """
    why = _because(proxy, "forwarding")
    refused = tuple(
        rule(
            *p.to_it,
            then=Reject(),
            why=_because(proxy, f"service {p.name} has no endpoints", *p.because),
            comment=f"{p.name} has no endpoints",
        )
        for p in ports
        if not p.endpoints
    )
    forward = (
        *((rule(states("invalid"), then=DROP, why=why),) if drops_invalid else ()),
        rule(marked(MASQUERADE_MARK), then=ACCEPT, why=why, comment="kubernetes forwarding rules"),
        rule(states("related", "established"), then=ACCEPT, why=why, comment="kubernetes forwarding conntrack rule"),
    )
    return (
        Chain("KUBE-SERVICES", refused, provenance=_because(proxy, "services without endpoints")),
        Chain("KUBE-FORWARD", forward, provenance=why),
    )


def _because(proxy: Provenance, reason: str, *more: Provenance) -> Provenance:
    return Provenance(proxy.component, reason, because=(*more, *proxy.because))


def _postrouting(why: Provenance) -> tuple[NftRule, ...]:
    """Take the mark off again before masquerading: the outer packet of a tunnel would inherit it."""
    return (
        rule(unmarked(MASQUERADE_MARK), then=RETURN, why=why),
        rule(then=flip_mark(MASQUERADE_MARK), why=why),
        rule(then=MASQUERADE, why=why, comment="kubernetes service traffic requiring SNAT"),
    )


def _entries(p: PortOfService, proxy: Provenance) -> Iterator[NftRule]:
    """Yield what KUBE-SERVICES has for a service port."""
    why = _because(proxy, f"service {p.name}", *p.because)
    yield rule(*p.to_it, then=jump(p.chain), why=why, comment=f"{p.name} cluster IP")
    for address in p.external:
        yield rule(destination(address), port(p.protocol, p.port), then=jump(p.outside_chain), why=why, comment=f"{p.name} external IP")


def _outside_chains(p: PortOfService, cluster_cidr: Network, local: Collection[Address], proxy: Provenance) -> Iterator[Chain]:
    """Yield the chains of clients from outside: masqueraded and led to any endpoint, or, to keep their address, to the node's own alone.

    Without an endpoint on the node there is no chain of its own, and what comes goes nowhere.
    """
    if not p.external:
        return
    why = _because(proxy, f"service {p.name} from outside", *p.because)
    if not p.keeps_source:
        masquerade = rule(then=jump("KUBE-MARK-MASQ"), why=why, comment=f"masquerade traffic for {p.name} external destinations")
        yield Chain(p.outside_chain, (masquerade, rule(then=jump(p.chain), why=why)), provenance=why)
        return
    own = rule(source(cluster_cidr), then=jump(p.chain), why=why, comment=f"pod traffic for {p.name} external destinations")
    here = tuple(endpoint for endpoint in p.endpoints if endpoint.address in local)
    if here:
        yield Chain(local_chain(p.name, p.protocol), tuple(_choices(p, here, why)), provenance=why)
    yield Chain(p.outside_chain, (own, *((rule(then=jump(local_chain(p.name, p.protocol)), why=why),) if here else ())), provenance=why)


def _choices(p: PortOfService, endpoints: Sequence[Endpoint], why: Provenance) -> Iterator[NftRule]:
    """Yield the rules that choose one of some endpoints at random."""
    for taken, endpoint in enumerate(endpoints):
        left = len(endpoints) - taken
        chance = (Match(Numgen("random", left), 0),) if left > 1 else ()
        chosen = jump(endpoint_chain(p.name, p.protocol, str(endpoint)))
        yield rule(*chance, then=chosen, why=why, comment=f"{p.name} -> {endpoint}")


def _service_chains(p: PortOfService, cluster_cidr: Network, proxy: Provenance) -> Iterator[Chain]:
    """Yield the chain that chooses an endpoint, then one for each endpoint."""
    why = _because(proxy, f"service {p.name}", *p.because)
    off_cluster = _because(proxy, f"--cluster-cidr={cluster_cidr}: clients elsewhere are masqueraded", *p.because)
    rules = [rule(not_source(cluster_cidr), *p.to_it, then=jump("KUBE-MARK-MASQ"), why=off_cluster, comment=f"{p.name} cluster IP")]
    yield Chain(p.chain, (*rules, *_choices(p, p.endpoints, why)), provenance=why)
    for endpoint in p.endpoints:
        hairpin = rule(source(endpoint.address), then=jump("KUBE-MARK-MASQ"), why=why, comment=p.name)
        to_endpoint = rule(protocol(p.protocol), then=dnat(endpoint.address, endpoint.port), why=why, comment=p.name)
        yield Chain(endpoint_chain(p.name, p.protocol, str(endpoint)), (hairpin, to_endpoint), provenance=why)
