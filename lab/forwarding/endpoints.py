"""The two ends of a conversation: what client and server do with what reaches them, and what they repeat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Literal

from lab.forwarding.causes import Reason
from lab.forwarding.client import Client
from lab.forwarding.flow import DATA_OPTIONS, SELECTIVE_OPTIONS, SYN_OPTIONS, Flow, size_of
from lab.forwarding.journey import Sending
from lab.forwarding.memory import Memory
from lab.forwarding.packet import BY_THE_WAY, ICMPV6, TCP, TCP_HEADER, Address, Packet, TcpFlags
from lab.forwarding.results import Delivered, Dropped, Outcome, Purpose, Trace, Unknown
from lab.forwarding.world import World
from lab.state import Listener, Program

MOST_TRIES = 6
"""How often a TCP sender makes its segments smaller, or repeats one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The receiver's view: who seemed to ask."""

    namespace: str
    by: Listener | Program | None
    """The socket, or None where the kernel answered."""
    source: Address
    source_port: int
    """For ICMP the identifier, which translation may have changed."""
    destination: Address
    destination_port: int
    ttl: int
    mark: int
    size: int


@dataclass(slots=True)
class Progress:
    """What has happened so far."""

    flow: Flow
    world: World
    client: Client
    outcome: Outcome | None = None
    seen: Seen | None = None
    unknown: Unknown | None = None
    connected: bool = False
    largest: int = 1 << 16
    """The longest TCP segment, headers included, that the sender still tries."""
    tries: int = 0
    answer: Packet | None = None
    """What the server sent in answer."""
    answer_tries: int = 0
    answer_size: int = 0
    """Bytes of the whole answer in one packet, headers included."""
    asked: Sending | None = None
    """The last segment of the question, until it is acknowledged."""
    lost: tuple[Sending, Memory | None] | None = None
    """A segment that nobody acknowledges, and what the network knew of its ways when it was sent; None repeats it in any case."""
    probed: frozenset[Purpose] = frozenset()
    """What was several segments of which the last was sent once more, to learn whether it arrives."""
    missing: frozenset[Purpose] = frozenset()
    """What is known to be missing since its last segment was acknowledged."""
    several: bool = False
    """The question was several segments from the start."""
    before_answer: Memory | None = None
    """What the network knew of its ways before an answer that was lost."""
    acknowledged: bool = False
    """The server's kernel has acknowledged the question on its own."""
    server_gone: bool = False
    """A reset ended the connection at the server: whatever comes for it is answered by a reset."""
    client_mss: int = 536
    server_mss: int = 536


# -- how the two sides react ---------------------------------------------------------------------------------------


def react(progress: Progress, sending: Sending, traced: Trace) -> list[Sending]:
    """Return what the ends send because of how a packet ended."""
    verdict = traced.verdict
    if isinstance(verdict, Unknown):
        progress.unknown = progress.unknown or verdict
        return []
    if isinstance(verdict, Dropped):
        _local_failure(progress, sending, verdict, traced)
        return []
    packet = verdict.packet
    if not isinstance(packet, Packet):
        return []
    if sending.probe:
        return _at_end_of_probe(progress, sending, verdict.namespace, packet)
    if isinstance(verdict.to, Client):
        return _answer_again(progress, verdict.namespace, packet) if verdict.to.answering else _at_client(progress, packet)
    return _at_server(progress, sending, verdict, packet)


def time_out(progress: Progress) -> list[Sending]:
    """TCP repeats what was not acknowledged: in smaller segments where the path MTU has become smaller meanwhile, or as it was.

    Before all that goes the last of several segments (`tcp_send_loss_probe`). Where the server has closed the connection, it says so. Where
    the last segment is acknowledged, those before it are missing, and go again at once, in one train if they are several
    (`tcp_xmit_retransmit_queue`). Else a timer repeats one segment, no train, so every device looks at its length. Where the network has
    learned nothing new about its ways meanwhile the repetition would end as the first did, and is left out.
    """
    if progress.server_gone and progress.several and progress.asked is not None and progress.outcome is None:
        asked, progress.asked = progress.asked, None
        return [_last_segment(asked, size_of(progress.flow))]
    if progress.lost is None or progress.outcome is not None or progress.tries + progress.answer_tries > MOST_TRIES:
        return []
    sending, known = progress.lost
    packet, purpose = sending.packet, sending.purpose
    whole = size_of(progress.flow) if purpose == "data" else progress.answer_size
    if packet.train and purpose not in progress.probed:
        progress.probed |= {purpose}
        return [_last_segment(sending, whole)]
    progress.lost = None
    mtu = _mtu_of(progress, sending)
    is_missing = purpose in progress.missing
    progress.missing -= {purpose}
    if mtu < packet.size and purpose == "data":
        return [replace(again, packet=again.packet._replace(train=is_missing)) for again in _smaller(progress, mtu)]
    if mtu >= packet.size and progress.world.memory.ways() == known:
        return []
    several = is_missing and whole - _last_length(packet, whole) > min(mtu, packet.size) - packet.header - TCP_HEADER - DATA_OPTIONS
    again = replace(sending, packet=packet._replace(size=min(mtu, packet.size), train=several))
    if purpose == "data":
        progress.tries += 1
    else:
        progress.answer_tries += 1
        progress.answer = again.packet
    return [again]


def _last_segment(sending: Sending, whole: int) -> Sending:
    """Return the last of the segments of a train that bears so many bytes, headers included as if they were one."""
    packet = sending.packet
    return replace(sending, packet=packet._replace(size=_last_length(packet, whole), train=False), probe=True)


def _last_length(packet: Packet, whole: int) -> int:
    headers = packet.header + TCP_HEADER + DATA_OPTIONS
    return headers + ((whole - headers) % (packet.size - headers) or packet.size - headers)


def _at_end_of_probe(progress: Progress, sending: Sending, namespace: str, packet: Packet) -> list[Sending]:
    """The last of several segments is there, or its acknowledgement, which says that the others are not."""
    if sending.purpose in ("data", "answer"):
        if sending.purpose == "data" and progress.server_gone:
            return [_reset(progress, namespace, packet)]
        bare = _mirrored(progress, namespace, packet, packet.header + TCP_HEADER + SELECTIVE_OPTIONS)._replace(tcp=TcpFlags.ACK)
        return [Sending(namespace, bare, "acknowledgement" if sending.purpose == "data" else "handshake", df=None, probe=True)]
    if progress.lost is not None and progress.lost[0].namespace == namespace:
        progress.missing |= {progress.lost[0].purpose}
    return []


def _local_failure(progress: Progress, sending: Sending, verdict: Dropped, traced: Trace) -> None:
    """A packet of the sender that did not even leave: its system call fails."""
    if sending.namespace != progress.client.namespace or sending.purpose not in ("request", "data") or len(traced.hops) != 1:
        return
    # TCP does not care what becomes of its SYN once there was a way for it (`tcp_connect`): a way that rules gave it later may fail.
    ways = (step.decision for _, step in reversed(traced.steps) if progress.client.protocol != TCP or step.stage != "rerouting")
    route = next((decision for decision in ways if hasattr(decision, "errno")), None)
    errno = getattr(route, "errno", None)
    if verdict.stage == "mtu":
        errno = "EMSGSIZE"
    tunnelled = any(step.stage == "encapsulation" for _, step in traced.steps)
    if verdict.stage == "fragmentation" and progress.client.protocol != TCP and not tunnelled:
        errno = "EMSGSIZE"
    if (
        errno is None
        and not tunnelled
        and verdict.stage in ("output", "postrouting")
        and verdict.reason in (Reason.NETFILTER, Reason.REJECTED, Reason.NAT)
    ):
        errno = "EPERM" if progress.client.protocol != TCP else None
    if errno is None and not tunnelled and _comes_back(progress, verdict, traced):
        errno = "ENOBUFS"
    if errno is not None and progress.outcome is None:
        progress.outcome = Outcome("local error", errno=errno, why=verdict.text)


def _comes_back(progress: Progress, verdict: Dropped, traced: Trace) -> bool:
    """Whether a raw socket of IPv6 is told what a device at once refused to send; others are not (`rawv6_push_pending_frames`)."""
    at_once = not traced.resolutions and not any(step.stage == "bridge" for _, step in traced.steps)
    return at_once and progress.client.protocol == ICMPV6 and verdict.reason in (Reason.TOO_LONG_FOR_PEER, Reason.IMPAIRED)


def _at_client(progress: Progress, packet: Packet) -> list[Sending]:
    icmp = packet.icmp
    if icmp is not None and icmp.is_error:
        if progress.client.protocol == TCP and icmp.too_big:
            return _ask_smaller(progress)
        if progress.outcome is None:
            kind: Literal["refused", "error"] = "refused" if icmp.refuses else "error"
            progress.outcome = Outcome(kind, packet.source, icmp.type, icmp.code, icmp.mtu, connected=progress.connected)
        return []
    if packet.protocol == TCP and TcpFlags.RST in packet.tcp:
        progress.outcome = progress.outcome or Outcome("refused", packet.source, connected=progress.connected)
        return []
    if packet.protocol == TCP and TcpFlags.SYN in packet.tcp:
        if progress.connected:
            return []
        progress.connected = True
        progress.client_mss = packet.mss or 536
        return [_segment(progress, TcpFlags.ACK, "handshake", packet.header + TCP_HEADER + DATA_OPTIONS), _question(progress)]
    if packet.protocol == TCP and TcpFlags.PSH not in packet.tcp:
        progress.asked = None
    else:
        progress.outcome = progress.outcome or Outcome("reply", packet.source, connected=progress.connected)
    return []


def _ask_smaller(progress: Progress) -> list[Sending]:
    """TCP hears of an MTU. What counts is that of its way now, which the report need not have changed (`tcp_v4_mtu_reduced`)."""
    asked = progress.asked
    if asked is None:
        return []
    mtu = _mtu_of(progress, asked)
    return _smaller(progress, mtu) if mtu < asked.packet.size else []


def _mtu_of(progress: Progress, sending: Sending) -> int:
    """Return the MTU of the way that what is sent will take."""
    packet = sending.packet._replace(source=IPv6Address("::")) if sending.unsettled else sending.packet
    return progress.world.mtu_for(progress.world.network.node(sending.namespace), packet, sending.device)


def _smaller(progress: Progress, mtu: int) -> list[Sending]:
    """Send the data again in smaller segments."""
    progress.tries += 1
    if not progress.connected or progress.tries > MOST_TRIES or mtu >= progress.largest:
        return []
    progress.largest = mtu
    progress.lost = None
    return [_question(progress)]


def _question(progress: Progress) -> Sending:
    wanted = size_of(progress.flow)
    sending = _segment(progress, TcpFlags.ACK | TcpFlags.PSH, "data", wanted)
    mtu = _mtu_of(progress, sending)
    room = min(progress.client_mss + sending.packet.header + TCP_HEADER, mtu, progress.largest)
    if not progress.tries:
        progress.several = wanted > room
    return replace(sending, packet=sending.packet._replace(size=min(wanted, room), train=wanted > room))


def _segment(progress: Progress, flags: TcpFlags, purpose: Literal["handshake", "data"], size: int) -> Sending:
    client, flow = progress.client, progress.flow
    ttl = BY_THE_WAY if flow.ttl is None else flow.ttl
    packet = Packet(
        client.address,
        client.remote,
        TCP,
        ttl=ttl,
        tos=flow.tos,
        size=size,
        source_port=client.port,
        destination_port=client.remote_port,
        tcp=flags,
        mark=flow.mark,
    )
    return Sending(client.namespace, packet, purpose, flow.device, df=None, uid=flow.uid, unsettled=client.unsettled)


def _at_server(progress: Progress, sending: Sending, verdict: Delivered, packet: Packet) -> list[Sending]:
    """A socket, or the kernel, took a packet; let the socket answer."""
    if sending.purpose == "reset":
        _end_at_server(progress, verdict.namespace, packet)
        return []
    if sending.purpose not in ("request", "data", "handshake") or sending.namespace != progress.client.namespace:
        return []
    by = verdict.to if isinstance(verdict.to, Listener | Program) else None
    if progress.seen is None:
        port = packet.source_port if packet.icmp is None else packet.icmp.identifier
        progress.seen = Seen(
            verdict.namespace,
            by,
            packet.source,
            port,
            packet.destination,
            packet.destination_port,
            packet.ttl,
            packet.mark,
            packet.size,
        )
    if by is None or packet.icmp is not None:
        return []
    if progress.server_gone:
        return [_reset(progress, verdict.namespace, packet)]
    if packet.protocol == TCP:
        return _tcp_answer(progress, verdict.namespace, by, packet)
    if isinstance(by, Listener) and by.behaviour == "sink":
        return []
    size = progress.flow.answer_size or packet.size
    reply = _mirrored(progress, verdict.namespace, packet, size)
    return [Sending(verdict.namespace, reply, "reply", df=None)]


def _end_at_server(progress: Progress, namespace: str, packet: Packet) -> None:
    """Let a reset end the connection where it was accepted, as that of a client to which the answer came from a stranger.

    What the client then repeats is for nobody any more, and it may hear so.
    """
    server = next((one for one in progress.world.sockets if one.answering), None)
    mine = (packet.destination, packet.destination_port, packet.source, packet.source_port)
    if server is None or namespace != server.namespace or mine != (server.address, server.port, server.remote, server.remote_port):
        return
    progress.server_gone = True
    if progress.before_answer is not None:
        # The reset for the acknowledgement was there before the program answered, so the answer set nothing off.
        progress.world.memory.path_mtu = dict(progress.before_answer.path_mtu)
    progress.lost = None if progress.asked is None else (progress.asked, None)


def _reset(progress: Progress, namespace: str, packet: Packet) -> Sending:
    """The reset that answers a segment for no connection; it bears the segment's TOS (`tcp_v4_send_reset`)."""
    mark = packet.mark if progress.world.network.node(namespace).settings.reflects_mark(packet.version) else 0
    reset = _mirrored(progress, namespace, packet, packet.header + TCP_HEADER)
    return Sending(namespace, reset._replace(tos=packet.tos, df=True, mark=mark, tcp=TcpFlags.RST | TcpFlags.ACK), "reset", df=True)


def _tcp_answer(progress: Progress, namespace: str, by: Listener | Program, packet: Packet) -> list[Sending]:
    if TcpFlags.SYN in packet.tcp:
        progress.server_mss = packet.mss or 536
        server = Client(namespace, TCP, packet.destination, packet.destination_port, packet.source, packet.source_port, answering=True)
        progress.world.sockets = (progress.client, server)
        reply = _mirrored(progress, namespace, packet, packet.header + TCP_HEADER + SYN_OPTIONS)._replace(tcp=TcpFlags.SYN | TcpFlags.ACK)
        return [Sending(namespace, reply, "reply", df=None)]
    if TcpFlags.PSH not in packet.tcp or (isinstance(by, Listener) and by.behaviour == "sink"):
        return []
    # Of one segment that had to be repeated in smaller ones, the first is echoed before the rest is there. Several follow in one go.
    wanted = progress.flow.answer_size or (size_of(progress.flow) if packet.train or progress.several else packet.size)
    progress.answer_size = wanted
    answer = _mirrored(progress, namespace, packet, wanted)
    mtu = progress.world.mtu_for(progress.world.network.node(namespace), answer)
    room = min(progress.server_mss + packet.header + TCP_HEADER, mtu)
    progress.answer = answer._replace(tcp=TcpFlags.ACK | TcpFlags.PSH, size=min(wanted, room), train=wanted > room)
    return [Sending(namespace, progress.answer, "answer", df=None)]


def acknowledgement(progress: Progress, sending: Sending, traced: Trace, known: Memory | None) -> list[Sending]:
    """The server's kernel has acknowledged the question at once, before the program answered (`tcp_in_quickack_mode`).

    Where the answer gets through, this says nothing more; where it is lost, so short a segment may still arrive, perhaps at a stranger's.
    `known` is what the network knew before the answer was sent.
    """
    if sending.purpose != "answer" or progress.acknowledged or not isinstance(traced.verdict, Dropped):
        return []
    progress.acknowledged, progress.before_answer = True, known
    packet = sending.packet
    bare = packet._replace(size=packet.header + TCP_HEADER + DATA_OPTIONS, tcp=TcpFlags.ACK, train=False)
    return [replace(sending, packet=bare, purpose="acknowledgement")]


def _answer_again(progress: Progress, namespace: str, packet: Packet) -> list[Sending]:
    """The server hears of an MTU and sends its answer again, smaller."""
    icmp, answer = packet.icmp, progress.answer
    if icmp is None or answer is None or not icmp.too_big:
        return []
    progress.answer_tries += 1
    mtu = progress.world.mtu_for(progress.world.network.node(namespace), answer)
    if mtu >= answer.size or progress.answer_tries > MOST_TRIES:
        return []
    progress.answer = answer._replace(size=mtu, train=True)
    progress.lost = None
    return [Sending(namespace, progress.answer, "answer", df=None)]


def _mirrored(progress: Progress, namespace: str, packet: Packet, size: int) -> Packet:
    """The answer of a socket to a packet, from the address and port it was sent to.

    `fwmark_reflect` is for what the kernel answers by itself; a TCP socket takes over the mark with `tcp_fwmark_accept`.
    """
    settings = progress.world.network.node(namespace).settings
    return Packet(
        packet.destination,
        packet.source,
        packet.protocol,
        ttl=BY_THE_WAY,
        size=size,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        mark=packet.mark if settings.tcp_fwmark_accept and packet.protocol == TCP else 0,
    )
