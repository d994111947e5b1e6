"""Hints that look at the network as it is now: how far each packet of a task comes, and what that says to somebody who repairs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lab.explain.prediction import flow_of
from lab.forwarding import Conversation, Dropped, Network, trace
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest

USUAL_SIZE: Final = 56
"""Bytes that ping(8) sends where nobody says how many."""
_ANSWERS: Final = frozenset({"reply", "answer", "error", "reset"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a packet of the task comes, by what the kernel holds now."""

    subject: str
    """Who asks whom."""
    works: bool
    answered: bool = False
    """Whether it is the answer that is lost: then the question has arrived."""
    at: str = ""
    """The node where it is lost."""
    hops: int = 0
    """How many nodes it has come through till then."""


def described(subject: str, request: Request) -> str:
    """Say who asks whom, and for what: `ping client -> web with 1400 bytes`."""
    match request:
        case PingRequest(size=size):
            return f"ping {subject}" + (f" with {size} bytes" if size != USUAL_SIZE else "")
        case TcpRequest(port=port):
            return f"tcp/{port} {subject}"
        case UdpRequest(port=port, size=size):
            return f"udp/{port} {subject} with {size} bytes"
    return subject


def standings(network: Network, asked: Iterable[tuple[str, Request]]) -> tuple[Standing, ...]:
    """Ask the model how far every request of a task, and its answer, come. What is no single packet is left out."""
    found = []
    for subject, request in asked:
        flow = flow_of(request)
        if flow is not None:
            found.append(_standing(subject, trace(network, flow)))
    return tuple(found)


def _standing(subject: str, conversation: Conversation) -> Standing:
    if conversation.outcome.kind == "reply":
        return Standing(subject, works=True)
    lost = next((one for one in conversation.traces if isinstance(one.verdict, Dropped)), None)
    if lost is None:
        return Standing(subject, works=False)
    return Standing(subject, works=False, answered=lost.purpose in _ANSWERS, at=lost.verdict.namespace, hops=len(lost.path))


def progress(at_first: tuple[Standing, ...], now: tuple[Standing, ...], done: int, asked: int) -> str:
    """Say what the learner has achieved since the task began, and where to look now; never why.

    `done` of the things that the task has `asked` for are there, as `check` counts them.
    """
    total = f"{done} of {asked} work now. " if done and done < asked else ""
    before = {standing.subject: standing for standing in at_first}
    moved = [(before[standing.subject], standing) for standing in now if not standing.works and standing.subject in before]
    if not moved and done < asked:
        return f"{total}Every packet of this task gets through now, and that is not all it asks for: `check` says what is missing."
    if not moved:
        return "Everything this task asks for gets through now; `check` says whether that is all it asks for."
    was, here = max(moved, key=lambda pair: _rank(*pair))
    return total + _in_words(was, here)


def aside(broken: tuple[Standing, ...]) -> str:
    """Say what else does not work, which worked in the healthy network, and where to look for it."""
    lost = next((standing for standing in broken if not standing.works), None)
    if lost is None:
        return ""
    return f"But {lost.subject} does not work, and should: its {'answer' if lost.answered else 'request'} is lost on {lost.at}."


def _rank(was: Standing, here: Standing) -> int:
    """Order by how much there is to say: what got worse, a request that arrives now, what is lost elsewhere, what is where it was."""
    if was.works or (was.answered and not here.answered):
        return 4
    if here.answered and not was.answered:
        return 3
    return 2 if here.at != was.at else 1


def _in_words(was: Standing, here: Standing) -> str:
    if was.works:
        return f"{here.subject} worked when you began, and does not now: what you changed last is in its way. Look at {here.at}."
    if here.answered and not was.answered:
        return f"You have fixed the request of {here.subject}: it arrives. Now its answer is lost: watch the reply on {here.at}."
    if was.answered and not here.answered:
        return f"The request of {here.subject} arrived when you began, and does not now: it is lost on {here.at}."
    part = "answer" if here.answered else "request"
    if here.at != was.at:
        further = "further" if here.hops > was.hops else "not as far"
        return f"The {part} of {here.subject} comes {further} than when you began: watch it on {here.at}."
    arrives = "The request arrives, and its answer is lost on the way back." if here.answered else "The request does not arrive."
    return f"Nothing has changed yet for {here.subject}. {arrives} Follow it from node to node with tcpdump."
