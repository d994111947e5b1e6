"""Intents: what must be true of a network after a change, whoever makes it and however."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lab.spec.probes import Selectors
from lab.spec.values import IpFamily, Line, Many, Model, Mtu, Name, Port, Selector

IntendedFate = Literal["answered", "delivered", "refused", "unreachable", "silence", "lost"]
Cause = Literal[
    "no-route",
    "blackhole",
    "unreachable",
    "prohibit",
    "rule-blackhole",
    "rule-unreachable",
    "rule-prohibit",
    "rp-filter",
    "local-source",
    "invalid-source",
    "invalid-destination",
    "localnet",
    "not-forwarding",
    "not-forwarding-v6",
    "no-ipv6",
    "ttl",
    "too-big",
    "netfilter",
    "rejected",
    "nat",
    "neighbour",
    "link-down",
    "impaired",
    "no-carrier",
    "too-long-for-peer",
    "other-host",
    "no-port",
    "too-long-for-bridge",
    "no-fdb-entry",
    "tunnel-no-route",
    "no-check-sum",
    "unknown-vni",
    "own-frame",
    "closed-port",
    "unknown-protocol",
    "ignored-echo",
    "still-owned",
    "unsolicited",
    "no-source",
    "forbidden",
    "arp-no-route",
    "arp-not-mine",
    "arp-ignored",
    "arp-off",
    "arp-filtered",
    "arp-refused",
]
"""Why a packet dies: the causes that the forwarding model tells apart."""
Default = Literal["nothing-lost", "nothing-opened", "no-loop", "no-one-way", "no-rp-filter", "no-black-hole"]
"""The intents that hold where nobody says otherwise."""


class Intent(Model):
    """What becomes of packets from some senders to some addresses. What an intent speaks about, the default intents leave to it."""

    source: Selectors = Field(alias="from")
    """Who sends: namespaces, in which `*` and `?` stand for any characters."""
    to: Selectors
    """To whom: networks (`10.42.0.0/16`, `2001:db8:1::/64`), addresses, namespaces, or services as `service/NAME`. Of a network every
    address counts, of a namespace or service each that it has, of IPv4 and of IPv6."""
    protocol: Literal["any", "icmp", "tcp", "udp"] = "any"
    """The protocol; `any` is a ping, and every port of these addresses that somebody listens on or that a service has."""
    port: Port | None = None
    """The port; tcp and udp need one."""
    family: IpFamily | None = None
    """The version of IP. By default each that is asked about: IPv6 as well where the network has it."""
    fate: IntendedFate = "answered"
    """What becomes of it: `answered`; `delivered` (it arrives, answered or not); or the sender gets no answer: `refused`, `unreachable`
    (an ICMP error, or no route), `silence`, or, whichever of them, `lost`."""
    reason: Cause | None = None
    """Why it is lost; the packet or its answer. By default any reason will do."""
    at: Selector | None = None
    """The namespace in which it is lost."""
    through: Many[Selector] = ()
    """Namespaces that the question comes by, all of them."""
    avoids: Many[Selector] = ()
    """Namespaces that neither the question nor its answer comes by."""
    size: Mtu | None = None
    """The length in bytes, with all headers, of a packet that may not be fragmented and is answered all the same."""
    always: bool = False
    """Whether it holds before the change and after each of its steps as well, not only in the end."""
    because: Line | None = None
    """Why it is intended: one line for the report."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Intent:
        if (self.protocol in ("any", "icmp")) != (self.port is None):
            raise ValueError(
                f"{self.protocol} needs a `port`" if self.port is None else f"a `port` goes with tcp or udp, not {self.protocol}"
            )
        if self.fate in ("answered", "delivered") and (self.reason is not None or self.at is not None):
            raise ValueError(f"what is {self.fate} is lost nowhere and for no reason: `reason` and `at` go with another `fate`")
        if self.size is not None and self.fate != "answered":
            raise ValueError("`size` is that of a packet that is answered")
        return self


class Intents(Model):
    """An intents file: what must be true after a change, besides the default intents."""

    intents: Name
    """The name of the intents."""
    title: Line = ""
    """One line for people."""
    expect: Many[Intent] = ()
    """What must be true."""
    defaults: Many[Default] | None = None
    """Which of the default intents count, for all that `expect` does not speak about; `[]`: none. By default all of them."""
