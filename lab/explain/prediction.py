"""What the model makes of a probe: the flow it is, and what it calls the probe's end."""

from __future__ import annotations

import errno
import os
from typing import Final

from lab.forwarding import Conversation, Flow
from lab.forwarding.packet import TCP_HEADER, UDP_HEADER, Address, ip_header
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest
from lab.probe.client import failed

_KINDS: Final = {"reply": "reply", "refused": "refused", "error": "unreachable", "silence": "silence"}
"""What the model calls an outcome, and what a probe calls it."""


def flow_of(request: Request) -> Flow | None:
    """Return what a probe sends as the model calls it, None for one that is more than a flow, or goes on with one that is older."""
    match request:
        case PingRequest(target=target):
            return Flow(
                request.source, target, "icmp", size=_headers(target) + request.size, df=request.df, ttl=request.ttl, mark=request.mark
            )
        case TcpRequest(target=target, stray=False, over=""):
            answer = ip_header(target) + TCP_HEADER + request.answer if request.answer else None
            return Flow(request.source, target, "tcp", request.port, answer_size=answer, mark=request.mark)
        case UdpRequest(target=target, over=""):
            return Flow(request.source, target, "udp", request.port, size=_headers(target) + request.size, df=request.df, mark=request.mark)
    return None


def _headers(target: Address) -> int:
    """Return the bytes of the IP and the ICMP or UDP header before a probe's payload."""
    return ip_header(target) + UDP_HEADER


def expected_result(conversation: Conversation) -> str | None:
    """Return what a probe would call the model's outcome, None where the model has none."""
    if conversation.outcome.kind == "local error":
        number = getattr(errno, conversation.outcome.errno or "", errno.EIO)
        return failed(OSError(number, "")).result
    if conversation.outcome.kind == "silence" and conversation.outcome.connected and conversation.flow.answer_size is not None:
        return "stalled"
    return _KINDS.get(conversation.outcome.kind)


def told_apart(number: int) -> str:
    """Return an error number's name and meaning."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"
