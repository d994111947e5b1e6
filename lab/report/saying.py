"""What a person types to send a probe, and what its sender reads on the screen then."""

from __future__ import annotations

from typing import Final

from lab.forwarding import Flow
from lab.probe import Outcome, PingRequest, TcpRequest
from lab.scenario.questions import seen_in_words

HEADERS: Final = 28
"""Bytes of the IP and ICMP headers that ping(8) does not count."""
USUAL: Final = 84
"""Bytes of the packet that ping(8) sends unless it is told otherwise."""
_PING: Final = {
    "net-unreachable": "Destination Net Unreachable",
    "host-unreachable": "Destination Host Unreachable",
    "protocol-unreachable": "Destination Protocol Unreachable",
    "port-unreachable": "Destination Port Unreachable",
    "fragmentation-needed": "Frag needed and DF set",
    "net-prohibited": "Destination Net Prohibited",
    "host-prohibited": "Destination Host Prohibited",
    "admin-prohibited": "Packet filtered",
    "ttl-exceeded": "Time to live exceeded",
}
"""What ping(8) of iputils calls ICMP errors."""


def typed(flow: Flow) -> str:
    """Return the command that sends the first packet of a flow."""
    address, port = flow.destination, flow.destination_port
    if flow.protocol == "icmp":
        size = f" -s {flow.size - HEADERS}" if flow.size not in (None, USUAL) and flow.size is not None else ""
        return f"ping -c 1{size}{' -M do' if flow.df else ''} {address}"
    if flow.protocol == "tcp":
        return f"curl --connect-timeout 5 http://{address}{'' if port == 80 else f':{port}'}/"
    return f"nc -u -w 1 {address} {port}"


def observed(outcome: Outcome) -> str:
    """Return what the sender of a probe saw, in the words of the tool that sends such probes where it has any."""
    icmp = outcome.icmp
    match outcome.request:
        case PingRequest(target=target):
            if outcome.result == "reply":
                return f"64 bytes from {target}: icmp_seq=1 ttl={outcome.ttl}" if outcome.ttl is not None else f"a reply from {target}"
            if icmp is not None:
                return f"From {icmp.source} icmp_seq=1 {_PING.get(icmp.name, icmp.name)}" + (f" (mtu = {icmp.mtu})" if icmp.mtu else "")
            if outcome.result == "silence":
                return "1 packets transmitted, 0 received, 100% packet loss"
        case TcpRequest():
            if outcome.result == "silence":
                return "no answer: the connection timed out"
            if outcome.result == "refused":
                return "connection refused"
            if outcome.result == "unreachable":
                return "no route to host" if icmp is None else f"no route to host: {icmp.name} from {icmp.source}"
    return seen_in_words(outcome)
