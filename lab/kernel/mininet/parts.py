"""Mininet's classes with what a lab needs of them: interfaces with more than one address, switches that are bridges of their own.

The classes are made when Mininet is there, since they are Mininet's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from lab.errors import InputError
from lab.kernel.mininet.module import load


@cache
def interface_class() -> type[Any]:
    """Return Mininet's interface, with addresses set as `ip` sets them: `ifconfig`, which Mininet uses, adds a broadcast address."""
    base: type[Any] = load("mininet.link").Intf

    class LabIntf(base):  # type: ignore[misc, unused-ignore]
        """An interface of a lab."""

        def setIP(self, ipstr: str, prefixLen: int | None = None) -> str:  # noqa: N802, N803 - Mininet's names
            """Add an address."""
            text = ipstr if "/" in ipstr else f"{ipstr}/{prefixLen}"
            self.ip, self.prefixLen = text.split("/")
            answer: str = self.cmd("ip", "address", "add", text, "dev", self.name)
            return answer

    return LabIntf


@cache
def link_class() -> type[Any]:
    """Return Mininet's link, with the interface indexes that it is told: unique in the whole lab, they tell which end belongs to which."""
    base: type[Any] = load("mininet.link").Link

    class LabLink(base):  # type: ignore[misc, unused-ignore]
        """A cable of a lab; `indexes` are those of its ends."""

        def __init__(self, node1: Any, node2: Any, *, indexes: tuple[int, int], **params: Any) -> None:
            self.indexes = indexes
            super().__init__(node1, node2, **params)

        def makeIntfPair(  # noqa: N802 - Mininet's name; made to be overridden
            self,
            near: str,
            far: str,
            addr1: str,
            addr2: str,
            node1: Any,
            node2: Any,
            deleteIntfs: bool = False,  # noqa: N803
        ) -> None:
            """Make a veth pair between two nodes."""
            one, other = self.indexes
            here, there = f"name {near} index {one} address {addr1}", f"name {far} index {other} address {addr2}"
            said = node1.cmd(f"ip link add {here} type veth peer {there} netns {node2.pid}")
            if said:
                raise InputError(f"Mininet cannot join {node1.name} and {node2.name}: {said.strip()}")

    return LabLink


@cache
def bridge_class() -> type[Any]:
    """Return a Mininet switch that is a Linux bridge in a namespace of its own: Mininet's LinuxBridge is one in the caller's namespace."""
    base: type[Any] = load("mininet.node").Switch

    class LabBridge(base):  # type: ignore[misc, unused-ignore]
        """A switch of a lab; `bridges` are the ports of each bridge in it, `indexes` the bridges' interface indexes."""

        def __init__(self, name: str, bridges: Mapping[str, Sequence[str]], indexes: Mapping[str, int], **params: Any) -> None:
            self.bridges, self.indexes = bridges, indexes
            super().__init__(name, **params | {"inNamespace": True})

        def start(self, _controllers: object) -> None:
            """Make the bridges."""
            for bridge, ports in self.bridges.items():
                self.cmd("ip", "link", "add", "name", bridge, "index", self.indexes[bridge], "type", "bridge")
                for port in ports:
                    self.cmd("ip", "link", "set", "dev", port, "master", bridge)
                self.cmd("ip", "link", "set", "dev", bridge, "up")

    return LabBridge
