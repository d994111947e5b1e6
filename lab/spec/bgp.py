"""BGP of a cluster without encapsulation: who speaks with whom, and what is not taken."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lab.spec.values import DeviceName, Many, Model, Name, Network

AsNumber = Annotated[int, Field(ge=1, le=4294967295)]


class BgpRefusal(Model):
    """Prefixes that some speakers do not take from anybody, as an import filter has it."""

    on: Annotated[Many[Name], Field(min_length=1)]
    """The nodes and routers that have the filter."""
    prefix: Network
    """What lies inside of it is not taken."""
    longer_than: Annotated[int, Field(ge=0, le=31)] = 0
    """Only prefixes longer than this are not taken. By default all."""


class Bgp(Model):
    """BGP between the nodes of a cluster, and with routers, by a real daemon (bird) on each of them. Where this machine has none, the
    routes that they would learn are programmed. It tells of IPv4."""

    asn: AsNumber = Field(default=64512, alias="as")
    """The AS number of the nodes."""
    reflectors: Many[Name] = ()
    """Nodes that are route reflectors: the others have sessions with them alone. By default every node has one with every other."""
    peers: dict[Name, AsNumber] = Field(default_factory=dict)
    """Routers that every node has a session with, by name, and their AS numbers."""
    interface: DeviceName | None = None
    """The device whose address nodes give as their own (`IP_AUTODETECTION_METHOD=interface=...`): a bridge of theirs. By default
    their first."""
    refuse: Many[BgpRefusal] = ()
    """What is not taken, by whom."""
