"""Why a page was not had: nothing sends its client to a proxy that would be let through, or something sends it there that should not.

What curl reads of the environment is told in curl(1): ``http_proxy``, ``HTTPS_PROXY``, ``NO_PROXY`` and their other spellings.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from lab.explain.death import Death
from lab.explain.evidence import Testimony, about
from lab.explain.explanation import Cause, Explanation, Responsible
from lab.explain.faults import death_of
from lab.forwarding import Conversation, Dropped, Flow, Network, Trace, trace
from lab.forwarding.packet import Address
from lab.probe import HttpRequest, Outcome

_VARIABLES: Final = {"http": ("http_proxy",), "https": ("https_proxy", "HTTPS_PROXY")}
_BAD_GATEWAY: Final = 500
"""The first status by which a proxy says that it could not do it (RFC 9110, 15.6)."""


def explain_proxy(network: Network, outcome: Outcome, testimony: Testimony) -> Explanation | None:
    """Return why an HTTP request failed, where the cause is a variable of its client that is missing, or that names too few addresses."""
    request = outcome.request
    if not isinstance(request, HttpRequest):
        return None
    cause = _not_sent_there(network, request, outcome, testimony)
    if cause is None and outcome.peer is not None and outcome.status is not None and outcome.status >= _BAD_GATEWAY:
        cause = _sent_in_vain(network, request, outcome.peer[0], outcome, testimony)
    return None if cause is None else Explanation(request, outcome.result, cause=cause)


def _not_sent_there(network: Network, request: HttpRequest, outcome: Outcome, testimony: Testimony) -> Cause | None:
    """A request that is lost on its own way, while there is a proxy that its client reaches and that reaches its server."""
    url, environment = urlsplit(request.url), network.state[request.source].environment
    variables = _VARIABLES.get(url.scheme, ())
    if outcome.result == "reply" or any(name in environment for name in variables):
        return None
    port = url.port or (443 if url.scheme == "https" else 80)
    sent = next((s for s in outcome.sightings if (s.part, s.namespace, s.ports[1]) == ("request", request.source, port)), None)
    died = None if sent is None else _death(network, _connect(network, request.source, sent.destination, port))
    if sent is None or died is None:
        return None
    lost, death = died
    for name, address, listening in _proxies(network):
        if _reached(network, request.source, address, listening) and _reached(network, name, sent.destination, port):
            text = f"{death.text}; {name} is let through, and no variable sends {request.source} there"
            needed = f"{variables[0]}=http://{address}:{listening} in {request.source}"
            return _cause(network, outcome, testimony, lost, text, _variable(network, request.source, None, variables[0]), needed, death)
    return None


def _sent_in_vain(network: Network, request: HttpRequest, peer: str, outcome: Outcome, testimony: Testimony) -> Cause | None:
    """A proxy's own answer, that it cannot reach what its client reaches without it."""
    proxy, url = network.state.owner(ip_address(peer)), urlsplit(request.url)
    try:
        target = ip_address(url.hostname or "")
    except ValueError:  # a name, which the proxy looks up for itself
        return None
    port = url.port or (443 if url.scheme == "https" else 80)
    if proxy is None or proxy.role != "proxy" or not _reached(network, request.source, target, port):
        return None
    died = _death(network, _connect(network, proxy.name, target, port))
    if died is None:
        return None
    lost, death = died
    environment = network.state[request.source].environment
    spared = next((f"{name}={environment[name]}" for name in ("no_proxy", "NO_PROXY") if name in environment), None)
    variable = _variable(network, request.source, spared, "NO_PROXY")
    text = f"{request.source} has {proxy.name} ask {target} for it, and reaches it without; {death.text}"
    return _cause(network, outcome, testimony, lost, text, variable, f"{target} in NO_PROXY of {request.source}", death)


def _variable(network: Network, source: str, said: str | None, name: str) -> Responsible:
    """Return a variable of a namespace's environment as it stands there, or that it is missing; it comes with the namespace."""
    return Responsible(source, "variable", said or name, network.state[source].provenance, absent=said is None)


def _cause(
    network: Network, outcome: Outcome, testimony: Testimony, lost: Trace, text: str, variable: Responsible, needed: str, death: Death
) -> Cause:
    verdict = lost.verdict
    assert isinstance(verdict, Dropped)
    evidence = tuple(about(network, outcome, lost, testimony))
    return Cause(
        verdict.namespace, verdict.device, verdict.stage, verdict.reason, lost.purpose, text, variable, needed, evidence, death.object
    )


def _proxies(network: Network) -> Iterator[tuple[str, Address, int]]:
    """Yield every proxy with its address and port."""
    for namespace in network.state:
        if namespace.role == "proxy":
            ports = [port for program in namespace.programs for protocol, port in program.listens if protocol == "tcp"]
            addresses = [entry.interface.ip for entry in namespace.addresses if not entry.interface.ip.is_loopback]
            yield from ((namespace.name, address, port) for address in addresses[:1] for port in ports[:1])


def _connect(network: Network, source: str, target: Address, port: int) -> Conversation:
    return trace(network, Flow(source, target, "tcp", port))


def _reached(network: Network, source: str, target: Address, port: int) -> bool:
    return _connect(network, source, target, port).outcome.kind == "reply"


def _death(network: Network, conversation: Conversation) -> tuple[Trace, Death] | None:
    lost = next((found for found in conversation.traces if isinstance(found.verdict, Dropped) and found.purpose != "error"), None)
    return None if lost is None else (lost, death_of(network, lost))
