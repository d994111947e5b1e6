"""Why a connection is reset after a segment out of its window: INVALID to conntrack, it is forwarded as it is, and its receiver refuses it.

Source: nf_conntrack_proto_tcp.c (a segment out of the window is INVALID unless nf_conntrack_tcp_be_liberal) and nf_nat_core.c (what
belongs to no connection is not translated).
"""

from __future__ import annotations

from dataclasses import replace

from lab.explain.explanation import Cause, Evidence, Explanation, Responsible
from lab.explain.objects import responsible
from lab.explain.prediction import flow_of
from lab.forwarding import Conversation, Network, Packet, Stage, trace
from lab.forwarding.hooks import Filtering
from lab.probe import Grade, Outcome, TcpRequest
from lab.state.nft import NftRule


def explain_stray(network: Network, outcome: Outcome) -> Explanation | None:
    """Return why a connection with a stray segment was reset; None where it was not, or where the segment came translated."""
    request = outcome.request
    if not isinstance(request, TcpRequest) or not request.stray or outcome.result != "refused":
        return None
    flow = flow_of(replace(request, stray=False))
    assert flow is not None
    conversation = trace(network, flow)
    found = translated(conversation)
    if found is None:
        return None
    here, server = found
    came = next((s for s in outcome.sightings if (s.part, s.namespace, s.source) == ("answer", request.source, server.destination)), None)
    if came is None or came.source == request.target:
        return None
    accepting = _accepting(conversation, here)
    put = responsible(network, here, accepting)
    rule = Responsible(here, "nft rule", "ct state invalid drop", None if put is None else put.provenance, absent=True)
    cause = Cause(
        here,
        None,
        Stage.FORWARD,
        None,
        "answer",
        f"a segment out of the window is INVALID to conntrack, so that it is forwarded with the source {came.source}, "
        f"not made {request.target} again",
        rule,
        f"a rule in {here} that drops what is INVALID, or net.netfilter.nf_conntrack_tcp_be_liberal 1 there",
        (Evidence(Grade.LAST_SEEN, f"the answer was seen coming in by {came.interface} from {came.source}"),),
    )
    sender = f"its kernel knows no connection with {came.source} and answers with a reset, which ends the connection at the server"
    return Explanation(request, outcome.result, cause=cause, sender=(sender,))


def translated(conversation: Conversation) -> tuple[str, Packet] | None:
    """Return where the request's destination was translated, and the request as it was then."""
    for hop, step in conversation.request.steps:
        before, after = step.before, step.after
        if isinstance(before, Packet) and isinstance(after, Packet) and before.tunnel is None and before.destination != after.destination:
            return hop.namespace, after
    return None


def _accepting(conversation: Conversation, namespace: str) -> NftRule | None:
    """Return the rule by which a namespace forwards answers of the connection."""
    for hop, step in conversation.reply.steps if conversation.reply is not None else ():
        if hop.namespace == namespace and step.stage is Stage.FORWARD and isinstance(step.decision, Filtering):
            rule = step.decision.run.decided_by
            return rule if isinstance(rule, NftRule) else None
    return None
