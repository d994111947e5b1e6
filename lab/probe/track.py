"""Tell which probe a packet belongs to, through NAT and tunnels, by what neither changes.

An echo request and a datagram are known by a cookie in their payload (masquerading changes an echo's identifier as it does a port), a DNS
message by its transaction, a TCP connection by its initial sequence number and its timestamps, which are learned where its SYN leaves its
sender. An ICMP error belongs to the probe whose packet it quotes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from lab.kernel.packet import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, TcpFlags
from lab.probe.glance import Glance, is_echo_request, ports, quoted, timestamps
from lab.probe.outcome import Part

COOKIE: Final = b"lab:"
COOKIE_SIZE: Final = 8
DNS_PORT: Final = 53
_HEADER: Final = 8
"""Length of a UDP header and of an ICMP echo header."""
_WINDOW: Final = 1 << 11
"""How many bytes a client of the lab sends over one connection at most."""
_WHILE: Final = 1 << 20
"""How far the clock of a connection's timestamps may have gone on since its SYN, in milliseconds."""
_WORD: Final = 0xFFFFFFFF
_SYN: Final = int(TcpFlags.SYN)
_ACK: Final = int(TcpFlags.ACK)


def cookie(number: int) -> bytes:
    """Return the first bytes of a payload that bear a probe's number."""
    return COOKIE + number.to_bytes(COOKIE_SIZE - len(COOKIE), "big")


@dataclass(slots=True)
class Tracker:
    """Knows the marks of the probes under way."""

    server_ports: frozenset[int]
    """Ports that servers of the lab listen on: a datagram to one of them is a request, also where DNAT gave it another port."""
    _cookies: dict[bytes, int] = field(default_factory=dict)
    _echoes: dict[bytes, int] = field(default_factory=dict)
    _ports: dict[int, frozenset[int]] = field(default_factory=dict)
    _transactions: dict[bytes, int] = field(default_factory=dict)
    _openings: dict[tuple[str, int], int] = field(default_factory=dict)
    _sequences: dict[int, list[Opening]] = field(default_factory=dict)

    def echo(self, probe: int, identifier: int, sequence: int) -> None:
        """Expect an echo request and reply: known by its cookie, or, too short for one, by what NAT may change."""
        self._cookies[cookie(probe)] = probe
        self._echoes[identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")] = probe

    def datagram(self, probe: int, to_ports: Iterable[int]) -> None:
        """Expect datagrams with the probe's cookie to any of these ports, and their answers."""
        self._cookies[cookie(probe)] = probe
        self._ports[probe] = frozenset(to_ports)

    def transaction(self, probe: int, identifier: int) -> None:
        """Expect DNS messages with a transaction identifier."""
        self._transactions[identifier.to_bytes(2, "big")] = probe

    def connection(self, probe: int, namespace: str, port: int) -> None:
        """Expect a TCP connection from a local port of a namespace."""
        self._openings[namespace, port] = probe

    def openings(self, probe: int) -> tuple[Opening, ...]:
        """Return what was learned of a probe's connection when it began."""
        return tuple(opening for entries in self._sequences.values() for opening in entries if opening.probe == probe)

    def resume(self, probe: int, openings: Iterable[Opening]) -> None:
        """Expect further packets of a connection that began with these, now as another probe's."""
        for opening in openings:
            self._learn(replace(opening, probe=probe))

    def identify(self, namespace: str, data: bytes, look: Glance) -> tuple[int, Part] | None:
        """Return whose packet this is and which part of the probe, or None when it is no probe's."""
        about = quoted(data, look)
        if about is not None:
            found = self._owner(namespace, data, about, learns=False)
            return (found[0], "icmp-error") if found else None
        return self._owner(namespace, data, look, learns=not look.encapsulated)

    def _owner(self, namespace: str, data: bytes, look: Glance, *, learns: bool) -> tuple[int, Part] | None:
        if look.protocol in (PROTOCOL_ICMP, PROTOCOL_ICMPV6):
            return self._echo(data, look)
        if look.protocol == PROTOCOL_UDP:
            return self._datagram(data, look)
        if look.protocol == PROTOCOL_TCP:
            return self._segment(namespace, data, look, learns=learns)
        return None

    def _echo(self, data: bytes, look: Glance) -> tuple[int, Part] | None:
        request = is_echo_request(data, look)
        if request is None:
            return None
        at = look.start + _HEADER
        probe = self._cookies.get(data[at : at + COOKIE_SIZE], self._echoes.get(data[at - 4 : at]))
        return None if probe is None else (probe, "request" if request else "answer")

    def _datagram(self, data: bytes, look: Glance) -> tuple[int, Part] | None:
        source, destination = ports(data, look)
        at = look.start + _HEADER
        probe = self._cookies.get(data[at : at + COOKIE_SIZE])
        if probe is not None:
            to_server = destination in self.server_ports or destination in self._ports[probe]
            return (probe, "request" if to_server else "answer")
        if DNS_PORT in (source, destination):
            probe = self._transactions.get(data[at : at + 2])
            if probe is not None:
                return (probe, "request" if destination == DNS_PORT else "answer")
        return None

    def _segment(self, namespace: str, data: bytes, look: Glance, *, learns: bool) -> tuple[int, Part] | None:
        at = look.start
        sequence = int.from_bytes(data[at + 4 : at + 8], "big")
        flags = data[at + 13] if len(data) > at + 13 else 0  # an old router quotes eight bytes of the header only
        if learns and flags & (_SYN | _ACK) == _SYN:
            opener = self._openings.get((namespace, ports(data, look)[0]))
            if opener is not None:
                self._learn(Opening(opener, sequence, timestamps(data, look)))
        probe = self._by_sequence(sequence, data, look, echoed=False)
        if probe is not None:
            return (probe, "request")
        if flags & _ACK:
            probe = self._by_sequence((int.from_bytes(data[at + 8 : at + 12], "big") - 1) & _WORD, data, look, echoed=True)
            if probe is not None:
                return (probe, "answer")
        return None

    def _learn(self, opening: Opening) -> None:
        entries = self._sequences.setdefault(opening.sequence // _WINDOW, [])
        if opening not in entries:
            entries.append(opening)

    def _by_sequence(self, sequence: int, data: bytes, look: Glance, *, echoed: bool) -> int | None:
        """Return the probe whose client began its connection at most one window before this sequence number, and not long ago."""
        here = sequence // _WINDOW
        for bucket in (here, (here - 1) % ((_WORD + 1) // _WINDOW)):
            for opening in self._sequences.get(bucket, ()):
                if (sequence - opening.sequence) & _WORD < _WINDOW and opening.fits(timestamps(data, look), echoed=echoed):
                    return opening.probe
        return None


@dataclass(frozen=True, slots=True)
class Opening:
    """The SYN of a probe: its sequence number, and its timestamps (RFC 7323), which keep it apart from another's nearby."""

    probe: int
    sequence: int
    clocks: tuple[int, int] | None

    def fits(self, clocks: tuple[int, int] | None, *, echoed: bool) -> bool:
        """Whether a segment's timestamps go on from the SYN's; one that bears none (a reset, a short quotation) may be its."""
        return clocks is None or self.clocks is None or (clocks[echoed] - self.clocks[0]) & _WORD < _WHILE
