"""How an operator finds out the ranges of its cluster: as each version of Submariner does, and as it should."""

from __future__ import annotations

from lab.cluster.submariner.discovery.findings import Denial, Disagreement, Discovered, Finding, Look, Refusal
from lab.cluster.submariner.discovery.improved import discover_improved
from lab.cluster.submariner.discovery.stock import discover

__all__ = ["Denial", "Disagreement", "Discovered", "Finding", "Look", "Refusal", "discover", "discover_improved"]
