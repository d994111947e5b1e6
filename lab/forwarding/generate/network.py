"""A random network as a complete state."""

from __future__ import annotations

from random import Random

from lab.forwarding.generate.nexthops import with_nexthops
from lab.forwarding.generate.rules import add_rules
from lab.forwarding.generate.shape import random_shape
from lab.forwarding.generate.trouble import make_trouble
from lab.state import State, complete

WITH_NEXTHOPS = 0.3
"""The part of all networks in which routes name nexthop objects."""


def random_state(random: Random, nodes: int | None = None) -> State:
    """Return a network of 3 to 12 namespaces, or of just as many as are wanted; the same numbers drawn give the same network."""
    shape = random_shape(random, nodes)
    make_trouble(shape)
    add_rules(shape)
    state = shape.builder.freeze()
    chance = Random(repr(random.getstate()))  # so that what is drawn from `random` afterwards does not depend on this
    return complete(with_nexthops(state, chance) if chance.random() < WITH_NEXTHOPS else state)
