"""Ask three witnesses about one probe: build the network, send the packet, and set what happens beside what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import InputError
from lab.explain.agreement.witnesses import Witnesses, hear_witnesses
from lab.explain.prediction import expected_result, flow_of
from lab.forwarding import Flow, Network, trace
from lab.forwarding.packet import UDP_HEADER, ip_header
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.probe import Outcome, PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.changes import Live
from lab.scenario.stage import RunningLab
from lab.state import State


def observe(state: State, request: Request, actions: Sequence[Live] = ()) -> Witnesses:
    """Build a state in a sandbox of its own, send one probe there, and return what the witnesses say.

    `actions` are what only a running lab can do to get there. Raises InputError for a probe that is no single flow (HTTP, DNS,
    traceroute), MachineError when this machine cannot run the lab.
    """

    def work(sandbox: Sandbox, report: Report) -> Witnesses:
        with RunningLab(sandbox) as lab:
            lab.reach(state, actions)
            return witnesses_of(lab, request)

    return run_in_sandbox(work)


def heard_about(lab: RunningLab, network: Network, outcome: Outcome) -> Witnesses | None:
    """Return what the witnesses of a probe say, None for one that is no flow. `network` is what the kernel held when it was sent.

    Probes that are sent together teach the kernel things for each other, at the same time: when they disagree, this one is sent again by
    itself, and that counts. It meets what the first one met: path MTUs that were learned meanwhile, of which the model knows nothing, are
    forgotten before.
    """
    flow = flow_of(outcome.request)
    if flow is None:
        return None
    together = hear_witnesses(network, trace(network, flow), outcome, lab.engine.route_get)
    if not together.disagreements:
        return together
    lab.engine.flush(connections=False, neighbours=False)
    return witnesses_of(lab, outcome.request)


@dataclass(frozen=True, slots=True)
class Foresight:
    """What the model says beforehand of how a probe ends."""

    surprised: bool = False
    """Whether the probe ended otherwise than in any of the worlds that the model leaves possible. What it cannot tell surprises nobody."""
    lots: tuple[str, ...] = ()
    """What chance decides about the end: another probe of the kind may end otherwise."""


def foresight(network: Network, outcome: Outcome) -> Foresight:
    """Return what the model says of a probe; nothing of one that is no flow, or whose errors were withheld."""
    flow = flow_of(outcome.request)
    if flow is None or (outcome.rate_limited and outcome.result == "silence"):
        return Foresight()
    predicted = trace(network, flow)
    surprised = not predicted.incomplete and all(expected_result(world) not in (None, outcome.result) for world in predicted.worlds)
    return Foresight(surprised, predicted.lots)


def witnesses_of(lab: RunningLab, request: Request) -> Witnesses:
    """Send one probe alone, with no other under way, and return what the witnesses say.

    What the kernel has learned of neighbours so far it is asked for, so the model knows it too. Raises InputError for what is no flow.
    """
    flow = flow_of(request)
    if flow is None:
        raise InputError("only pings, TCP and UDP probes are traced", hint="observe a ping, a TCP or a UDP probe")
    network = Network(lab.read_back())
    (outcome,) = lab.probe([request])
    return hear_witnesses(network, trace(network, flow), outcome, lab.engine.route_get)


def request_of(flow: Flow) -> Request:
    """Return the probe that sends what a flow says. Raises InputError for what no probe can."""
    source = str(flow.source)
    payload = None if flow.size is None else flow.size - ip_header(flow.destination) - UDP_HEADER
    if flow.protocol == "icmp":
        return PingRequest(source, flow.destination, 56 if payload is None else payload, bool(flow.df), flow.ttl, flow.mark)
    if flow.ttl is not None:
        raise InputError("--ttl can be observed with a ping only", hint="leave out --proto")
    if flow.protocol == "udp":
        return UdpRequest(source, flow.destination, flow.destination_port, 32 if payload is None else payload, bool(flow.df), flow.mark)
    if flow.size is not None or flow.df is not None:
        raise InputError("--size and --df can be observed with a ping or a datagram only", hint="say --proto udp")
    return TcpRequest(source, flow.destination, flow.destination_port, flow.mark)
