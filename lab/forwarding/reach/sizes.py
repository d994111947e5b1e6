"""How long a packet may be: the largest that is answered, where that is less than what the sender's own link takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.forwarding.conversation import Conversation, trace
from lab.forwarding.flow import Flow, size_of
from lab.forwarding.memory import Memory
from lab.forwarding.network import Network


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """Up to which length a conversation works, and what happens beyond."""

    largest: int
    """Bytes of the longest IP packet, sent whole (DF), that is answered in every world."""
    beyond: str
    """What the sender notices of one that is a byte longer."""
    told: bool
    """Whether it is told the MTU (RFC 1191); if not, the way swallows long packets in silence."""


def size_limit(network: Network, answered: Conversation, guess: SizeLimit | None = None) -> SizeLimit | None:
    """Return the limit of a conversation that is answered at its own size; None where the sender's own MTU is the limit.

    Each length is asked about afresh, so the limit is exact. The way takes what is shorter than something it takes: then bisection finds
    it. `guess` is the limit of a similar conversation, with which the search begins.
    """
    flow = replace(answered.flow, df=True)
    lower, upper = size_of(flow), _own_mtu(network, answered)
    if upper <= lower or _answered(network, flow, upper):
        return None
    if guess is not None and lower <= guess.largest < upper:
        if _answered(network, flow, guess.largest):
            lower = guess.largest
            upper = min(upper, guess.largest + 1) if not _answered(network, flow, guess.largest + 1) else upper
        else:
            upper = guess.largest
    while upper - lower > 1:
        middle = (lower + upper) // 2
        if _answered(network, flow, middle):
            lower = middle
        else:
            upper = middle
    beyond = _at(network, flow, lower + 1)
    lost = next(world for world in beyond.worlds if world.outcome.kind != "reply")
    return SizeLimit(lower, str(lost.outcome), lost.outcome.mtu is not None or lost.outcome.errno == "EMSGSIZE")


def _own_mtu(network: Network, conversation: Conversation) -> int:
    """Return the MTU of the device the question left its sender by; what does not leave has no limit of this kind."""
    first = conversation.request.hops[0]
    node = network.node(first.namespace)
    return min((node.links[device].mtu for device in first.left_by), default=0)


def _answered(network: Network, flow: Flow, size: int) -> bool:
    return _at(network, flow, size).must


def _at(network: Network, flow: Flow, size: int) -> Conversation:
    return trace(network, replace(flow, size=size), memory=Memory())
