"""All packets: classes of addresses, the full matrix of who reaches what, and what a change alters."""

from lab.forwarding.reach.difference import Change, Difference, difference
from lab.forwarding.reach.matrix import Cell, Reach, reach, versions
from lab.forwarding.reach.sizes import SizeLimit

__all__ = ["Cell", "Change", "Difference", "Reach", "SizeLimit", "difference", "reach", "versions"]
