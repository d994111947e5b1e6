"""Ports of a segment's switch: the bridge's own settings, and what may come in by a port, as rules of family bridge.

A cloud's port with one MAC address and checked sources is a filter in front of the switch, which does not even learn from what that drops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network

from lab.cluster.rules import DROP, rule
from lab.spec.links import Impairment, SegmentPort, SwitchPort
from lab.state import BridgePort
from lab.state import Impairment as LinkImpairment
from lab.state.builder import NamespaceBuilder
from lab.state.nft import AnonymousSet, Expression, Match, Meta, NftRule, Payload, Prefix
from lab.state.nft_builder import BaseChain
from lab.state.objects import AddressEntry, Network
from lab.state.provenance import Provenance

TABLE, CHAIN = "ports", "incoming"
_BEFORE_THE_SWITCH = BaseChain("filter", "prerouting", -200, "accept")


def written_port(ports: Mapping[str, SegmentPort], member: str) -> tuple[str, SegmentPort] | None:
    """Return what a file says of a member's port, and under which key: the first that matches."""
    return next(((key, port) for key, port in ports.items() if fnmatchcase(member, key)), None)


def port_of(written: SwitchPort, before: BridgePort | None = None) -> BridgePort:
    """Return a port's settings, those not written as they were."""
    was = before or BridgePort()

    def chosen(value: bool | None, otherwise: bool) -> bool:
        return otherwise if value is None else value

    return BridgePort(
        hairpin=chosen(written.hairpin, was.hairpin),
        isolated=chosen(written.isolated, was.isolated),
        learning=chosen(written.learning, was.learning),
        flood=chosen(written.flood, was.flood),
        neigh_suppress=was.neigh_suppress,
    )


def impairment_of(written: Impairment | None) -> LinkImpairment | None:
    """Return an impairment in the kernel's units; None where nothing is impaired."""
    if written is None or written.is_nothing:
        return None
    return LinkImpairment(round(written.loss * 100), round(written.corruption * 100), written.delay, written.rate)


def add_port_checks(
    switch: NamespaceBuilder, port: str, written: SegmentPort, mac: str | None, addresses: tuple[AddressEntry, ...], why: Provenance
) -> None:
    """Check what comes in by a port: its MAC address, and the addresses that packets and ARP messages say they come from."""
    rules = [*_mac_rules(port, mac, why)] if written.one_mac and mac is not None else []
    if written.own_addresses:
        own = [type(entry.interface.network)(entry.interface.ip) for entry in addresses]
        rules += _address_rules(port, (*own, *written.also_from), why)
    if rules:
        chain = switch.chain("bridge", TABLE, CHAIN, _BEFORE_THE_SWITCH, why)
        for each in rules:
            chain.append(each)


def _mac_rules(port: str, mac: str, why: Provenance) -> Iterator[NftRule]:
    yield _dropped(port, "one-mac", why, Match(Payload("ether", "saddr"), mac, "!="))


def _address_rules(port: str, allowed: tuple[Network, ...], why: Provenance) -> Iterator[NftRule]:
    four = tuple(network for network in allowed if isinstance(network, IPv4Network))
    six = tuple(network for network in allowed if isinstance(network, IPv6Network))
    yield _dropped(port, "own-addresses", why, Match(Payload("ip", "saddr"), _one_of(four), "!="))
    yield _dropped(port, "own-arp", why, Match(Payload("arp", "saddr ip"), _one_of(four), "!="))
    if six:
        link_local = IPv6Network("fe80::/10")
        yield _dropped(port, "own-addresses", why, Match(Payload("ip6", "saddr"), _one_of((*six, link_local, IPv6Network("::"))), "!="))


def _one_of(networks: tuple[Network, ...]) -> Expression:
    values: tuple[Expression, ...] = tuple(
        network.network_address if network.prefixlen == network.max_prefixlen else Prefix(network) for network in networks
    )
    return values[0] if len(values) == 1 else AnonymousSet(values)


def _dropped(port: str, name: str, why: Provenance, condition: Match) -> NftRule:
    reason = Provenance(why.component, f"{name} of port {port}", because=(why,))
    return rule(Match(Meta("iifname"), port), condition, then=DROP, why=reason, comment=f"{name}-{port}")
