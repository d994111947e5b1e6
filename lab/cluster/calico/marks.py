"""Felix' bits of the packet mark, taken in order from its default mask 0xffff0000 (felix/config, IptablesMarkMask)."""

from __future__ import annotations

from typing import Final

ACCEPTED: Final = 0x10000
"""Policy accepted the packet; the chain that called decides what comes of it."""
PASSED: Final = 0x20000
"""Policy passed the packet on to the profiles."""
FROM_WORKLOAD: Final = 0x40000
"""Scratch bit 0; in the raw table: the packet came from a pod of this node."""
SCRATCH_1: Final = 0x80000
ALL: Final = ACCEPTED | PASSED | FROM_WORKLOAD | SCRATCH_1
