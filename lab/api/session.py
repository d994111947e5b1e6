"""A running lab in a `with` block, for notebooks and tests.

    with lab.open("calico-24-mismatch", "broken") as net:
        assert net.ping("c1-w1-a", "c2-w1-a").result == "unreachable"

The lab lives in a sandbox of its own, in a forked process that answers one call after the other; it ends with the block, and with the
caller's process, however that ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar, cast

from lab.api.inputs import Input, open_input
from lab.api.requests import address, check_request, seconds, switch, text, words_of
from lab.kernel.launch import Front, launch
from lab.kernel.messages import Raised, Returned
from lab.kernel.sandbox import ignore, open_sandbox
from lab.probe import DnsRequest, HttpRequest, Outcome, PingRequest, Request, TcpRequest, TracerouteRequest, UdpRequest
from lab.scenario.changes import Live
from lab.scenario.inquiry import Inquiry, inquire
from lab.scenario.lookup import find_address, find_namespace
from lab.scenario.stage import RunningLab
from lab.spec.values import Address
from lab.state import State

T = TypeVar("T")
Call = Callable[[RunningLab], object]
_SECONDS = 30


@dataclass(slots=True)
class Session:
    """A lab that runs. Names are those of its files: nodes, pods, ``service/NAME``; addresses do as well."""

    given: Input
    _front: Front
    _ask: Connection
    _state: State

    @property
    def phase(self) -> str | None:
        """The phase it is in; None where it runs a topology."""
        return self.given.phase

    @property
    def wanted(self) -> State:
        """The state it was brought to, as it was computed."""
        return self._state

    def go(self, phase: str) -> None:
        """Bring it to another phase, by the difference. Raises InputError when its file has no such phase."""
        self.given = self.given.at(phase)
        self._reach(self.given.state(), self.given.actions())

    def apply(self, state: State) -> None:
        """Bring it to any state, by the difference."""
        self._reach(state, ())

    def read_back(self) -> State:
        """Return what the kernel holds now, with the control plane beside it."""
        return cast(State, self._call("read_back"))

    def probe(self, *requests: Request) -> tuple[Outcome, ...]:
        """Send probes, all at once, and return what came of each. Raises InputError for one that cannot be sent, and sends none then."""
        for request in requests:
            check_request(self._state, request)
        return cast("tuple[Outcome, ...]", self._call("probe", requests))

    def ping(
        self, source: str, target: str | Address, *, size: int = 56, df: bool = False, ttl: int | None = None, ipv6: bool = False
    ) -> Outcome:
        """Send one ICMP echo request; `size` is its payload in bytes, `df` forbids fragmentation, `ttl` is by default what the node has.

        `ipv6`, here and below: a name stands for its IPv6 address.
        """
        return self._one(PingRequest(self._node(source), self._address(target, ipv6=ipv6), size, df, ttl))

    def tcp(self, source: str, target: str | Address, port: int = 80, *, ipv6: bool = False) -> Outcome:
        """Connect, send a short request, and wait for its answer."""
        return self._one(TcpRequest(self._node(source), self._address(target, ipv6=ipv6), port))

    def udp(self, source: str, target: str | Address, port: int, *, size: int = 32, df: bool = False, ipv6: bool = False) -> Outcome:
        """Send one datagram with `size` bytes of payload, and wait for its echo."""
        return self._one(UdpRequest(self._node(source), self._address(target, ipv6=ipv6), port, size, df))

    def http(self, source: str, url: str, *, use_environment: bool = True, ipv6: bool = False) -> Outcome:
        """GET a URL with curl, in the view of the source; `use_environment` lets it obey the proxy variables there."""
        return self._one(HttpRequest(self._node(source), url, use_environment, ipv6 or "://[" in text(url, "url")))

    def dns(self, source: str, name: str, *, ipv6: bool = False) -> Outcome:
        """Ask for the addresses of a name as the source's stub resolver does."""
        return self._one(DnsRequest(self._node(source), name, "AAAA" if switch(ipv6, "ipv6") else "A"))

    def traceroute(self, source: str, target: str | Address, *, max_hops: int = 12, ipv6: bool = False) -> Outcome:
        """Send UDP datagrams with growing TTL."""
        return self._one(TracerouteRequest(self._node(source), self._address(target, ipv6=ipv6), max_hops))

    def explain(self, request: Request) -> Inquiry:
        """Send one probe alone and say what came of it, why, and where its packets went. Raises InputError as `probe` does."""
        check_request(self._state, request)
        return cast("Inquiry", self._call("explain", request))

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the kernel's counters of every namespace."""
        return cast("dict[str, dict[str, int]]", self._call("counters"))

    def run(self, node: str, command: str | Sequence[str], *, timeout: float = _SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a program in a node or pod and wait for its end: `net.run("c1-w1", "ip route get 10.42.185.1").stdout`.

        A text is split into words as a shell would, and no shell sees it. Raises LabError when it takes longer than `timeout` seconds, and
        MachineError when the program is not installed.
        """
        return cast("subprocess.CompletedProcess[str]", self._call("run", self._node(node), words_of(command), seconds(timeout, "timeout")))

    def _one(self, request: Request) -> Outcome:
        (outcome,) = self.probe(request)
        return outcome

    def _node(self, name: str) -> str:
        return find_namespace(self._state, text(name, "the name of a node or pod"))

    def _address(self, target: str | Address, *, ipv6: bool) -> Address:
        version = 6 if switch(ipv6, "ipv6") else 4
        return find_address(self._state, target, version) if isinstance(target, str) else address(target)

    def _reach(self, state: State, actions: tuple[Live, ...]) -> None:
        self._call("reach", state, actions)
        self._state = state

    def _call(self, operation: str, *arguments: object) -> object:
        with suppress(BrokenPipeError):  # it has ended, and what it said last says why
            self._ask.send((operation, arguments))
        return self._front.receive(ignore)


@contextmanager
def open_session(name: str, phase: str | None = None, *, bpf: bool | None = None) -> Iterator[Session]:
    """Start the lab that a topology, or a phase of a scenario, describes; it ends with the block.

    `name` is a path or the name of a shipped file; without `phase` it is a scenario's first. `bpf` demands or forbids BPF as the witness of
    packets. Raises InputError for what is wrong with the file, and MachineError when this machine cannot run it. Call it before starting
    threads: it forks.
    """
    given = open_input(name, phase)
    state, actions = given.state(), given.actions()
    heard, ask = Pipe(duplex=False)
    front = launch(lambda messages, rootless: _serve(heard, messages, rootless=rootless, bpf=bpf), hear=heard)
    heard.close()
    try:
        session = Session(given, front, ask, state)
        session._reach(state, actions)
        yield session
    finally:
        ask.close()
        front.close()


def _serve(heard: Connection, messages: Connection, *, rootless: bool, bpf: bool | None) -> None:
    """Answer calls until the caller has gone. A call that fails ends nothing but itself."""
    with RunningLab(open_sandbox(rootless=rootless), bpf=bpf) as lab:
        operations: dict[str, Callable[..., Any]] = {
            "reach": lab.reach,
            "probe": lab.probe,
            "read_back": lab.refresh,
            "explain": lambda request: inquire(lab, request),
            "counters": lambda: {name: dict(counters) for name, counters in lab.counters().items()},
            "run": lambda node, words, timeout: lab.sandbox.run(node, words, seconds=timeout),
        }
        while True:
            try:
                operation, arguments = heard.recv()
            except EOFError:
                return
            try:
                answer: Returned | Raised = Returned(operations[operation](*arguments))
            except Exception as error:  # noqa: BLE001 - it is the caller's, whatever it is
                answer = Raised.of(error)
            messages.send(answer)
