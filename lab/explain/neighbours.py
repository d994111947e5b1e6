"""Why nobody answered for a neighbour: nobody has the address, or the one who has it did not get the question, or kept silent."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from lab.explain.death import CABLES, FILTERS, Death, last_hop, route_taken, spared
from lab.explain.deaths import death_at_its_place
from lab.explain.down import cable, forgotten
from lab.explain.objects import device_of, missing, owner_of, responsible, sysctl
from lab.forwarding import Dropped, Network, Reason, Trace
from lab.forwarding.arp import Resolution
from lab.forwarding.packet import Address, Arp
from lab.forwarding.why import describe_route
from lab.state import Route


def own_death(network: Network, found: Trace) -> Death:
    """Say what a dropped packet died of at the place of its death, whatever led it there."""
    verdict = found.verdict
    assert isinstance(verdict, Dropped)
    if verdict.reason is Reason.NEIGHBOUR:
        return _no_neighbour(network, found, verdict)
    return death_at_its_place(network, found)


def _no_neighbour(network: Network, found: Trace, verdict: Dropped) -> Death:
    """Why nobody answered: nobody has the address, or the one who has it did not get the question, or kept silent."""
    here, device = verdict.namespace, verdict.device or ""
    hop = last_hop(found, here)
    resolution = next((step.decision for step in reversed(hop.steps) if isinstance(step.decision, Resolution)), None) if hop else None
    if resolution is None:
        return Death(verdict.text or verdict.reason.text, responsible(network, here, verdict.subject))
    address = resolution.address
    route = route_taken(hop)
    owner = owner_of(network, address)
    question = _that_failed(found, resolution)
    asked = question.verdict if question is not None else None
    said = f"nobody answers for {address} on {device}"
    if owner is None:
        proxy = _no_proxy(network, resolution)
        if proxy is not None:
            return Death(f"{said}: {proxy.text}", proxy.object, proxy.needed)
        if route is not None and address in _gateways(network, here, route):
            return Death(
                f"{said}: no namespace has that address, the next hop of {describe_route(route)}",
                responsible(network, here, route),
                f"a next hop that is there, or {address} on the link of {device}",
            )
        nobody = missing(here, "neighbour", f"{address} on {device}")
        return Death(f"{said}: no namespace has that address", nobody, f"{address} on that link")
    kept = spared(network, resolution.asked, owner) if resolution.asked is not None else None
    if kept is not None:
        return Death(f"{said}: {owner} has it, and {kept.text}", kept.object, kept.needed)
    if isinstance(asked, Dropped):
        if asked.namespace == owner and asked.reason is Reason.ARP_REFUSED:
            setting = sysctl(network, owner, "net/ipv4/conf/all/rp_filter", f"net/ipv4/conf/{asked.device}/rp_filter")
            way_back = responsible(network, owner, asked.subject)
            route_back = f": {way_back.text}" if way_back is not None else ""
            text = f"{said}: {owner} has it, and {asked.text}{route_back}"
            if way_back is None and isinstance(asker := _asker(resolution), IPv4Address):
                nowhere = missing(owner, "route", f"to {asker}")
                return Death(text, nowhere, f"a route to {asker}, or rp_filter 0 on {asked.device} and all", setting)
            return Death(text, way_back or setting, f"a way back by {asked.device}, or rp_filter 2 there", setting)
        if asked.namespace == owner and asked.reason in (Reason.ARP_IGNORED, Reason.ARP_FILTERED):
            name = "arp_ignore" if asked.reason is Reason.ARP_IGNORED else "arp_filter"
            setting = sysctl(network, owner, f"net/ipv4/conf/all/{name}", f"net/ipv4/conf/{asked.device}/{name}")
            return Death(f"{said}: {owner} has it and keeps silent: {asked.text}", setting, f"{name} 0 there")
        diverted = forgotten(network, question) if question is not None else None
        if diverted is not None:
            return Death(f"{said}: {owner} has it, and {diverted.text}", diverted.object, diverted.needed)
        if asked.reason in FILTERS:
            rule = responsible(network, asked.namespace, asked.subject)
            what = "answer" if resolution.asked is not None and resolution.asked.purpose == "arp reply" else "question"
            text = f"{said}: {owner} has it, and {asked.namespace} drops the {what}: {asked.text}"
            return Death(text, rule, "no such rule, or an accept before it")
        if asked.reason is Reason.IMPAIRED:
            link = responsible(network, asked.namespace, asked.subject)
            return Death(f"{said}: {owner} has it, and {asked.namespace}:{asked.text}", link, "a link that does not lose the question")
        if asked.reason in (*CABLES, Reason.NO_FDB_ENTRY):
            inner = cable(network, asked, responsible(network, asked.namespace, asked.subject)) if asked.reason in CABLES else None
            if inner is not None:
                return Death(f"{said}: {inner.text}", inner.object, inner.needed)
            stated = any(entry.device == device and entry.state == "permanent" for entry in network.state[here].neighbours)
            if stated and here == asked.namespace:  # a device whose neighbours are stated, not asked for
                nobody = missing(here, "neighbour", f"{address} on {device}")
                return Death(f"{said}: there is no neighbour entry, and {asked.text}", nobody, "a neighbour entry")
            nowhere = missing(asked.namespace, "FDB entry", f"on {asked.device} that the question would follow")
            return Death(f"{said}: {asked.text}", nowhere, f"an FDB entry of {asked.device} for 00:00:00:00:00:00")
    elsewhere = isinstance(asked, Dropped) and asked.namespace == here
    if route is not None and not _gateways(network, here, route) and elsewhere:  # nowhere to go: the owner is on no link of that device
        text = f"{said}, where {describe_route(route)} takes it to be; {owner} has it elsewhere, on {device_of(network, owner, address)}"
        return Death(text, responsible(network, here, route), f"no such route for {address}")
    if isinstance(asked, Dropped) and asked.reason not in (Reason.ARP_NOT_MINE, Reason.ARP_NO_ROUTE) and question is not None:
        inner = own_death(network, question)
        where = f"{asked.namespace}:{asked.device}" if asked.device else asked.namespace
        text = f"{said}: {owner} has it, and the {question.purpose.replace('arp', 'ARP')} ends at {where}: {inner.text}"
        return Death(text, inner.object, inner.needed, inner.by)
    thing = responsible(network, here, route) if route is not None and address in _gateways(network, here, route) else None
    theirs = device_of(network, owner, address)
    down = network.state[owner].link(theirs) if theirs is not None else None
    if down is not None and not down.up:
        return Death(f"{said}: {owner} has it on {theirs}, which is down", responsible(network, owner, down), f"{owner}:{theirs} up")
    if thing is None and theirs is not None:
        thing = missing(here, "neighbour", f"{address} on {device}")
    why = f": {asked}" if asked is not None and not isinstance(asked, Dropped) else f": {asked.text or asked.reason.text}" if asked else ""
    return Death(f"{said}; {owner} has it on {theirs}{why}", thing, f"{address} reachable by {device}")


def _that_failed(found: Trace, resolution: Resolution) -> Trace | None:
    """Return the question for a neighbour that did not come to its owner, or else the answer that did not come back."""
    asked = resolution.asked
    if asked is None or not asked.delivered or not isinstance(asked.packet, Arp):
        return asked
    ends = (asked.packet.target, asked.packet.sender)
    answers = [
        t
        for t in found.resolutions
        if t.purpose == "arp reply" and isinstance(t.packet, Arp) and ends == (t.packet.sender, t.packet.target)
    ]
    lost = [(answer, end) for answer in answers for end in (answer.verdict, *answer.others) if isinstance(end, Dropped)]
    return replace(lost[-1][0], verdict=lost[-1][1]) if lost else asked


def _asker(resolution: Resolution) -> Address | None:
    """Return who asked for a neighbour, by the address in the question."""
    question = resolution.asked.packet if resolution.asked is not None else None
    return question.sender if isinstance(question, Arp) else None


def _no_proxy(network: Network, resolution: Resolution) -> Death | None:
    """Say what keeps a node from answering for an address of nobody, as nodes do for the gateway of their pods (proxy_arp).

    Such a gateway is link-local: whatever device the question comes to, no route leads there but the default one.
    """
    asked = resolution.asked.verdict if resolution.asked is not None else None
    if not resolution.address.is_link_local or not isinstance(asked, Dropped) or asked.device is None:
        return None
    where = f"{asked.namespace}:{asked.device}"
    for name in ("proxy_arp", "forwarding"):
        path = f"net/ipv4/conf/{asked.device}/{name}"
        if network.state[asked.namespace].sysctl(path) == "0":
            text = f"nobody has that address, and {where} does not answer for it: {asked.text}"
            return Death(text, sysctl(network, asked.namespace, path), f"{name} 1 on {where}")
    return None


def _gateways(network: Network, here: str, route: Route) -> set[Address]:
    return {hop.via for hop in network.state[here].ways(route) if hop.via is not None}
