"""The objects of a namespace as somebody to hold responsible: what each is called, as its own tool prints it, and who put it there."""

from __future__ import annotations

from lab.explain.explanation import Responsible
from lab.forwarding import Network
from lab.forwarding.packet import Address
from lab.forwarding.results import provenance_of
from lab.forwarding.why import describe_route, describe_rule
from lab.state import AddressEntry, BridgePort, FdbEntry, Link, Listener, Neighbour, Program, Route, Rule
from lab.state.commands.links import port_settings, queueing_text
from lab.state.nft import Chain, NftRule
from lab.state.nftables import rule_text


def responsible(network: Network, namespace: str, subject: object) -> Responsible | None:
    """Return an object of a namespace with its name; None for what is no object of a state."""
    named = _named(network, namespace, subject)
    if named is None:
        return None
    kind, text = named
    return Responsible(namespace, kind, text, provenance_of(subject), subject)


def sysctl(network: Network, namespace: str, *paths: str) -> Responsible:
    """Return the sysctl among these that has the largest value, as sysctl(8) prints it; the later of equal ones."""
    node = network.state[namespace]
    path = max(enumerate(paths), key=lambda entry: (_number(node.sysctl(entry[1])), entry[0]))[1]
    return Responsible(namespace, "sysctl", f"{path.replace('/', '.') if '.' not in path else path} = {node.sysctl(path)}", subject=path)


def missing(namespace: str, kind: str, text: str) -> Responsible:
    """Return something that is not there."""
    return Responsible(namespace, kind, text, absent=True)


def owner_of(network: Network, address: Address) -> str | None:
    """Return the namespace that has an address."""
    owner = network.state.owner(address)
    return None if owner is None else owner.name


def device_of(network: Network, namespace: str, address: Address) -> str | None:
    """Return the device of a namespace that has an address."""
    entries = network.state[namespace].addresses
    return next((entry.device for entry in entries if entry.interface.ip == address), None)


def chain_of(network: Network, namespace: str, rule: NftRule) -> str:
    """Return the chain of a rule as people refer to it: family, table, name."""
    for table in network.state[namespace].tables:
        for chain in table.chains:
            if any(other is rule for other in chain.rules):
                return f"{table.family} {table.name} {chain.name}"
    return "an unknown chain"


def _named(network: Network, namespace: str, subject: object) -> tuple[str, str] | None:
    match subject:
        case Route():
            return "route", describe_route(subject)
        case Rule():
            return "rule", describe_rule(subject)
        case NftRule():
            chain = chain_of(network, namespace, subject)
            family = chain.partition(" ")[0]
            return "nft rule", f"{chain}: {rule_text(subject, family)}"  # type: ignore[arg-type]
        case Chain(name=name, policy=policy):
            table = next(
                (f"{t.family} {t.name}" for t in network.state[namespace].tables if any(chain is subject for chain in t.chains)), "?"
            )
            return "nft chain", f"{table} {name}: policy {policy}"
        case Link(name=name, mtu=mtu, up=up, arp=arp, impairment=impairment, port=port):
            words = [name, f"mtu {mtu}", *([] if up else ["down"]), *([] if arp else ["arp off"])]
            words += [queueing_text(impairment)] if impairment is not None else []
            return "link", " ".join([*words, *port_settings(BridgePort(), port or BridgePort())])
        case AddressEntry(device=device, interface=interface):
            return "address", f"{interface} dev {device}"
        case Neighbour(device=device, address=address, mac=mac):
            return "neighbour", f"{address} dev {device} lladdr {mac}"
        case FdbEntry(device=device, mac=mac, destination=destination):
            return "FDB entry", f"{mac} dev {device} dst {destination}"
        case Listener(name=name, protocol=protocol, port=port):
            return "listener", f"{name} ({protocol}/{port})"
        case Program(name=name):
            return "program", name
    return None


def _number(value: str) -> int:
    return int(value) if value.lstrip("-").isdigit() else 0
