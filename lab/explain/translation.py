"""The source a packet bears: where translation changed it, where it was spared, and where an address leads back to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network, summarize_address_range

from lab.explain.explanation import Responsible, Turn
from lab.explain.objects import missing, responsible
from lab.explain.ranges import cidr_of, overlay_range
from lab.forwarding import Hop, Network, Packet, Stage, Step, Trace
from lab.forwarding.hooks import Filtering
from lab.forwarding.packet import Address
from lab.spec.findings import within as lies_within
from lab.state import ApiObject
from lab.state.nft import Match, Nat, NftRule, NftSet, Payload, Prefix, Range, SetRef
from lab.state.nftables import rule_text
from lab.state.objects import Network as Subnet


def changed_sources(network: Network, found: Trace) -> tuple[tuple[Address, Turn], ...]:
    """Say where translation changed the packet's source, and into what: whoever answers afterwards answers to that."""
    changed = []
    for hop, step, before, after in source_changes(found):
        why, behind = _masquerade(network, hop.namespace, step, before)
        turn = Turn(hop.namespace, step.stage, f"the source {before.source} becomes {after.source}{why}", behind)
        changed.append((after.source, turn))
    return tuple(changed)


def source_changes(found: Trace) -> Iterator[tuple[Hop, Step, Packet, Packet]]:
    """Yield where a packet's source was translated, with the packet before and after."""
    for hop, step in found.steps:
        before, after = step.before, step.after
        if step.stage is not Stage.POSTROUTING or not isinstance(before, Packet) or not isinstance(after, Packet):
            continue
        if before.tunnel is None and after.tunnel is None and before.source != after.source:
            yield hop, step, before, after


def _masquerade(network: Network, namespace: str, step: Step, packet: Packet) -> tuple[str, Responsible | None]:
    """Say which rule translated, and, where that is because the destination is in no element of a set, which element is the nearest."""
    if not isinstance(step.decision, Filtering):
        return "", None
    for met in reversed(step.decision.run.met):
        if met.failed is not None:
            continue
        for statement in met.rule.statements:
            spared = _set_that_spares(network, namespace, met.chain, statement)
            if spared is not None:
                return _not_spared(network, namespace, met.chain, spared, packet.destination)
        if any(isinstance(statement, Nat) for statement in met.rule.statements):
            return f" ({met.chain})", responsible(network, namespace, met.rule)
    return " (the connection's own translation)", None


def _set_that_spares(network: Network, namespace: str, chain: str, statement: object) -> NftSet | None:
    """Return the set of destinations that a rule leaves alone (``ip daddr != @set``)."""
    if not isinstance(statement, Match) or statement.operator != "!=" or not isinstance(statement.right, SetRef):
        return None
    if not isinstance(statement.left, Payload) or statement.left.field != "daddr":
        return None
    family, name, _ = chain.split(" ", 2)
    for table in network.state[namespace].tables:
        if (table.family, table.name) == (family, name):
            return next((found for found in table.sets if found.name == statement.right.name), None)
    return None


def _not_spared(network: Network, namespace: str, chain: str, spared: NftSet, destination: Address) -> tuple[str, Responsible | None]:
    within = overlay_range(network.state, destination)
    networks = [one for element in spared.elements for one in _networks(element) if within is None or lies_within(one, within)]
    near = max(networks, key=lambda one: one.max_prefixlen - (int(one.network_address) ^ int(destination)).bit_length(), default=None)
    text = f" ({chain}): {destination} is in no element of set {spared.name}"
    if near is None and within is not None:
        return text, missing(namespace, "IPPool", f"that holds {destination}")
    if near is None:
        return text, _element(network, namespace, spared, near)
    return f"{text}, the nearest is {near}", _element(network, namespace, spared, near)


def _element(network: Network, namespace: str, within: NftSet, element: Subnet | None) -> Responsible:
    """Return the IPPool that an element of a set comes of, or the set where it comes of none."""
    cluster = network.state[namespace].cluster
    pool = next((pool for pool in network.state.control.of("IPPool", cluster) if element is not None and cidr_of(pool) == element), None)
    if pool is None:
        return Responsible(namespace, "nft set", within.name, within.provenance, within)
    return Responsible(namespace, "IPPool", f"{pool.name} {element}", pool.provenance, pool)


def _networks(element: object) -> list[Subnet]:
    """Return the networks of an element; nft merges neighbours into ranges."""
    match element:
        case Prefix(network=network):
            return [network]
        case Range(first=IPv4Address() as first, last=IPv4Address() as last):
            return list(summarize_address_range(first, last))
        case Range(first=IPv6Address() as first, last=IPv6Address() as last):
            return list(summarize_address_range(first, last))
        case IPv4Address() | IPv6Address():
            return [ip_network(element)]
    return []


# -- what was not translated ---------------------------------------------------------------------------------------


def spared_source(network: Network, found: Trace) -> Turn | None:
    """Say which element of a set kept a packet's source from being translated, though its destination is no pod or service of a cluster."""
    for hop, step in found.steps:
        if step.stage is not Stage.POSTROUTING or not isinstance(step.decision, Filtering):
            continue
        packet = step.decision.run.before
        for met in step.decision.run.met:
            if met.failed is None or not any(isinstance(statement, Nat) for statement in met.rule.statements):
                continue
            spared = _set_that_spares(network, hop.namespace, met.chain, met.rule.statements[met.failed])
            if spared is None or overlay_range(network.state, packet.destination) is not None:
                continue
            networks = [one for element in spared.elements for one in _networks(element)]
            holding = next((one for one in networks if packet.destination in one), None)
            text = (
                f"the source stays {packet.source}, unlike what {met.chain} makes of others: "
                f"{packet.destination} is in element {holding} of set {spared.name}"
            )
            return Turn(hop.namespace, step.stage, text, _element(network, hop.namespace, spared, holding))
    return None


def never_masqueraded(network: Network, found: Trace) -> Turn | None:
    """Say which IPPool lets what its pods send keep their source (natOutgoing is off), where that goes to an address of no pool."""
    for hop in found.hops:
        packet = next((step.after for step in hop.steps if isinstance(step.after, Packet)), None)
        here = network.state[hop.namespace]
        if here.role != "node" or packet is None:
            continue
        pools = [(pool, cidr) for pool in network.state.control.of("IPPool", here.cluster) if (cidr := cidr_of(pool)) is not None]
        if any(packet.destination in cidr for _, cidr in pools):
            return None
        for pool, cidr in pools:
            spec = pool.body.get("spec")
            if packet.source in cidr and isinstance(spec, dict) and spec.get("natOutgoing") is False:
                text = f"the source stays {packet.source}: natOutgoing is off in IPPool {pool.name} ({cidr})"
                return Turn(hop.namespace, Stage.POSTROUTING, text, Responsible(hop.namespace, "IPPool", pool.name, pool.provenance, pool))
    return None


def unmasqueraded(network: Network, found: Trace) -> Turn | None:
    """Say where a node lacks the rule that its IPPool calls for: natOutgoing is on, and the source of what leaves the pools stays."""
    for hop in found.hops:
        packet = next((step.after for step in hop.steps if isinstance(step.after, Packet)), None)
        here = network.state[hop.namespace]
        if here.role != "node" or packet is None or packet.tunnel is not None:
            continue
        pools = [(pool, cidr) for pool in network.state.control.of("IPPool", here.cluster) if (cidr := cidr_of(pool)) is not None]
        outgoing = [pool for pool, cidr in pools if packet.source in cidr and _nat_outgoing(pool)]
        if not outgoing or overlay_range(network.state, packet.destination) is not None or any(source_changes(found)):
            return None
        text = f"the source stays {packet.source}: no rule masquerades it, though natOutgoing is on in IPPool {outgoing[0].name}"
        return Turn(hop.namespace, Stage.POSTROUTING, text, missing(hop.namespace, "nft rule", f"that masquerades {packet.source}"))
    return None


def _nat_outgoing(pool: ApiObject) -> bool:
    spec = pool.body.get("spec")
    return isinstance(spec, dict) and spec.get("natOutgoing") is True


def one_way(network: Network, found: Trace, destination: Address) -> Turn | None:
    """Say where a packet came by the rule that makes sources into its destination, an address of nobody that nothing translates back."""
    if network.state.owner(destination) is not None:
        return None
    for hop in found.hops:
        for chain, rule in _rules(network, hop.namespace):
            if _gives(rule, destination):
                text = f"{destination} is a source that {chain} gives ({rule_text(rule, 'ip')}), and no rule leads back from it"
                way = Responsible(hop.namespace, "nft rule", f"dnat of {destination}", rule.provenance, absent=True)
                return Turn(hop.namespace, Stage.PREROUTING, text, way, missed=True)
    return None


def _gives(rule: NftRule, source: Address) -> bool:
    return any(isinstance(statement, Nat) and statement.kind == "snat" and statement.address == source for statement in rule.statements)


def _rules(network: Network, namespace: str) -> Iterator[tuple[str, NftRule]]:
    for table in network.state[namespace].tables:
        for chain in table.chains:
            yield from ((f"{table.family} {table.name} {chain.name}", rule) for rule in chain.rules)
