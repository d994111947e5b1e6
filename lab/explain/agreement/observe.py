"""Ask the kernel what the model was asked: send one packet in a real network and note what both sides notice.

Everything runs in one process: a few sockets in each namespace hear what arrives, answer, and see every ICMP error that is
delivered there. A question ends when its answer came, or when the network is at rest and nothing was heard.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from typing import Final, Literal

from lab.explain.agreement.dialects import DIALECTS, Heard
from lab.explain.agreement.judge import Expected, Noticed
from lab.forwarding import Flow
from lab.forwarding.flow import DATA_OPTIONS, size_of
from lab.forwarding.packet import TCP_HEADER, Address
from lab.kernel.stillness import Places, Stillness, queued

_PMTUDISC_DONT, _PMTUDISC_WANT, _PMTUDISC_DO = 0, 1, 2
"""linux/in.h and linux/in6.h; the socket module lacks them."""

PATIENT: Final = 3.0
"""Seconds an unexpected silence is given: TCP that loses four segments in a row, as where a tunnel finds its way narrower again and again
and no sender is told, repeats for the fourth time after 0.2, 0.4, 0.8 and 1.6 seconds."""
REPETITION: Final = 0.3
"""Seconds within which TCP has repeated what was not acknowledged (TCP_RTO_MIN is 0.2): a path MTU learned meanwhile may let it pass."""
BOUND: Final = 3.0
"""Seconds after which a network that does not come to rest is asked no more."""
LOOK, LOOK_FOR_NEIGHBOUR = 0.0005, 0.004
"""Seconds between two looks whether it is at rest: while packets may be queued, and while a neighbour is asked for."""


@dataclass(slots=True)
class _Question:
    flow: Flow
    namespace: str
    protocol: int
    key: int
    noticed: Noticed = field(default_factory=Noticed)
    source: bytes | None = None
    """The address a connected socket has: an error about another one's packet is not for it."""
    connected: bool = False
    """TCP's handshake is complete for who asked."""
    done: bool = False


class Ears:
    """The sockets of all namespaces of a network. Use it in a `with` block."""

    def __init__(self, places: Places, namespaces: Iterable[str], port: int, version: Literal[4, 6] = 4) -> None:
        self._places = places
        self._dialect = DIALECTS[version]
        self._names = tuple(namespaces)
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._stack = ExitStack()
        self._asked: _Question | None = None

    def __enter__(self) -> Ears:
        self._at_rest = Stillness.of(self._places, self._names)
        self._stack.callback(self._at_rest.close)
        self._stack.callback(self._selector.close)
        dialect = self._dialect
        for name in self._names:
            raw = self._open(name, socket.SOCK_RAW, dialect.icmp)
            self._listen(raw, partial(self._on_icmp, name, raw))
            udp = self._open(name, socket.SOCK_DGRAM)
            udp.setsockopt(dialect.level, dialect.tell_info, 1)
            for one in (raw, udp):
                one.setsockopt(dialect.level, dialect.tell_hops, 1)
            udp.bind((dialect.everybody, self._port))
            self._listen(udp, partial(self._on_udp, name, udp))
            tcp = self._open(name, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((dialect.everybody, self._port))
            tcp.listen(64)
            self._listen(tcp, partial(self._on_connection, name, tcp))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, name: str, kind: int, protocol: int = 0) -> socket.socket:
        made = self._stack.enter_context(self._places.socket_in(name, self._dialect.family, kind, protocol))
        made.setblocking(False)
        return made

    def _listen(self, made: socket.socket, call: Callable[[], None]) -> None:
        self._selector.register(made, selectors.EVENT_READ, call)

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask(self, flow: Flow, is_expected: Expected = lambda observed: True) -> Noticed:
        """Send what a flow says and return what was noticed.

        It is over with an answer, or when the network is at rest. A silent connection then gets the time in which TCP repeats something.
        Where what was noticed is still not expected, it gets `PATIENT` seconds more: a busy machine may only be slow.
        """
        assert isinstance(flow.source, str)
        protocol = {"icmp": self._dialect.icmp, "tcp": 6, "udp": 17}[flow.protocol]
        question = _Question(flow, flow.source, protocol, flow.source_port)
        self._asked = question
        with ExitStack() as mine:
            kind = socket.SOCK_RAW if flow.protocol == "icmp" else socket.SOCK_DGRAM if flow.protocol == "udp" else socket.SOCK_STREAM
            made = self._places.socket_in(flow.source, self._dialect.family, kind, protocol if flow.protocol == "icmp" else 0)
            mine.enter_context(made)
            made.setblocking(False)
            try:
                self._prepare(made, flow)
                self._send(made, flow, mine, question)
            except OSError as error:
                self._fail(question, error)
            self._listen_until_rest(question)
            if question.connected:
                self._listen_for(REPETITION, lambda: question.done)
            self._listen_for(PATIENT, lambda: question.done or is_expected(str(question.noticed)))
        return question.noticed

    def _listen_for(self, seconds: float, is_over: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not is_over() and (left := end - time.monotonic()) > 0:
            self._hear(left)

    def _listen_until_rest(self, question: _Question) -> None:
        """Hear all there is to hear. Rest is found twice: what an expired entry sets off may be under way on another processor."""
        waiting, still = True, 0
        end = time.monotonic() + BOUND
        while still < 2 and time.monotonic() < end:
            while not question.done and self._hear(0) and time.monotonic() < end:
                pass
            if question.done:
                return
            waiting = waiting and self._at_rest.waiting()
            still = 0 if waiting or queued() else still + 1
            if still < 2 and self._hear(LOOK if not waiting else LOOK_FOR_NEIGHBOUR):
                waiting, still = True, 0

    def _hear(self, seconds: float) -> bool:
        """Take what came, waiting for something at most that long; returns whether anything did."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            key.data()
        return bool(ready)

    def _prepare(self, made: socket.socket, flow: Flow) -> None:
        dialect = self._dialect
        discover = {True: _PMTUDISC_DO, None: _PMTUDISC_WANT, False: _PMTUDISC_DONT}[flow.df]
        made.setsockopt(dialect.level, dialect.discover, discover)
        if flow.ttl is not None:
            made.setsockopt(dialect.level, dialect.hops, flow.ttl)
        if flow.tos:
            made.setsockopt(dialect.level, dialect.tos, flow.tos)
        if flow.mark:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, flow.mark)
        address = str(flow.source_address) if flow.source_address is not None else dialect.everybody
        made.bind((address, flow.source_port if flow.protocol != "icmp" else 0))

    def _send(self, made: socket.socket, flow: Flow, mine: ExitStack, question: _Question) -> None:
        target = (str(flow.destination), 0 if flow.protocol == "icmp" else flow.destination_port)
        room = size_of(flow) - self._dialect.header - 8
        if flow.protocol == "icmp":
            made.sendto(self._dialect.echo(flow.source_port, room), target)
        elif flow.protocol == "udp":
            made.connect(target)
            self._note_source(made, question)
            made.send(flow.source_port.to_bytes(2, "big").ljust(room, b"."))
            self._watch(made, mine, lambda: self._on_answer(made, question))
        else:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = made.connect_ex(target)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            self._note_source(made, question)
            self._selector.register(made, selectors.EVENT_WRITE, lambda: self._on_connected(made, question))
            mine.callback(lambda: _forget(self._selector, made))

    def _note_source(self, made: socket.socket, question: _Question) -> None:
        question.source = socket.inet_pton(self._dialect.family, made.getsockname()[0].split("%")[0])

    def _watch(self, made: socket.socket, mine: ExitStack, call: Callable[[], None]) -> None:
        self._selector.register(made, selectors.EVENT_READ, call)
        mine.callback(lambda: _forget(self._selector, made))

    def _fail(self, question: _Question, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, str(error.errno))
        question.noticed = replace(question.noticed, kind="local error", errno=name)
        question.done = True

    # -- hearing ---------------------------------------------------------------------------------------------------

    def _on_icmp(self, name: str, raw: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                heard = self._dialect.hear(raw)
                if heard is not None and self._asked is not None:
                    self._icmp(name, heard, self._asked)

    def _icmp(self, name: str, heard: Heard, question: _Question) -> None:
        dialect, kind = self._dialect, (heard.kind, heard.code)
        mine = question.protocol == dialect.icmp and heard.identifier == question.key
        if heard.kind == dialect.request:
            if mine:
                self._seen(question, name, heard.source, heard.ttl)
        elif heard.kind == dialect.reply:
            if name == question.namespace and mine:
                self._finish(question, "reply", heard.source)
        elif heard.kind in (dialect.unreachable, dialect.exceeded, dialect.too_big[0]) and name == question.namespace:
            if not self._quotes(question, heard.body) or (question.protocol == 6 and kind == dialect.too_big):
                return
            refused = heard.kind == dialect.unreachable and heard.code in dialect.refusals
            if not question.done:
                question.noticed = replace(question.noticed, icmp=kind, mtu=heard.mtu if kind == dialect.too_big else None)
                self._finish(question, "refused" if refused else "error", heard.source)

    def _quotes(self, question: _Question, body: bytes) -> bool:
        quoted = self._dialect.quoted(body)
        if quoted is None or quoted.protocol != question.protocol or quoted.destination != question.flow.destination.packed:
            return False
        if question.source not in (None, quoted.source):
            return False
        at = 4 if question.protocol == self._dialect.icmp else 0
        return int.from_bytes(quoted.body[at : at + 2], "big") == question.key

    def _seen(self, question: _Question, name: str, source: Address, ttl: int | None) -> None:
        if question.noticed.seen_in is None:
            question.noticed = replace(question.noticed, seen_in=name, seen_source=source, seen_ttl=ttl)

    def _finish(self, question: _Question, kind: str, source: Address) -> None:
        if not question.done:
            question.noticed = replace(question.noticed, kind=kind, source=source)
            question.done = True

    def _on_udp(self, name: str, udp: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                data, notes, _, sender = udp.recvmsg(2048, 256)
                question = self._asked
                if question is not None and question.protocol == 17 and int.from_bytes(data[:2], "big") == question.key:
                    self._seen(question, name, _heard_from(sender), self._dialect.hops_told(notes))
                with suppress(OSError):
                    udp.sendmsg([data], self._dialect.answer_from(notes), 0, sender)

    def _on_answer(self, made: socket.socket, question: _Question) -> None:
        try:
            data = made.recv(2048)
        except ConnectionResetError:
            self._finish(question, "refused", question.flow.destination)
            return
        except OSError:
            # What a report said of it; the raw socket hears the report.
            return
        if data:
            self._finish(question, "reply", question.flow.destination)
        else:
            _forget(self._selector, made)

    def _on_connection(self, name: str, tcp: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                made, sender = tcp.accept()
                self._stack.enter_context(made)
                made.setblocking(False)
                if self._asked is not None and self._asked.protocol == 6:
                    self._seen(self._asked, name, _heard_from(sender), None)
                self._listen(made, partial(self._serve, made))

    def _serve(self, made: socket.socket) -> None:
        try:
            data = made.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(made)
            made.close()
            return
        with suppress(OSError):
            made.send(data)

    def _on_connected(self, made: socket.socket, question: _Question) -> None:
        code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._selector.unregister(made)
        if code == errno.ECONNREFUSED and question.noticed.icmp is None:
            self._finish(question, "refused", question.flow.destination)
            return
        if code:
            # What the report said is heard by the raw socket; give it the time.
            return
        question.connected = True
        self._selector.register(made, selectors.EVENT_READ, lambda: self._on_answer(made, question))
        with suppress(OSError):
            made.send(b"." * max(1, size_of(question.flow) - self._dialect.header - TCP_HEADER - DATA_OPTIONS))


def _forget(selector: selectors.BaseSelector, made: socket.socket) -> None:
    """Stop watching a socket, if it is watched."""
    with suppress(KeyError, ValueError):
        selector.unregister(made)


def _heard_from(sender: tuple[str, int]) -> Address:
    return ip_address(sender[0].split("%")[0])
