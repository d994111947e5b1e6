"""What there is to connect to: who listens where, and what rule sets translate to whom."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Literal

from lab.forwarding.reach.matrix import is_special
from lab.state import Namespace, State
from lab.state.nft import Match, NftRule, Payload, Prefix
from lab.state.objects import Address, Network

if TYPE_CHECKING:
    from lab.validate.fates import Kind


def own_addresses(namespace: Namespace, version: Literal[4, 6] | None = None) -> list[Address]:
    """Return the addresses of a namespace that others may ask about, of a version of IP or of both: not its loopback device's, and no
    link-local one."""
    addresses = (entry.interface.ip for entry in namespace.addresses if entry.device != "lo")
    return [own for own in addresses if version in (None, own.version) and (own.version == 4 or not is_special(ip_network(own)))]


def endpoints(state: State) -> Iterator[tuple[Kind, Network]]:
    """Yield every protocol and port that somebody may connect to, with the address."""
    from lab.validate.fates import Kind

    for namespace in state:
        own = own_addresses(namespace)
        for protocol, port, bound in _sockets(namespace):
            yield from ((Kind(protocol, port), ip_network(address)) for address in own if bound in (None, address, address.version))
        for table in namespace.tables:
            for chain in table.chains:
                for rule in chain.rules:
                    yield from ((Kind(protocol, port), network) for protocol, port, network in _matched(rule))


def _sockets(namespace: Namespace) -> Iterator[tuple[Literal["tcp", "udp"], int, Address | int | None]]:
    """Yield protocol and port of every socket, and the address or the version of IP that it is bound to."""
    for listener in namespace.listeners:
        yield listener.protocol, listener.port, listener.address
    for program in namespace.programs:
        version = program.speaker.version if program.speaker is not None else None
        yield from ((protocol, port, version) for protocol, port in program.listens)


def _matched(rule: NftRule) -> Iterator[tuple[Literal["tcp", "udp"], int, Network]]:
    """Yield the single address and port that a rule is about, as kube-proxy's are about those of a service."""
    address: Network | None = None
    port: tuple[Literal["tcp", "udp"], int] | None = None
    for statement in rule.statements:
        match statement:
            case Match(Payload("ip" | "ip6", "daddr"), (IPv4Address() | IPv6Address()) as single, "=="):
                address = ip_network(single)
            case Match(Payload("ip" | "ip6", "daddr"), Prefix(network), "==") if network.prefixlen == network.max_prefixlen:
                address = network
            case Match(Payload("tcp", "dport"), int(number), "=="):
                port = ("tcp", number)
            case Match(Payload("udp", "dport"), int(number), "=="):
                port = ("udp", number)
    if address is not None and port is not None:
        yield (*port, address)
