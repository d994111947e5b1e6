"""The sender's view of a lost probe: why this error from this address, or why silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lab.explain.objects import device_of, owner_of
from lab.explain.prediction import told_apart
from lab.explain.translation import source_changes
from lab.forwarding import Conversation, Delivered, Dropped, Network, Packet, Reason, Trace
from lab.forwarding.packet import Address
from lab.forwarding.routing import OutputRoute
from lab.probe import IcmpError, Outcome

SILENT: Final = {
    Reason.NETFILTER: "a rule that drops says nothing; one that rejects would",
    Reason.RP_FILTER: "the source check refuses without a word (net.ipv4.conf.*.log_martians would log it)",
    Reason.BLACKHOLE: "a blackhole route says nothing; an unreachable or prohibit route would",
    Reason.RULE_BLACKHOLE: "a blackhole rule says nothing; an unreachable or prohibit rule would",
    Reason.NOT_FORWARDING: "a host that does not forward says nothing about packets that are not for it",
    Reason.NOT_FORWARDING_V6: "a host that does not forward says nothing about packets that are not for it",
    Reason.LOCAL_SOURCE: "the source check refuses without a word",
    Reason.INVALID_SOURCE: "an impossible source is refused without a word",
    Reason.OTHER_HOST: "a frame for another MAC is not looked at",
    Reason.NO_CARRIER: "a cable says nothing",
    Reason.IMPAIRED: "what a link loses it loses without a word",
    Reason.LINK_DOWN: "a link that is down says nothing",
    Reason.TOO_LONG_FOR_PEER: "the device at the other end throws it away, and nobody is told",
    Reason.TOO_LONG_FOR_BRIDGE: "a bridge says nothing about frames that are too long",
    Reason.NO_FDB_ENTRY: "a VXLAN device says nothing about a MAC it has no entry for",
    Reason.NO_CHECK_SUM: "a datagram of IPv6 without check sum is thrown away",
    Reason.UNKNOWN_VNI: "a VXLAN packet nobody expects is thrown away",
    Reason.IGNORED_ECHO: "icmp_echo_ignore_all means silence",
}
"""Why nobody is told, for each kind of death that is silent."""


def senders_view(network: Network, conversation: Conversation, outcome: Outcome) -> Iterator[str]:
    """Say, line by line, what the sender sees and why it is just that."""
    if outcome.icmp is not None:
        yield from _error_came(network, conversation, outcome.icmp, outcome.icmp.source)
    elif outcome.result == "silence":
        yield from _silence(network, conversation, outcome)
    elif outcome.result == "refused":
        yield "the reset comes from the address it asked: the namespace is reached, and nothing there takes the connection"
    elif outcome.errno is not None:
        yield f"its own kernel refuses: {told_apart(outcome.errno)}"


def _error_came(network: Network, conversation: Conversation, error: IcmpError, source: Address) -> Iterator[str]:
    who = owner_of(network, source)
    device = device_of(network, who, source) if who is not None else None
    whose = f"{who}'s address on {device}" if who is not None else "nobody's address"
    named = f"{error.name} from {source}, {whose}"
    traced = _error(conversation)
    route = next((s.decision for _, s in traced.steps if isinstance(s.decision, OutputRoute)), None) if traced is not None else None
    if who is not None and traced is not None and traced.origin == who and route is not None and route.chosen and route.lookup is not None:
        back = route.lookup.destination
        named += f": an error bears the address of the device it leaves by, here on the way back to {back}"
    yield named
    for hop, _, before, after in source_changes(conversation.request):
        yield f"it came home because {hop.namespace} had made the source {before.source} into {after.source}, and translates the error back"


def _silence(network: Network, conversation: Conversation, outcome: Outcome) -> Iterator[str]:
    if outcome.rate_limited:
        yield "silence, though a router on the way would have told: its rate limit for ICMP errors withheld it"
        return
    lost = next((t for t in conversation.traces if isinstance(t.verdict, Dropped) and t.purpose != "error"), None)
    error = _error(conversation)
    if lost is None or not isinstance(lost.verdict, Dropped):
        return
    if lost.purpose not in ("request", "handshake", "data"):
        arrived = next((t.verdict for t in conversation.traces if isinstance(t.verdict, Delivered)), None)
        where = f" at {arrived.namespace}" if arrived is not None else ""
        yield f"the request arrived{where} and was answered; it is the {lost.purpose} that was lost, so nobody tells the sender"
        came_to = _came_to(error) if error is not None else None
        if came_to is not None:
            yield f"the error about it went to {came_to}{', who had sent the answer' if arrived and came_to == arrived.namespace else ''}"
            return
    if error is not None and isinstance(error.verdict, Dropped):
        verdict = error.verdict
        to = error.packet.destination if isinstance(error.packet, Packet) else "the sender"
        where = f"{verdict.namespace}:{verdict.device}" if verdict.device else verdict.namespace
        yield f"silence: {error.origin} sent an error to {to}, which ended at {where}: {verdict.text or verdict.reason.text}"
    else:
        yield f"silence: {SILENT.get(lost.verdict.reason, 'nobody sends an error about it')}"


def _came_to(error: Trace) -> str | None:
    """Return where an error arrived, also where nothing waits for it: a kernel that has answered an echo is done with it."""
    verdict = error.verdict
    if isinstance(verdict, Delivered) or (isinstance(verdict, Dropped) and verdict.reason is Reason.UNSOLICITED):
        return verdict.namespace
    return None


def _error(conversation: Conversation) -> Trace | None:
    return next((found for found in conversation.traces if found.purpose == "error"), None)
