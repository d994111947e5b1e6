"""Whether anybody waits at a port of a namespace.

/proc/net/tcp would tell as well, but to print it the kernel walks the machine's whole table of connections: a millisecond, for every
namespace and family. Taking the port for oneself tells in a few microseconds: it fails where somebody has it (bind(2), EADDRINUSE).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

from lab.kernel.handles import Namespaces
from lab.state import Namespace, Program, State

Bound = tuple[Literal["tcp", "udp"], int, Literal[4, 6] | None]
"""A protocol and a local port, and the version of IP where a program has it over one alone."""

_TYPES: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def is_bound(protocol: Literal["tcp", "udp"], port: int, version: Literal[4, 6] | None = None) -> bool:
    """Whether a socket has a port of the calling thread's namespace, of one version of IP or of either.

    Connections that outlive their server do not count where it allowed the reuse of its address (SO_REUSEADDR), as servers do.
    """
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    return any(_refused(family, protocol, port) for number, family in families.items() if version in (None, number))


def _refused(family: socket.AddressFamily, protocol: Literal["tcp", "udp"], port: int) -> bool:
    try:
        asking = socket.socket(family, _TYPES[protocol])
    except OSError:  # no IPv6 here
        return False
    with asking:
        if protocol == "tcp":
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            asking.bind(("", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def with_listening(state: State, namespaces: Namespaces) -> State:
    """Return a state in which listens what really does: a program may have ended, or been stopped."""
    return replace(state, namespaces={name: _heard(namespace, namespaces) for name, namespace in state.namespaces.items()})


def _heard(namespace: Namespace, namespaces: Namespaces) -> Namespace:
    stated = set(_stated(namespace))
    if not stated:
        return namespace
    with namespaces.enter(namespace.name):
        bound = {one for one in stated if is_bound(*one)}
    listeners = tuple(listener for listener in namespace.listeners if (listener.protocol, listener.port, None) in bound)
    programs = tuple(
        replace(one, listens=tuple(port for port in one.listens if (*port, _version(one)) in bound)) for one in namespace.programs
    )
    return replace(namespace, listeners=listeners, programs=programs)


def _stated(namespace: Namespace) -> Iterator[Bound]:
    yield from ((listener.protocol, listener.port, None) for listener in namespace.listeners)
    for program in namespace.programs:
        yield from ((protocol, port, _version(program)) for protocol, port in program.listens)


def _version(program: Program) -> Literal[4, 6] | None:
    """Return the version of IP that a routing daemon speaks over; None for what does not care."""
    return None if program.speaker is None else program.speaker.version
