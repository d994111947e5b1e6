"""The forwarding model: what Linux will do with a packet, told from a network state alone, without a kernel."""

from lab.forwarding.causes import Reason
from lab.forwarding.conversation import Conversation, trace
from lab.forwarding.endpoints import Seen
from lab.forwarding.flow import Flow
from lab.forwarding.memory import Memory
from lab.forwarding.network import Network
from lab.forwarding.packet import Packet
from lab.forwarding.results import Delivered, Detail, Dropped, Hop, Outcome, Stage, Step, Trace, Unknown

__all__ = [
    "Conversation",
    "Delivered",
    "Detail",
    "Dropped",
    "Flow",
    "Hop",
    "Memory",
    "Network",
    "Outcome",
    "Packet",
    "Reason",
    "Seen",
    "Stage",
    "Step",
    "Trace",
    "Unknown",
    "trace",
]
