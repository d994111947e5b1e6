"""Questions that need no running lab: what a file comes to, what becomes of a packet, what lies between two networks; and a whole run."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal

from lab.api.inputs import open_lab, open_state
from lab.scenario.lookup import find_address, find_namespace
from lab.spec import open_scenario
from lab.state import State

if TYPE_CHECKING:
    from lab.forwarding import Conversation
    from lab.forwarding.reach import Difference, Reach
    from lab.scenario.play import Listen
    from lab.scenario.result import ScenarioResult

Protocol = Literal["icmp", "tcp", "udp"]
PORTS: dict[Protocol, int] = {"icmp": 0, "tcp": 80, "udp": 53}
"""The destination port where none is said."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What lies between two networks."""

    reach: tuple[Difference, ...]
    """What is newly reachable or lost, reached by another path, or still broken, as exact sets of addresses."""
    commands: tuple[tuple[str, str], ...]
    """The commands that lead from the first to the second: the namespace each is typed in, and its text."""


def compile_state(name: str, phase: str | None = None) -> State:
    """Return the network state that a name means: FILE, FILE@PHASE, a saved state, or one's running lab. Raises InputError."""
    return open_state(name, phase)


def trace(
    network: State | str,
    source: str,
    target: str | IPv4Address | IPv6Address,
    protocol: Protocol = "icmp",
    port: int | None = None,
    *,
    source_port: int = 40000,
    size: int | None = None,
    df: bool | None = None,
    ttl: int | None = None,
    mark: int = 0,
    ipv6: bool = False,
) -> Conversation:
    """Predict what Linux does with a packet and with what it causes: its answer, its errors, the ARP on their way.

    `network` is a state or what `compile_state` takes; `target` a node, a pod, ``service/NAME`` or an address; `size` the length of the IP
    packet in bytes; `ipv6`: whether a name stands for its IPv6 address. Raises InputError for a name that means nothing.
    """
    from lab.forwarding import Flow
    from lab.forwarding import trace as predict

    state = open_lab(network)[0] if isinstance(network, str) else network
    address = find_address(state, str(target), 6 if ipv6 else 4)
    number = PORTS[protocol] if port is None else port
    namespace = find_namespace(state, source)
    return predict(state, Flow(namespace, address, protocol, number, source_port, size=size, df=df, ttl=ttl, mark=mark))


def reach(
    network: State | str,
    protocol: Protocol = "icmp",
    port: int | None = None,
    *,
    sources: list[str] | None = None,
    version: Literal[4, 6] = 4,
) -> Reach:
    """Predict who reaches what: for every sender, or some, every class of addresses of IPv4 or IPv6 with its fate and reason.

    Raises InputError.
    """
    from lab.forwarding import Flow
    from lab.forwarding.reach import reach as predict

    state = open_state(network) if isinstance(network, str) else network
    nobody = IPv4Address(0) if version == 4 else IPv6Address(0)
    flow = Flow("any", nobody, protocol, PORTS[protocol] if port is None else port)
    return predict(state, sources=[find_namespace(state, name) for name in sources] if sources is not None else None, flow=flow)


def compare(before: State | str, after: State | str, protocol: Protocol = "icmp", port: int | None = None) -> Comparison:
    """Compare two networks: what a packet meets in each, and the commands between them. Raises InputError."""
    from lab.forwarding import Flow
    from lab.forwarding.reach import difference as difference_of_reach
    from lab.state import difference
    from lab.state.commands import commands_of

    first, second = (open_state(network) if isinstance(network, str) else network for network in (before, after))
    flow = Flow("any", IPv4Address(0), protocol, PORTS[protocol] if port is None else port)
    commands = tuple((command.namespace or "", command.text) for command in commands_of(difference(first, second)))
    return Comparison(difference_of_reach(first, second, flow=flow), commands)


def run(name: str, *, listen: Listen | None = None, bpf: bool | None = None) -> ScenarioResult:
    """Play one scenario on the real kernel and return what was found; of a file with variants ``FILE#VARIANT`` names one.

    `listen` is called with progress as it comes; `bpf` demands or forbids BPF as the witness of packets. Raises InputError for what is
    wrong with the file, and MachineError when this machine cannot run it. Call it before starting threads: it forks.
    """
    from lab.scenario.play import run_scenario

    scenario, topology = open_scenario(name)
    return run_scenario(scenario, topology, bpf=bpf) if listen is None else run_scenario(scenario, topology, listen=listen, bpf=bpf)
