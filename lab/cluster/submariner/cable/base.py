"""What every cable driver offers to the gateway process."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Protocol

from lab.cluster.submariner.objects import ConnectionStatus, Endpoint

Selectors = frozenset[tuple[IPv4Network, IPv4Network]]
"""Pairs of a local and a remote subnet that one end has configured."""


class Cable(Protocol):
    """A cable driver on the active gateway."""

    def start(self) -> None:
        """Prepare the node, as the driver does when the gateway process starts."""

    def connect(self, remote: Endpoint) -> None:
        """Install the cable to a remote Endpoint."""

    def disconnect(self, remote: Endpoint) -> None:
        """Take the cable to a remote Endpoint away."""

    def selectors(self, cluster: str) -> Selectors:
        """Return what this end has configured towards a cluster; empty where the driver knows no selectors."""

    def settle(self, peers: Mapping[str, Selectors]) -> None:
        """Agree with the other ends: `peers` holds, by cluster, what they have configured, seen from here (local first)."""

    def status(self, cluster: str) -> tuple[ConnectionStatus, str]:
        """Return the status of the connection to a cluster, and a message."""

    def cleanup(self) -> None:
        """Take everything away, as uninstalling does."""
