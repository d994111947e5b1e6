"""What the kernel counted: the SNMP counters of a namespace, under the names nstat(8) gives them.

Sources: /proc/net/snmp, /proc/net/netstat, /proc/net/snmp6 (proc(5); net/ipv4/proc.c, net/ipv6/proc.c).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lab.kernel.handles import Namespaces

Counters = Mapping[str, int]
"""Counters by name: `IpInAddrErrors`, `TcpExtIPReversePathFilter`, `IcmpOutDestUnreachs`, `Ip6InNoRoutes`."""

_FILES: Final = ("snmp", "netstat", "snmp6")


@dataclass(slots=True)
class _File:
    """An open counter file, and what it said last: most namespaces are quiet from one reading to the next."""

    descriptor: int
    text: bytes = b""
    counters: Counters = field(default_factory=dict)

    def read(self) -> Counters:
        text = os.pread(self.descriptor, 65536, 0)
        if text != self.text:
            self.text, self.counters = text, parse(text.decode())
        return self.counters


class CounterFiles:
    """The counter files of namespaces, kept open: reading again is a single system call each."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._files: dict[str, tuple[_File, ...]] = {}

    def read(self, namespace: str) -> Counters:
        """All counters of a namespace."""
        files = self._files.get(namespace)
        if files is None:
            files = self._files[namespace] = self._open(namespace)
        counters: dict[str, int] = {}
        for file in files:
            counters.update(file.read())
        return counters

    def forget(self, namespace: str) -> None:
        """Close the files of a namespace."""
        for file in self._files.pop(namespace, ()):
            os.close(file.descriptor)

    def close(self) -> None:
        """Close all files."""
        for namespace in list(self._files):
            self.forget(namespace)

    def _open(self, namespace: str) -> tuple[_File, ...]:
        """Files of the thread, not of the process, are those of the namespace it is in. Without IPv6 there is no snmp6."""
        with self._namespaces.enter(namespace):
            paths = (f"/proc/thread-self/net/{name}" for name in _FILES)
            return tuple(_File(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) for path in paths if os.access(path, os.R_OK))


def parse(text: str) -> dict[str, int]:
    """Read one counter file: pairs of lines, names above values; or, for IPv6, a name and a value a line."""
    counters: dict[str, int] = {}
    lines = text.splitlines()
    if ":" not in text:
        for line in lines:
            name, _, value = line.partition(" ")
            counters[name] = int(value)
        return counters
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        prefix, _, keys = names.partition(":")
        for key, value in zip(keys.split(), values.partition(":")[2].split(), strict=True):
            counters[prefix + key] = int(value)
    return counters


def delta(before: Counters, after: Counters) -> dict[str, int]:
    """The counters that moved, and by how much."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
