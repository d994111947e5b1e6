"""Submariner: what its operator, gateways, route agents and service discovery do, event by event."""

from lab.cluster.submariner.submariner import Submariner

__all__ = ["Submariner"]
