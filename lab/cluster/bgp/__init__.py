"""BGP: who speaks with whom, what the daemon is told, and which routes everybody learns."""

from lab.cluster.bgp.bird import NAMES, PROGRAM
from lab.cluster.bgp.learned import speaking, ways, without_daemons

__all__ = ["NAMES", "PROGRAM", "speaking", "ways", "without_daemons"]
