"""Traffic: send probes, serve what answers them, watch where they go, and say what came of each.

What a probe asks and what came of it is data, and loads on any system; what sends and watches needs Linux, and loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from lab.probe.outcome import Grade, IcmpError, Loss, Outcome, Part, Result, Sighting
from lab.probe.request import DnsRequest, HttpRequest, PingRequest, Request, TcpRequest, TracerouteRequest, UdpRequest

if TYPE_CHECKING:
    from lab.probe.observe import Observer, open_observer
    from lab.probe.prober import Prober
    from lab.probe.responder import Responder
    from lab.probe.services import Services

_HOMES: Final = {
    "Observer": "observe",
    "Prober": "prober",
    "Responder": "responder",
    "Services": "services",
    "open_observer": "observe",
}

__all__ = [
    "DnsRequest",
    "Grade",
    "HttpRequest",
    "IcmpError",
    "Loss",
    "Observer",
    "Outcome",
    "Part",
    "PingRequest",
    "Prober",
    "Request",
    "Responder",
    "Result",
    "Services",
    "Sighting",
    "TcpRequest",
    "TracerouteRequest",
    "UdpRequest",
    "open_observer",
]


def __getattr__(name: str) -> object:
    """Load the module that has `name` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
