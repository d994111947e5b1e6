"""The topology file: clusters, the corporate network between them, and the software that programs their routes.

Everything that can be derived has a default (None here); `lab show FILE --as spec` prints what is written with its defaults.
"""

from __future__ import annotations

from pydantic import Field

from lab.spec.cluster import Cluster, Submariner
from lab.spec.site import Host, Router, Segment
from lab.spec.values import (
    Line,
    Model,
    Name,
)


class Topology(Model):
    """A topology file: segments, what is on them, the clusters and the software between them."""

    topology: Name
    """The topology's name."""
    title: Line = ""
    """One line for people."""
    description: str = ""
    """What it is like, and why."""
    segments: dict[Name, Segment] = Field(min_length=1)
    """The layer 2 segments of the corporate network, by name."""
    routers: dict[Name, Router] = Field(default_factory=dict)
    """The routers between segments, by name."""
    hosts: dict[Name, Host] = Field(default_factory=dict)
    """Other hosts, by name: proxies, API servers, what is outside."""
    clusters: dict[Name, Cluster] = Field(default_factory=dict)
    """The Kubernetes clusters, by name; none in a network of hosts and routers alone."""
    submariner: Submariner | None = None
    """Submariner between the clusters. Without it they do not know each other."""
