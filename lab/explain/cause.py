"""From a lost packet to what lost it: what the model says of the state the kernel held, beside what was observed.

What was injected is not known here. The state is what was read back from the kernel after the probe; the model tells what that state does
to such a packet; the packet, as it was seen and as its death was reported, says whether that is what happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lab.explain.death import Death, last_destination
from lab.explain.evidence import Testimony, about, unread_log
from lab.explain.explanation import Cause, Evidence, Explanation, Responsible
from lab.explain.faults import death_of, first_lost, met
from lab.explain.kept import explain_kept
from lab.explain.names import explain_name
from lab.explain.objects import responsible
from lab.explain.prediction import expected_result, flow_of
from lab.explain.proxies import explain_proxy
from lab.explain.remedies import remedies
from lab.explain.sender import senders_view
from lab.explain.strays import explain_stray
from lab.explain.translation import changed_sources, never_masqueraded, spared_source, unmasqueraded
from lab.explain.turns import another_way, turns_of
from lab.forwarding import Conversation, Dropped, Network, Reason, trace
from lab.forwarding.packet import Address
from lab.forwarding.results import Purpose, Stage, Unknown
from lab.probe import Loss, Outcome, TcpRequest, UdpRequest
from lab.state import Link

ANOTHER_END: Final = "the model predicts another end"
"""How a doubt begins that is for the witnesses to judge."""
_NO_TESTIMONY: Final = Testimony()
_NOWHERE: Final = (Reason.NO_ROUTE, Reason.NEIGHBOUR, Reason.NO_FDB_ENTRY)
"""Deaths of an answer that has no way to the address it goes to: what matters then is who made the request seem to come from there."""

_OUTSIDE: Final = (*_NOWHERE, Reason.NOT_FORWARDING, Reason.NETFILTER, Reason.REJECTED)
"""Deaths of an answer to a pod that has left the networks which know pods."""

_LOST: Final = (Reason.NETFILTER, Reason.REJECTED, Reason.RP_FILTER, Reason.BLACKHOLE, *_NOWHERE)
"""Deaths of an error on its way; one that arrives and that nobody waits for is another matter."""


def explain(
    network: Network, outcome: Outcome, testimony: Testimony = _NO_TESTIMONY, conversation: Conversation | None = None
) -> Explanation | None:
    """Return why a probe was not answered; None for one that was, or that the model has no flow for.

    `network` is what the kernel held when it was sent; `testimony` is what else the kernel had to say;
    `conversation` is the model's prediction, where the caller has it already.
    """
    named = explain_name(network, outcome) or explain_stray(network, outcome) or explain_proxy(network, outcome, testimony)
    if named is not None:
        return named
    if outcome.result == "reply":
        return None
    flow = flow_of(outcome.request)
    if flow is None:
        older = isinstance(outcome.request, TcpRequest | UdpRequest) and outcome.request.over
        return (explain_kept(network, outcome) or _from_what_was_seen(outcome, ())) if older else None
    predicted = trace(network, flow) if conversation is None else conversation
    world = _likeliest(predicted, outcome)
    doubts = tuple(_doubts(world, outcome))
    lost = first_lost(world)
    if lost is None or expected_result(world) not in (None, outcome.result):
        return _by_chance(network, world, outcome, doubts) or _from_what_was_seen(outcome, doubts)
    turns = turns_of(network, flow, lost)
    end = met(network, flow, lost)
    death, verdict = end.death, lost.verdict
    assert isinstance(verdict, Dropped)
    astray = next((turn.responsible for turn in turns if turn.missed), None)
    if astray is not None and end.then is not None and astray.subject == end.then.subject:  # told as what comes next
        turns, astray = tuple(turn for turn in turns if not turn.missed), None
    needed = None
    if lost is not world.request and verdict.reason in _NOWHERE:  # an answer goes to whom the request seemed to come from
        changed = changed_sources(network, world.request)
        turns = (*(turn for _, turn in changed), *turns)
        astray = astray or next((turn.responsible for source, turn in changed if source == last_destination(lost)), None)
        spared = spared_source(network, world.request) or never_masqueraded(network, world.request) if not changed else None
        if spared is not None and astray is None:
            turns, astray = (spared, *turns), spared.responsible
            needed = f"a translated source, or {death.needed}"
    kept = unmasqueraded(network, world.request) if lost is not world.request and verdict.reason in _OUTSIDE else None
    if kept is not None and (astray is None or astray.absent):
        turns, astray = (kept, *(turn for turn in turns if not turn.missed)), kept.responsible
        needed = f"the rule of natOutgoing in {kept.namespace}"
    elif lost is not world.request and astray is None and verdict.reason in (Reason.NETFILTER, Reason.REJECTED):
        other = another_way(network, world.request, lost)
        if other is not None:
            turns, astray = (other, *turns), other.responsible
            needed = f"a route or rule in {other.namespace} that takes answers back the way the requests came, or {death.needed}"
    untold = _untold(network, world, verdict)
    if untold is not None:
        death, astray, needed = replace(death, text=f"{death.text}; {untold.text}"), untold.object, untold.needed
    cause = Cause(
        verdict.namespace,
        verdict.device,
        verdict.stage,
        verdict.reason,
        lost.purpose,
        death.text,
        astray or death.object,
        needed or _needed(death, astray, last_destination(lost)),
        tuple(about(network, outcome, lost, testimony)),
        death.object if astray is not None else death.by,
        unread_log(network, lost, testimony),
        end.next if astray is None else None,
    )
    objects = [turn.responsible for turn in turns if turn.responsible is not None] + ([death.object] if death.object else [])
    return Explanation(
        outcome.request,
        outcome.result,
        turns,
        cause,
        tuple(senders_view(network, world, outcome)),
        tuple(remedies(network.state, objects)),
        doubts,
    )


def _needed(death: Death, astray: Responsible | None, destination: Address | None) -> str | None:
    """Return what would have had to be there: at the place of death, or where the packet lost its way before."""
    if astray is None or astray == death.object:
        return death.needed
    if astray.kind == "route":
        return f"a route in {astray.namespace} that covers {destination}"
    return f"a rule in {astray.namespace} that translates {destination}" if astray.kind == "nft rule" and astray.absent else death.needed


def _untold(network: Network, conversation: Conversation, verdict: Dropped) -> Death | None:
    """Return the death of the error that would have told a sender to make its packets smaller: without it they die for ever."""
    if verdict.reason is not Reason.TOO_BIG:
        return None
    for found in conversation.traces:
        end = found.verdict
        if found.purpose == "error" and found.origin == verdict.namespace and isinstance(end, Dropped) and end.reason in _LOST:
            death = death_of(network, found)
            where = f"{end.namespace}:{end.device}" if end.device else end.namespace
            return replace(death, text=f"the error that would have told {last_destination(found)} ends at {where}: {death.text}")
    return None


def _likeliest(predicted: Conversation, outcome: Outcome) -> Conversation:
    """Return, of the worlds that chance leaves possible, the first that ends as the probe did."""
    return next((world for world in predicted.worlds if expected_result(world) == outcome.result), predicted)


def _by_chance(network: Network, conversation: Conversation, outcome: Outcome, doubts: tuple[str, ...]) -> Explanation | None:
    """Explain by a link that loses or damages some of what it sends, where a packet had to pass one and did not get far beyond it."""
    found = next((t for t in conversation.traces if isinstance(t.verdict, Unknown)), None)
    subject = found.verdict.subject if found is not None and isinstance(found.verdict, Unknown) else None
    loss = outcome.loss
    if found is None or not isinstance(subject, Link) or subject.impairment is None or loss is None:
        return None
    here = next(node.name for node in network.state if any(link is subject for link in node.links))
    text = f"{here}:{subject.name} is impaired, and chance decides about each packet"
    evidence = Evidence(loss.grade, f"{_place(loss)}{f': {loss.reason} in {loss.location}' if loss.reason else ''}")
    link = responsible(network, here, subject)
    cause = Cause(here, subject.name, Stage.TRANSMISSION, None, found.purpose, text, link, "a link that is not impaired", (evidence,))
    return Explanation(outcome.request, outcome.result, cause=cause, doubts=doubts)


def _from_what_was_seen(outcome: Outcome, doubts: tuple[str, ...]) -> Explanation:
    """Explain by the packet alone, where the model has no answer or another one: the place is known, and the kernel's reason if told."""
    loss = outcome.loss
    if loss is None:
        return Explanation(outcome.request, outcome.result, doubts=doubts)
    text = f"the kernel dropped it: {loss.reason} in {loss.location}" if loss.reason else "it was seen here and nowhere after"
    purpose: Purpose = "request" if loss.part == "request" else "reply"
    cause = Cause(loss.namespace, loss.device, None, None, purpose, text, None, None, (Evidence(loss.grade, _place(loss)),))
    return Explanation(outcome.request, outcome.result, cause=cause, doubts=doubts)


def _place(loss: Loss) -> str:
    return f"the {loss.part} at {loss.interface}"


def _doubts(conversation: Conversation, outcome: Outcome) -> Iterator[str]:
    expected = expected_result(conversation)
    if expected is None:
        yield f"the model cannot tell: {conversation.outcome}"
    elif expected != outcome.result and not (outcome.rate_limited and outcome.result == "silence"):
        yield f"{ANOTHER_END}: {conversation.outcome}"
    if outcome.incomplete:
        yield "the lab missed packets meanwhile, so what was not seen proves nothing"
