"""What there is to connect to: who listens where, and what rule sets translate to whom."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Literal

from lab.state import Namespace, State
from lab.state.nft import Match, NftRule, Payload, Prefix

if TYPE_CHECKING:
    from lab.validate.fates import Kind


def endpoints(state: State) -> Iterator[tuple[Kind, IPv4Network]]:
    """Yield every protocol and port that somebody may connect to, with the address."""
    from lab.validate.fates import Kind

    for namespace in state:
        own = [entry.interface.ip for entry in namespace.addresses if isinstance(entry.interface.ip, IPv4Address) and entry.device != "lo"]
        for protocol, port, bound in _sockets(namespace):
            yield from ((Kind(protocol, port), IPv4Network(address)) for address in own if bound in (None, address))
        for table in namespace.tables:
            for chain in table.chains:
                for rule in chain.rules:
                    yield from ((Kind(protocol, port), network) for protocol, port, network in _matched(rule))


def _sockets(namespace: Namespace) -> Iterator[tuple[Literal["tcp", "udp"], int, object]]:
    for listener in namespace.listeners:
        yield listener.protocol, listener.port, listener.address
    for program in namespace.programs:
        yield from ((protocol, port, None) for protocol, port in program.listens)


def _matched(rule: NftRule) -> Iterator[tuple[Literal["tcp", "udp"], int, IPv4Network]]:
    """Yield the single address and port that a rule is about, as kube-proxy's are about those of a service."""
    address: IPv4Network | None = None
    port: tuple[Literal["tcp", "udp"], int] | None = None
    for statement in rule.statements:
        match statement:
            case Match(Payload("ip", "daddr"), IPv4Address() as single, "=="):
                address = IPv4Network(single)
            case Match(Payload("ip", "daddr"), Prefix(IPv4Network(prefixlen=32) as network), "=="):
                address = network
            case Match(Payload("tcp", "dport"), int(number), "=="):
                port = ("tcp", number)
            case Match(Payload("udp", "dport"), int(number), "=="):
                port = ("udp", number)
    if address is not None and port is not None:
        yield (*port, address)
