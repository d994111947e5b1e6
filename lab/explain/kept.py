"""Why a conversation that goes on after a change fails: connection tracking holds it to what was decided when it began.

Source: nf_nat_core.c (rules for NAT are asked about the first packet of a connection only) and conntrack(8).
"""

from __future__ import annotations

from dataclasses import replace

from lab.explain.explanation import Cause, Evidence, Explanation, Responsible
from lab.explain.prediction import flow_of
from lab.explain.strays import translated
from lab.forwarding import Network, trace
from lab.forwarding.packet import Address
from lab.probe import Grade, Outcome, TcpRequest, UdpRequest


def explain_kept(network: Network, outcome: Outcome) -> Explanation | None:
    """Return why a probe over a conversation that was kept was not answered; None where a new one would be sent the same way."""
    request = outcome.request
    if not isinstance(request, TcpRequest | UdpRequest) or not request.over or outcome.result == "reply":
        return None
    flow = flow_of(replace(request, over=""))
    assert flow is not None
    there = translated(trace(network, flow))
    new = there[1].destination if there is not None else request.target
    held = _held(outcome)
    if held is None or held[1] == new:
        return None
    namespace, old = held
    if there is not None and old == request.target:
        namespace = there[0]
    protocol = "tcp" if isinstance(request, TcpRequest) else "udp"
    translation = f"to {old}" if old != request.target else "without translation"
    entry = Responsible(namespace, "tracked connection", f"{protocol} {request.target}:{request.port} {translation}")
    text = f"{namespace}'s connection tracking sends it {translation}, as when this conversation began; a new one goes to {new}"
    loss = outcome.loss
    cause = Cause(
        namespace if loss is None else loss.namespace,
        None if loss is None else loss.device,
        None,
        None,
        "request",
        text,
        entry,
        "an end of the tracked connection when what it leads to changes",
        (Evidence(Grade.LAST_SEEN, f"the request was seen leaving {namespace} for {old}"),),
    )
    cure = f"conntrack -D -p {protocol} --orig-dst {request.target} --orig-port-dst {request.port} in {namespace}"
    return Explanation(request, outcome.result, cause=cause, remedies=(cure,))


def _held(outcome: Outcome) -> tuple[str, Address] | None:
    """Return where a request got the destination that it was seen with last, and that destination; None for one that was not seen."""
    requests = [s for s in outcome.sightings if s.part == "request"]
    if not requests:
        return None
    last = requests[-1].destination
    return next(s.namespace for s in requests if s.destination == last), last
