"""A netlink socket of one network namespace: batches out, refusals and dumps in (netlink(7), net/netlink/af_netlink.c).

rtnetlink works a batch off inside send(): when it returns, all is done and all answers wait in the socket.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lab.kernel.netlink.attributes import read_attributes
from lab.kernel.netlink.wire import (
    END_OF_BATCH,
    HEADER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
)

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12

_SOL_NETLINK: Final = 270
_NETLINK_EXT_ACK: Final = 11
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1
_CHUNK: Final = 128 * 1024
"""Bytes of one send: well below the 208 KiB that a socket's send buffer has by default (net.core.wmem_default)."""
_DUMP: Final = 64 * 1024
"""What one recv() of a dump may bring: the kernel fills 32 KiB at a time when it sees that there is room (netlink_dump)."""
_ANSWER: Final = 16 * 1024
"""An answer to one message, which a refusal quotes. Room for more would cost: Python maps and unmaps it each time."""
_ERROR: Final = struct.Struct("=i")
_ANSWER_HEAD: Final = struct.Struct("=6xH8xi")
"""Of an answer: the flags of its header, and the negative errno behind it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the kernel would not do, and why: `error` is an errno, `text` the kernel's own words where it has some."""

    position: int
    """Which message of the batch."""
    error: int
    text: str

    def __str__(self) -> str:
        name = f"{os.strerror(self.error)} ({errno.errorcode.get(self.error, self.error)})"
        return f"{self.text}: {name}" if self.text else name


class Channel:
    """A netlink socket. It keeps its network namespace alive, so it is closed with the lab."""

    def __init__(self, opened: socket.socket) -> None:
        opened.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self.socket = opened

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def send(self, messages: Sequence[bytes]) -> list[Refusal]:
        """Send a batch and return what was refused. The kernel goes on after a refusal."""
        if sum(map(len, messages)) <= _CHUNK:
            return self._send(messages, 0, len(messages))
        refusals: list[Refusal] = []
        start = size = 0
        for position, one in enumerate(messages):
            if size + len(one) > _CHUNK:
                refusals += self._send(messages, start, position)
                start, size = position, 0
            size += len(one)
        return refusals + self._send(messages, start, len(messages))

    def _send(self, messages: Sequence[bytes], start: int, end: int) -> list[Refusal]:
        """Send messages `start` to `end`. Only the last thing in the batch asks for an answer; a refusal is answered in any case.

        More refusals than the socket holds are lost, and the answer with them. So nothing is waited for: all answers are there already.
        """
        self.socket.send(b"".join((*messages[start:end], END_OF_BATCH)))
        refusals: list[Refusal] = []
        while True:
            try:
                answer = self.socket.recv(_ANSWER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return refusals
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                raise
            # Each answer comes by itself: netlink_ack makes a buffer for every one.
            flags, code = _ANSWER_HEAD.unpack_from(answer)
            if code == 0:
                return refusals
            body = answer[HEADER.size :]
            refusals.append(Refusal(_find(messages, start, end, body[4:]), -code, _words(body, flags)))

    def request(self, message: bytes) -> tuple[int, bytes] | Refusal:
        """Send one message that has one answer: its type and body, or a refusal."""
        self.socket.send(message)
        for kind, flags, body in split(self.socket.recv(_ANSWER)):
            if kind == NLMSG_ERROR:
                (code,) = _ERROR.unpack_from(body)
                return Refusal(0, -code, _words(body, flags))
            return kind, body
        raise OSError(errno.EBADMSG, "an empty netlink answer")

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Ask for all objects of a kind and yield the body of each. The kernel answers in portions.

        A refusal (the kernel lacks what was asked for) is raised as OSError.
        """
        header = HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, 0, 0)
        self.socket.send(header + body)
        while True:
            for answer, _, content in split(self.socket.recv(_DUMP)):
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    (code,) = _ERROR.unpack_from(content)
                    raise OSError(-code, os.strerror(-code))
                yield content

    def command(self, message_kind: int, body: bytes, flags: int = 0) -> Refusal | None:
        """Send one message and wait for its acknowledgement."""
        self.socket.send(HEADER.pack(HEADER.size + len(body), message_kind, NLM_F_REQUEST | NLM_F_ACK | flags, 0, 0) + body)
        for kind, answer_flags, content in split(self.socket.recv(_ANSWER)):
            if kind == NLMSG_ERROR:
                (code,) = _ERROR.unpack_from(content)
                return Refusal(0, -code, _words(content, answer_flags)) if code else None
        return None


def split(answers: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and body of each message in what one recv() returned."""
    at, end = 0, len(answers)
    while at + 16 <= end:
        length, kind, flags, _, _ = HEADER.unpack_from(answers, at)
        yield kind, flags, answers[at + 16 : at + length]
        at += (length + 3) & ~3


def _find(messages: Sequence[bytes], start: int, end: int, quoted: bytes) -> int:
    """The position of the message that a refusal quotes."""
    (length,) = struct.unpack_from("=I", quoted)
    original = quoted[:length]
    return next((position for position in range(start, end) if messages[position] == original), start)


def _words(body: bytes, flags: int) -> str:
    """The kernel's explanation behind the quoted message, if it gave one (extended acknowledgement)."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    (length,) = struct.unpack_from("=I", body, 4)
    at = 4 + (HEADER.size if flags & _NLM_F_CAPPED else (length + 3) & ~3)
    message = read_attributes(body, at).get(_NLMSGERR_ATTR_MSG, b"")
    return message.rstrip(b"\0").decode(errors="replace")
