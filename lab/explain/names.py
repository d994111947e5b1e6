"""Why a name does not resolve: its server has no zone for it that another has, or nobody exports the service it is the name of.

Names of the cluster set come of ServiceImports, and those of somebody's ServiceExport. Which zones a server has is read in the
configuration it runs with; see ``--server``, ``--local`` and ``--address`` in dnsmasq(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from lab.explain.explanation import Cause, Evidence, Explanation, Responsible
from lab.forwarding import Flow, Network, trace
from lab.probe import DnsRequest, Grade, Outcome
from lab.state import Program, State

ZONE: Final = ".svc.clusterset.local"
_LINE: Final = re.compile(r"^(?:server|local|address)=/(?P<zone>[^/#]+)/(?P<server>.*)$", re.MULTILINE)
_REST: Final = re.compile(r"^server=(?P<server>[^/]+)$", re.MULTILINE)
_NAMESERVER: Final = re.compile(r"^nameserver (\S+)$", re.MULTILINE)


def explain_name(network: Network, outcome: Outcome) -> Explanation | None:
    """Return why a name is not there; None where it is, or where that is a matter neither of exports nor of zones."""
    request = outcome.request
    if not isinstance(request, DnsRequest) or outcome.rcode not in ("NXDOMAIN", "REFUSED"):
        return None
    return _not_exported(network.state, request, outcome) or _no_zone(network, request, outcome)


def _not_exported(state: State, request: DnsRequest, outcome: Outcome) -> Explanation | None:
    if not request.name.rstrip(".").endswith(ZONE):
        return None
    before, _, space = request.name.rstrip(".").removesuffix(ZONE).rpartition(".")
    service = before.rpartition(".")[2]
    cluster = state[request.source].cluster
    if any(found.name == service for found in state.control.of("ServiceImport", cluster)):
        return None
    owners = [found.cluster for found in state.control.of("Service") if (found.namespace, found.name) == (space, service)]
    exported = [found.cluster for found in state.control.of("ServiceExport") if (found.namespace, found.name) == (space, service)]
    if not owners or exported:
        return None
    where = " and ".join(owners)
    export = Responsible(where, "ServiceExport", f"{space}/{service}", absent=True)
    cause = Cause(
        request.source,
        None,
        None,
        None,
        "answer",
        f"{where} has the service {space}/{service} and does not export it, so that {cluster} has no ServiceImport to answer from",
        export,
        f"subctl export service --namespace {space} {service} in {where}",
        (Evidence(Grade.HELD, f"the API servers hold no ServiceExport {space}/{service}, and {cluster} no ServiceImport of it"),),
    )
    return Explanation(request, outcome.result, cause=cause, sender=("NXDOMAIN: the name server is reached, and knows no such name",))


def _no_zone(network: Network, request: DnsRequest, outcome: Outcome) -> Explanation | None:
    """Say which zone a server lacks that another server of the same cluster answers for."""
    asked = _server(network, request.source)
    if asked is None:
        return None
    where, program = asked
    cluster = network.state[where].cluster
    if any(_within(request.name, zone) for zone, _ in _zones(program)):
        return None
    others = [
        (namespace.name, zone)
        for namespace in network.state
        if namespace.cluster == cluster and namespace.name != where
        for other in namespace.programs
        for zone, target in _zones(other)
        if not target and _within(request.name, zone)
    ]
    if not others:
        return None
    owner, zone = others[0]
    rest = _REST.search(_configuration(program))
    asks = f"asks {rest['server']} instead" if rest is not None else "asks nobody"
    missed = Responsible(where, "DNS zone", zone, program.provenance, absent=True)
    unread = [f", and does not read the block for it in {name}" for name in _blocks(network.state, cluster, zone)]
    cause = Cause(
        where,
        None,
        None,
        None,
        "answer",
        f"{program.name} there knows no zone {zone} and {asks}; {owner} answers for it{''.join(unread)}",
        missed,
        f"a zone {zone} in {where} that is forwarded to {owner}",
        (Evidence(Grade.HELD, f"the configuration of {program.name} in {where}"),),
    )
    return Explanation(
        request, outcome.result, cause=cause, sender=(f"{outcome.rcode}: the name server is reached, and knows no such name",)
    )


def _server(network: Network, source: str) -> tuple[str, Program] | None:
    """Return the program that the first name server of a namespace's /etc/resolv.conf is, by the way its questions take."""
    found = _NAMESERVER.search(network.state[source].files.get("/etc/resolv.conf", ""))
    seen = trace(network, Flow(source, ip_address(found[1]), "udp", 53)).seen if found is not None else None
    return (seen.namespace, seen.by) if seen is not None and isinstance(seen.by, Program) else None


def _configuration(program: Program) -> str:
    return "\n".join(program.files.values())


def _zones(program: Program) -> list[tuple[str, str]]:
    """Return a server's zones, each with whom it asks about it; nobody where it answers itself."""
    return [(found["zone"], found["server"]) for found in _LINE.finditer(_configuration(program))]


def _within(name: str, zone: str) -> bool:
    return f".{name.rstrip('.')}".endswith(f".{zone}")


def _blocks(state: State, cluster: str | None, zone: str) -> Iterator[str]:
    """Yield the keys of ConfigMaps that hold a block of a Corefile for a zone."""
    for found in state.control.of("ConfigMap", cluster):
        data = found.body.get("data")
        for key, text in data.items() if isinstance(data, dict) else ():
            if str(text).startswith(f"{zone}:"):
                yield f"key {key} of ConfigMap {found.namespace}/{found.name}"
