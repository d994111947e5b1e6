"""The route agent, split by concern: devices, routes, packet filter, segment sizes, IPPools; `agent` puts them together."""

from lab.cluster.submariner.agent.agent import RouteAgent

__all__ = ["RouteAgent"]
