"""Conversations that outlive the probe that began them: an open connection, a socket that goes on sending from its port."""

from __future__ import annotations

import socket
from collections.abc import Container
from dataclasses import dataclass, field

from lab.probe.request import Address, TcpRequest, UdpRequest
from lab.probe.track import Opening

Key = tuple[str, str, str, Address, int]
"""Protocol, name, sender's namespace, target and port."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A socket, and by what its packets are known where that was learned when it began."""

    socket: socket.socket
    openings: tuple[Opening, ...] = ()


@dataclass(slots=True)
class Kept:
    """The conversations of a lab, by what kept them."""

    _conversations: dict[Key, Conversation] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any is kept."""
        return bool(self._conversations)

    def put(self, request: TcpRequest | UdpRequest, conversation: Conversation) -> None:
        """Keep a conversation under the name that its probe gives it; one that was kept under it is closed."""
        key = _key(request)
        before = self._conversations.pop(key, None)
        if before is not None and before.socket is not conversation.socket:
            _end(before)
        self._conversations[key] = conversation

    def take(self, request: TcpRequest | UdpRequest) -> Conversation | None:
        """Return the conversation that a probe goes on with, which is kept no longer; None when there is none."""
        return self._conversations.pop(_key(request), None)

    def forget(self, present: Container[str]) -> None:
        """Close what is kept in namespaces that are no longer present: a socket would keep a namespace alive."""
        for key in [key for key in self._conversations if key[2] not in present]:
            _end(self._conversations.pop(key))

    def close(self) -> None:
        """Close everything."""
        self.forget(())


def _key(request: TcpRequest | UdpRequest) -> Key:
    protocol = "tcp" if isinstance(request, TcpRequest) else "udp"
    return protocol, request.keep or request.over, request.source, request.target, request.port


def _end(conversation: Conversation) -> None:
    """Close a socket, with a reset rather than a farewell that probes would see."""
    if conversation.socket.type == socket.SOCK_STREAM:
        conversation.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    conversation.socket.close()
