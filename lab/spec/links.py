"""What both file formats say of link ends: what is lost and delayed there, and how a switch treats a port."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from lab.spec.values import Many, Model, Network

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""Of packets, to a hundredth."""


class Impairment(Model):
    """What becomes of packets that a device sends (tc-netem(8)). Whatever is not stated leaves them alone."""

    loss: Percent = 0.0
    """How many percent of them are lost, by chance; 100 is all."""
    corruption: Percent = 0.0
    """How many percent of them are damaged, by chance: whoever looks at one next discards it, since its check sum is wrong."""
    delay: Annotated[int, Field(ge=0, le=60_000)] = 0
    """How many milliseconds each of them waits. Without netem in the kernel it is a process of the lab in which they wait."""
    rate: Annotated[int, Field(ge=0, le=30_000_000)] = 0
    """How many kilobits per second are sent at most; what would have to wait longer than a second is lost. 0 is without limit."""

    @property
    def is_nothing(self) -> bool:
        """Whether every packet is left alone."""
        return not (self.loss or self.corruption or self.delay or self.rate)


class SwitchPort(Model):
    """How a switch treats a port (bridge(8)). What is not stated stays as it is: nothing of it, with learning and flooding on."""

    isolated: bool | None = None
    """Whether no frames pass between it and other isolated ports, as on networks of guests and in clouds."""
    learning: bool | None = None
    """Whether the switch learns from frames that come in by it which stations are behind it."""
    flood: bool | None = None
    """Whether frames for stations that the switch does not know leave by it as well."""
    hairpin: bool | None = None
    """Whether frames may leave by it that came in by it."""


class SegmentPort(SwitchPort):
    """A member's port at the switch of a segment, and what may come in by it."""

    one_mac: bool = False
    """Whether only frames with the MAC address of the member's own device come in, as where a cloud's port has one; others are dropped."""
    own_addresses: bool = False
    """Whether only ARP and IP packets come in whose source is an address of the member there, as clouds have it against spoofing."""
    also_from: Many[Network] = ()
    """Networks besides, whose addresses may be sources too: allowed address pairs. With `own_addresses`."""
    impairment: Impairment | None = None
    """What becomes of packets on the way from the switch to the member."""

    @model_validator(mode="after")
    def _allows_besides(self) -> SegmentPort:
        if self.also_from and not self.own_addresses:
            raise ValueError("`also_from` says nothing without `own_addresses: true`")
        return self
