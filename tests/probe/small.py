"""A small network: `a` and `b` on either side of the router `r`, with nothing between but what a test puts there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from lab.kernel.counters import CounterFiles
from lab.kernel.sandbox import Sandbox
from lab.probe import Observer, Outcome, Prober, Request, Responder, Services, open_observer
from lab.state import Listener, Namespace, State

A, B = IPv4Address("10.0.1.2"), IPv4Address("10.0.2.2")
R = IPv4Address("10.0.1.1")
BLACKHOLE, UNREACHABLE, PROHIBITED = IPv4Address("10.9.1.1"), IPv4Address("10.8.1.1"), IPv4Address("10.7.1.1")
NOBODY = IPv4Address("10.0.2.99")
"""An address on b's subnet that nobody has."""
SILENT_PORT, REJECTED_PORT = 9999, 7777

_BUILD = f"""
ip -n a link set lo up; ip -n r link set lo up; ip -n b link set lo up
ip -n a link add eth0 index 100 type veth peer name ra netns r index 101
ip -n b link add eth0 index 102 type veth peer name rb netns r index 103
ip -n a addr add {A}/24 dev eth0; ip -n b addr add {B}/24 dev eth0
ip -n r addr add {R}/24 dev ra; ip -n r addr add 10.0.2.1/24 dev rb
ip -n a link set eth0 up; ip -n r link set ra up; ip -n r link set rb up; ip -n b link set eth0 up
ip -n a route add default via 10.0.1.1; ip -n b route add default via 10.0.2.1
ip netns exec r sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0 net.ipv4.conf.all.rp_filter=0
ip -n r route add blackhole 10.9.0.0/16; ip -n r route add unreachable 10.8.0.0/16; ip -n r route add prohibit 10.7.0.0/16
ip netns exec r nft -f - <<'END'
table ip filter {{
  chain forward {{
    type filter hook forward priority 0
    tcp dport {SILENT_PORT} drop
    udp dport {REJECTED_PORT} reject with icmp type admin-prohibited
  }}
}}
END
"""


@dataclass
class Small:
    """The small network, served and watched."""

    sandbox: Sandbox
    services: Services
    observer: Observer
    prober: Prober
    state: State = field(default_factory=State)

    def run(self, command: str) -> str:
        """Run a shell command in the sandbox."""
        return subprocess.run(["sh", "-ec", command], check=True, capture_output=True, text=True).stdout

    def serve(self, **listeners: Sequence[Listener]) -> None:
        """Let namespaces listen to exactly this."""
        self.state = State({name: Namespace(name, listeners=tuple(listeners.get(name, ()))) for name in ("a", "r", "b")})
        self.services.reconcile(self.state)

    def probe(self, *requests: Request) -> tuple[Outcome, ...]:
        return self.prober.run(self.state, requests)

    def one(self, request: Request) -> Outcome:
        (outcome,) = self.probe(request)
        return outcome


WEB = Listener("web", "tcp", 8080)
ECHO = Listener("echo", "udp", 8080, behaviour="echo")


@contextmanager
def small_network(sandbox: Sandbox, *, bpf: bool = False) -> Iterator[Small]:
    """Build it in a sandbox; b listens on TCP and UDP port 8080."""
    for name in ("a", "r", "b"):
        sandbox.add_namespace(name)
    subprocess.run(["sh", "-ec", _BUILD], check=True)
    responder = Responder(sandbox)
    responder.start()
    services = Services(sandbox, responder)
    observer = open_observer(sandbox, ("a", "r", "b"), bpf=bpf)
    counters = CounterFiles(sandbox)
    try:
        prober = Prober(sandbox, observer, lambda: {name: counters.read(name) for name in ("a", "r", "b")})
        small = Small(sandbox, services, observer, prober)
        small.serve(b=(WEB, ECHO))
        yield small
    finally:
        counters.close()
        observer.close()
        services.close()
