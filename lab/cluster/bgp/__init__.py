"""BGP: who speaks with whom, what the daemon is told, and which routes everybody learns."""

from lab.cluster.bgp.bird import NAME as BIRD
from lab.cluster.bgp.learned import speaking, ways, without_daemons

__all__ = ["BIRD", "speaking", "ways", "without_daemons"]
