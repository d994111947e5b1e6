"""Why packets die, and what the kernel says of it: its drop reason, its counter, its answer to a route query.

Measured on Linux 6.18, one cause at a time; the kernel tests repeat the measurement row by row. A cause without a counter
moves none of the standard ones, so counters alone cannot find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be observed of one cause in the namespace where the packet dies."""

    text: str
    skb_reason: str | None = None
    """Name in `enum skb_drop_reason`, without its prefix; None where no packet is freed as dropped."""
    counter: str | None = None
    """As nstat(8) prints it."""
    oracle: str | None = None
    """What RTM_GETROUTE for the same packet answers: an errno name, or None when it finds a route."""


class Reason(Enum):
    """The cause of a packet's death."""

    NO_ROUTE = Facts("no route", "IP_INNOROUTES", "IpExtInNoRoutes", "ENETUNREACH")
    BLACKHOLE = Facts("blackhole route", "NOT_SPECIFIED", None, "EINVAL")
    UNREACHABLE = Facts("unreachable route", "NOT_SPECIFIED", None, "EHOSTUNREACH")
    PROHIBIT = Facts("prohibit route", "NOT_SPECIFIED", None, "EACCES")
    RULE_BLACKHOLE = Facts("blackhole rule", "NOT_SPECIFIED", None, "EINVAL")
    RULE_UNREACHABLE = Facts("unreachable rule", "IP_INNOROUTES", "IpExtInNoRoutes", "ENETUNREACH")
    RULE_PROHIBIT = Facts("prohibit rule", "NOT_SPECIFIED", None, "EACCES")
    RP_FILTER = Facts("reverse path filter", "IP_RPFILTER", "TcpExtIPReversePathFilter", "EINVAL")
    LOCAL_SOURCE = Facts("the source is an address of this namespace", "IP_LOCAL_SOURCE", None, "EINVAL")
    INVALID_SOURCE = Facts("the source is no host's address", "IP_INVALID_SOURCE", None, "EINVAL")
    INVALID_DESTINATION = Facts("the destination is no address to send to", "IP_INVALID_DEST", None, "EINVAL")
    LOCALNET = Facts("a loopback address arrived from outside", "IP_LOCALNET", None, "EINVAL")
    NOT_FORWARDING = Facts("forwarding is off on the arrival device", "IP_INADDRERRORS", "IpInAddrErrors", "EHOSTUNREACH")
    NOT_FORWARDING_V6 = Facts("IPv6 forwarding is off", None, "Ip6InAddrErrors")
    NO_IPV6 = Facts("IPv6 is off on the arrival device", "IPV6DISABLED", "Ip6InDiscards")
    TTL = Facts("time to live ran out", "IP_INHDR", "IpInHdrErrors")
    TOO_BIG = Facts("larger than the MTU, and it may not be fragmented", "PKT_TOO_BIG", "IpFragFails")
    NETFILTER = Facts("a rule set drops it", "NETFILTER_DROP")
    REJECTED = Facts("a rule set rejects it", "NETFILTER_DROP")
    NAT = Facts("its address could not be translated", "NETFILTER_DROP")
    NEIGHBOUR = Facts("the neighbour does not answer", "NEIGH_FAILED")
    LINK_DOWN = Facts("the device is down", "DEV_READY")
    IMPAIRED = Facts("the device loses all it is to send")
    NO_CARRIER = Facts("the other end of the cable is missing or down", "NOT_SPECIFIED")
    TOO_LONG_FOR_PEER = Facts("the frame is longer than the other end accepts", "NOT_SPECIFIED")
    OTHER_HOST = Facts("the frame is addressed to another MAC", "OTHERHOST")
    NO_PORT = Facts("no other port of the bridge takes the frame", "NOT_SPECIFIED")
    TOO_LONG_FOR_BRIDGE = Facts("the frame is longer than the bridge port's MTU", "NOT_SPECIFIED")
    NO_FDB_ENTRY = Facts("the VXLAN device has no entry for this MAC", "NO_TX_TARGET")
    TUNNEL_NO_ROUTE = Facts("no way to the remote VTEP", "NOT_SPECIFIED")
    NO_CHECK_SUM = Facts("a datagram without check sum, which VXLAN over IPv6 takes only if told", "UDP_CSUM", "Udp6InCsumErrors")
    UNKNOWN_VNI = Facts("no VXLAN device with this VNI and port", "VXLAN_VNI_NOT_FOUND")
    OWN_FRAME = Facts("the VXLAN device's own frame came back", "LOCAL_MAC")
    CLOSED_PORT = Facts("nothing listens on this port", "NO_SOCKET")
    UNKNOWN_PROTOCOL = Facts("no handler for this protocol", "IP_NOPROTO")
    IGNORED_ECHO = Facts("echo requests are ignored here", "NOT_SPECIFIED")
    STILL_OWNED = Facts("it bears the socket that made it, and such is not forwarded", "NOT_SPECIFIED")
    UNSOLICITED = Facts("nobody here waits for it", "NOT_SPECIFIED")
    NO_SOURCE = Facts("the sender has no such source address", None, None, "EINVAL")
    FORBIDDEN = Facts("the sender may not send there", None, None, "EACCES")
    ARP_NO_ROUTE = Facts("no answer: the address asked for leads nowhere from here")
    ARP_NOT_MINE = Facts("no answer: the address asked for is not here")
    ARP_IGNORED = Facts("no answer: arp_ignore")
    ARP_OFF = Facts("no answer: the device is without ARP")
    ARP_FILTERED = Facts("no answer: arp_filter")
    ARP_REFUSED = Facts("no answer: the source check refuses the asker's address")

    @property
    def text(self) -> str:
        """What a person calls it."""
        return self.value.text

    @property
    def skb_reason(self) -> str | None:
        """The kernel's drop reason."""
        return self.value.skb_reason

    @property
    def counter(self) -> str | None:
        """The standard counter that moves."""
        return self.value.counter
