"""A random network as a complete state."""

from __future__ import annotations

from random import Random

from lab.forwarding.generate.nexthops import with_nexthops
from lab.forwarding.generate.rules import add_rules
from lab.forwarding.generate.shape import random_shape
from lab.forwarding.generate.trouble import make_trouble
from lab.forwarding.generate.tunnels import has_tunnels, with_bound_tunnels, with_tunnels_over_ipv6
from lab.state import State, complete

WITH_NEXTHOPS = 0.3
"""The part of all networks in which routes name nexthop objects."""
OVER_IPV6 = 0.4
"""The part of all mixed networks with VXLAN in which that is over IPv6."""
BOUND = 0.1
"""The part in which it is over IPv4, and bound to devices."""


def random_state(random: Random, nodes: int | None = None, *, mixed: bool = False) -> State:
    """Return a network of 3 to 12 namespaces, or of just as many as are wanted; the same numbers drawn give the same network.

    `mixed`: whether some of its tunnels are over IPv6, or bound to devices.
    """
    shape = random_shape(random, nodes)
    make_trouble(shape)
    add_rules(shape)
    state = shape.builder.freeze()
    # What is drawn from `random` afterwards does not depend on these.
    tunnels, chance = Random(f"flow_label {random.getstate()}"), Random(repr(random.getstate()))
    state = _mixed(state, tunnels) if mixed and has_tunnels(state) else state
    return complete(with_nexthops(state, chance) if chance.random() < WITH_NEXTHOPS else state)


def _mixed(state: State, random: Random) -> State:
    drawn = random.random()
    if drawn < OVER_IPV6:
        return with_tunnels_over_ipv6(state, random)
    return with_bound_tunnels(state, random) if drawn < OVER_IPV6 + BOUND else state
