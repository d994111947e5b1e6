"""Ask a running lab about one probe: send it alone, with every counter read before and after, and explain what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from lab.explain.cause import explain
from lab.explain.evidence import Testimony
from lab.explain.explanation import Explanation
from lab.explain.journey import Journey, journey_of
from lab.explain.prediction import flow_of
from lab.forwarding import Conversation, Dropped, Network, Packet, Reason, Trace, trace
from lab.forwarding.packet import Address
from lab.kernel.counters import delta
from lab.kernel.martians import MartianLog
from lab.kernel.nft_trace import TracedRule, rule_trace
from lab.probe import Outcome, Request
from lab.scenario.stage import RunningLab
from lab.state import State
from lab.state.nft import Counter


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What came of a probe that was sent alone, why, and its way."""

    outcome: Outcome
    explanation: Explanation | None
    journey: Journey


def inquire(lab: RunningLab, request: Request) -> Inquiry:
    """Send one probe and explain what came of it, whoever changed whatever in the lab before.

    What the kernel holds is read first, the links and rules somebody typed included. Where the kernel does not report the death, and rules
    seem to be to blame, the probe is sent a second time with a trace through them.
    """
    held = lab.refresh()
    before = lab.counters()
    with closing(MartianLog()) as log:
        (outcome,) = lab.probe([request])
        martians = log.read()
    after = lab.read_back()
    flow = flow_of(request)
    network = Network(settled(held))
    predicted = trace(network, flow) if flow is not None else None
    testimony = Testimony(
        ask=lab.engine.route_get,
        moved={name: delta(counters, after_) for name, counters in before.items() if (after_ := lab.counters().get(name))},
        rules=moved_rules(held, after),
        alone=True,
        traced=() if predicted is None or outcome.result == "reply" else _traced(lab, request, outcome, predicted),
        logged=martians,
        unreadable=log.refusal,
        neighbours={namespace.name: namespace.neighbours for namespace in after},
    )
    return Inquiry(outcome, explain(network, outcome, testimony, predicted), journey_of(outcome))


def settled(state: State) -> State:
    """Return a state without the neighbours that were asked for in vain: whether they answer the next time is the question."""
    namespaces = {
        namespace.name: replace(namespace, neighbours=tuple(n for n in namespace.neighbours if n.state not in ("failed", "incomplete")))
        for namespace in state
    }
    return replace(state, namespaces=namespaces)


def moved_rules(before: State, after: State) -> dict[str, dict[int, int]]:
    """Return by how many packets each rule with a counter counted more, by namespace and handle."""
    was = {namespace.name: _counted(before, namespace.name) for namespace in before}
    return {
        namespace.name: {
            handle: packets - was.get(namespace.name, {}).get(handle, 0) for handle, packets in _counted(after, namespace.name).items()
        }
        for namespace in after
    }


def _counted(state: State, name: str) -> Mapping[int, int]:
    return {
        rule.handle: statement.packets
        for table in state[name].tables
        for chain in table.chains
        for rule in chain.rules
        if rule.handle is not None
        for statement in rule.statements
        if isinstance(statement, Counter)
    }


def _traced(lab: RunningLab, request: Request, outcome: Outcome, predicted: Conversation) -> tuple[TracedRule, ...]:
    """Send the probe again through traced rules, where they seem to have dropped it and the kernel did not say so."""
    for found in predicted.traces:
        verdict = found.verdict
        if not isinstance(verdict, Dropped) or verdict.reason not in (Reason.NETFILTER, Reason.REJECTED):
            continue
        if any(drop.namespace == verdict.namespace for drop in outcome.drops):
            return ()
        pair = _addresses(found)
        if pair is None:
            return ()
        with rule_trace(lab.sandbox, verdict.namespace, pair) as tracing:
            lab.probe([request])
            return tracing.read()
    return ()


def _addresses(found: Trace) -> tuple[Address, Address] | None:
    """Return the addresses of a packet where it died."""
    packet = found.packet
    for _, step in found.steps:
        if isinstance(step.after, Packet):
            packet = step.after
    return (packet.source, packet.destination) if isinstance(packet, Packet) else None
