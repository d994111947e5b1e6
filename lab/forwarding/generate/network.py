"""A random network as a complete state."""

from __future__ import annotations

from random import Random

from lab.forwarding.generate.rules import add_rules
from lab.forwarding.generate.shape import random_shape
from lab.forwarding.generate.trouble import make_trouble
from lab.state import State, complete


def random_state(random: Random, nodes: int | None = None) -> State:
    """Return a network of 3 to 12 namespaces, or of just as many as are wanted; the same numbers drawn give the same network."""
    shape = random_shape(random, nodes)
    make_trouble(shape)
    add_rules(shape)
    return complete(shape.builder.freeze())
