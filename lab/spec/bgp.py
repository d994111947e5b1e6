"""BGP of a cluster without encapsulation: who speaks with whom, and what is not taken."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from lab.spec.values import AnyNetwork, DeviceName, Many, Model, Name

AsNumber = Annotated[int, Field(ge=1, le=4294967295)]


class BgpRefusal(Model):
    """Prefixes that some speakers do not take from anybody, as an import filter has it."""

    on: Annotated[Many[Name], Field(min_length=1)]
    """The nodes and routers that have the filter."""
    prefix: AnyNetwork
    """What lies inside of it is not taken."""
    longer_than: Annotated[int, Field(ge=0, le=127)] = 0
    """Only prefixes longer than this are not taken: up to 31 of IPv4, up to 127 of IPv6. By default all."""

    @model_validator(mode="after")
    def _refuses_something(self) -> BgpRefusal:
        if self.longer_than >= self.prefix.max_prefixlen:
            raise ValueError(f"no prefix of IPv{self.prefix.version} is longer than {self.longer_than} bits")
        return self


class Bgp(Model):
    """BGP between the nodes of a cluster, and with routers, by a real daemon (bird) on each of them. Where this machine has none, the
    routes that they would learn are programmed. In a dual-stack cluster a second one (bird6) speaks over IPv6 about IPv6, with the same
    peers."""

    asn: AsNumber = Field(default=64512, alias="as")
    """The AS number of the nodes."""
    reflectors: Many[Name] = ()
    """Nodes that are route reflectors: the others have sessions with them alone. By default every node has one with every other."""
    peers: dict[Name, AsNumber] = Field(default_factory=dict)
    """Routers that every node has a session with, by name, and their AS numbers."""
    interface: DeviceName | None = None
    """The device whose address nodes give as their own (`IP_AUTODETECTION_METHOD=interface=...`): a bridge of theirs. By default
    their first, whose IPv6 address they give in any case."""
    refuse: Many[BgpRefusal] = ()
    """What is not taken, by whom."""
