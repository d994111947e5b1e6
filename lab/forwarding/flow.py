"""What somebody wants to send: the question a trace answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from lab.errors import InputError, did_you_mean
from lab.forwarding.client import Client
from lab.forwarding.journey import ANY, Sending
from lab.forwarding.network import Network
from lab.forwarding.packet import (
    BY_THE_WAY,
    ECHO_REQUEST,
    ECHO_REQUEST_V6,
    ICMP_HEADER,
    ICMPV6,
    IP_HEADER,
    PROTOCOLS,
    TCP,
    TCP_HEADER,
    UDP_HEADER,
    Address,
    Icmp,
    Packet,
    TcpFlags,
    ip_header,
)

SYN_OPTIONS = 20
"""Bytes of the options Linux puts into a SYN: segment size, SACK, time stamp, window scale (tcp_syn_options)."""
DATA_OPTIONS = 12
"""Bytes of the time stamp option in every later segment."""
SELECTIVE_OPTIONS = DATA_OPTIONS + 12
"""Bytes of the options of an acknowledgement that names one block (RFC 2018, 3)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A conversation somebody begins.

    `source` is a namespace, or an address that some namespace has (the socket is bound to it then). `size` is the length of
    the whole IP packet in bytes; for TCP that of the first data segment, if the segment size allows it.
    """

    source: str | Address
    destination: Address
    protocol: Literal["icmp", "tcp", "udp"] = "icmp"
    destination_port: int = 0
    source_port: int = 40000
    """For ICMP the identifier."""
    size: int | None = None
    answer_size: int | None = None
    """Bytes of the IP packet that answers; as long as the question where it is not said."""
    df: bool | None = None
    """True: never fragment (EMSGSIZE where it does not fit). False: no DF. None: as sockets do, path MTU discovery."""
    ttl: int | None = None
    tos: int = 0
    mark: int = 0
    source_address: Address | None = None
    """The address the socket is bound to."""
    device: str | None = None
    """The device the socket is bound to (SO_BINDTODEVICE)."""
    uid: int = 0
    connected: bool | None = None
    """Whether the socket is connected before it sends; TCP is, UDP is unless said otherwise, ping is not."""


_SIZES = {"icmp": 84, "udp": 60, "tcp": 160}
"""Bytes where a flow does not say: ping's 56 of data; 32 of data; a short request."""


def resolve_source(flow: Flow, network: Network) -> tuple[str, Address | None]:
    """Return the namespace a flow begins in, and the address its socket is bound to.

    Raises InputError for a namespace or an address that nobody has.
    """
    if isinstance(flow.source, IPv4Address | IPv6Address):
        owner = network.state.owner(flow.source)
        if owner is None:
            raise InputError(f"no namespace has the address {flow.source}")
        return owner.name, flow.source
    if flow.source not in network.state.namespaces:
        raise InputError(f"there is no namespace {flow.source!r}", hint=did_you_mean(flow.source, list(network.state.namespaces)))
    return flow.source, flow.source_address


def size_of(flow: Flow) -> int:
    """Return the length of the packet that carries the question."""
    header = ip_header(flow.destination)
    least = {"icmp": header + ICMP_HEADER, "udp": header + UDP_HEADER, "tcp": header + TCP_HEADER + DATA_OPTIONS}
    return max(flow.size or _SIZES[flow.protocol] + header - IP_HEADER, least[flow.protocol])


def _myself(version: int, bound: Address | None) -> Address:
    """Return whom a socket means that sends to no address at all: this host (`ip_route_output_key_hash_rcu`; `rawv6_sendmsg`)."""
    if version == 6:
        return IPv6Address("::1")
    return bound or IPv4Address("127.0.0.1")


def first_sending(flow: Flow, network: Network) -> tuple[Sending, Client]:
    """Return the first packet of a flow, and the socket that waits for what comes of it."""
    name, bound = resolve_source(flow, network)
    version = flow.destination.version
    remote = flow.destination if int(flow.destination) else _myself(version, bound)
    protocol = ICMPV6 if version == 6 and flow.protocol == "icmp" else PROTOCOLS[flow.protocol]
    ttl = BY_THE_WAY if flow.ttl is None else flow.ttl
    nobody = ANY if version == 4 else IPv6Address(0)
    packet = Packet(bound or nobody, remote, protocol, ttl=ttl, tos=flow.tos, size=size_of(flow), mark=flow.mark)
    client = Client(name, protocol, bound or nobody, flow.source_port, remote, flow.destination_port, flow.mark)
    if flow.protocol == "icmp":
        packet = packet._replace(icmp=Icmp(ECHO_REQUEST if version == 4 else ECHO_REQUEST_V6, 0, flow.source_port, version=version))
        client = replace(client, remote_port=0)
    else:
        packet = packet._replace(source_port=flow.source_port, destination_port=flow.destination_port)
    df = flow.df
    if protocol == TCP:
        packet = packet._replace(size=packet.header + TCP_HEADER + SYN_OPTIONS, tcp=TcpFlags.SYN)
        df = None if df is None else df
        client = replace(client, unsettled=version == 6 and bound is None)
    connected = flow.connected if flow.connected is not None else flow.protocol != "icmp"
    return Sending(name, packet, "request", flow.device, connected, df=df, uid=flow.uid), client
