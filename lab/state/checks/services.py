"""What is wrong with sysctls, listeners and programs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.errors import did_you_mean
from lab.state.checks.mistake import Mistake, repeated
from lab.state.network import Namespace

_OF_A_LINK = re.compile(r"net/(?:ipv4|ipv6)/(?:conf|neigh)/([^/]+)/[^/]+")


def sysctl_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the sysctls of a namespace. Only those below net/ belong to a network namespace."""
    names = [link.name for link in namespace.links]
    for path in namespace.sysctls:
        if not path.startswith("net/") or ".." in path.split("/"):
            yield Mistake(f"sysctl {path!r} is not one of a network namespace", namespace.provenance, "as net/ipv4/ip_forward")
        found = _OF_A_LINK.fullmatch(path)
        if found is not None and found[1] not in ("all", "default", *names):
            yield Mistake(f"sysctl {path}: there is no link {found[1]}", namespace.provenance, did_you_mean(found[1], names, "link"))


def listener_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the listening sockets of a namespace."""
    for listener in repeated(namespace.listeners, lambda x: x.name):
        yield Mistake(f"listener {listener.name} is there twice", listener.provenance)
    for listener in repeated(namespace.listeners, lambda x: (x.protocol, x.port, x.address)):
        yield Mistake(f"listener {listener.name}: {listener.protocol} port {listener.port} is taken by another", listener.provenance)
    for listener in namespace.listeners:
        if not 0 < listener.port < 65536:
            yield Mistake(f"listener {listener.name}: {listener.port} is no port", listener.provenance)
        owned = {entry.interface.ip for entry in namespace.addresses}
        if listener.address is not None and listener.address not in owned and not listener.address.is_loopback:
            yield Mistake(f"listener {listener.name}: no link here has the address {listener.address}", listener.provenance)


def program_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the programs of a namespace."""
    for program in repeated(namespace.programs, lambda x: x.name):
        yield Mistake(f"program {program.name} is there twice", program.provenance)
    for program in namespace.programs:
        if not program.argv:
            yield Mistake(f"program {program.name} has no command", program.provenance)
