"""The sockets of a conversation, and which packets they take."""

from __future__ import annotations

from dataclasses import dataclass

from lab.forwarding.packet import Address, Packet


@dataclass(frozen=True, slots=True)
class Client:
    """A socket of a conversation: that of whoever began it, or the one that answers."""

    namespace: str
    protocol: int
    address: Address
    """The source it sends from; unspecified before its first packet."""
    port: int
    """For ICMP the identifier."""
    remote: Address
    remote_port: int = 0
    mark: int = 0
    """The mark of the packets it sends (SO_MARK)."""
    unsettled: bool = False
    """A TCP socket of IPv6 keeps the way that was found before it had a source (`ip6_dst_store`)."""
    answering: bool = False
    """This is the other side: it takes reports about its answers; what it is asked is the listener's business."""

    def takes(self, packet: Packet) -> bool:
        """Whether a packet that was delivered in the namespace is for this socket."""
        icmp = packet.icmp
        if icmp is not None and icmp.is_error:
            quoted = icmp.quoted
            return quoted is not None and quoted.protocol == self.protocol and self._sent(quoted)
        if self.answering:
            return False
        if icmp is not None:
            # A ping socket looks at the identifier only, so it also takes an answer from somebody else.
            return self.protocol == packet.protocol and icmp.answers and icmp.identifier == self.port
        return (
            packet.protocol == self.protocol
            and packet.destination_port == self.port
            and packet.destination == self.address
            and packet.source == self.remote
            and packet.source_port == self.remote_port
        )

    def _sent(self, quoted: Packet) -> bool:
        if quoted.destination != self.remote:
            return False
        if quoted.icmp is not None:
            return quoted.icmp.identifier == self.port
        return quoted.source == self.address and quoted.source_port == self.port and quoted.destination_port == self.remote_port
