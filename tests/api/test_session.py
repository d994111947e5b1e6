"""A running lab in a `with` block."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

import lab
from lab.probe import DnsRequest, PingRequest, TcpRequest, UdpRequest
from tests.small import SMALL

pytestmark = pytest.mark.kernel

PHASES = """\
scenario: small
topology: ./small.yaml
phases:
  healthy: {}
  broken:
    changes: [{route: {on: [r], to: 192.0.2.130/32, type: blackhole}}]
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Session]:
    folder = tmp_path_factory.mktemp("session")
    (folder / "small.yaml").write_text(SMALL)
    (folder / "scenario.yaml").write_text(PHASES)
    with lab.open(str(folder / "scenario.yaml")) as session:
        yield session


def test_packets_go_where_the_phase_lets_them(net: lab.Session) -> None:
    net.go("healthy")
    assert net.ping("a", "b").result == "reply"
    assert net.tcp("a", "192.0.2.130").result == "reply"
    net.go("broken")
    assert (net.phase, net.ping("a", "b").result) == ("broken", "silence")


def test_programs_run_in_a_node_and_are_heard(net: lab.Session) -> None:
    net.go("healthy")
    assert "via 192.0.2.1" in net.run("a", "ip route get 192.0.2.130").stdout
    assert net.run("a", ["false"]).returncode == 1
    with pytest.raises(lab.LabError, match="was still running in 'a'"):
        net.run("a", "sleep 1000", timeout=0.1)
    with pytest.raises(lab.MachineError, match="no-such-program"):
        net.run("a", "no-such-program")


def test_what_somebody_does_in_a_node_is_read_back_and_undone_by_the_next_phase(net: lab.Session) -> None:
    net.go("healthy")
    net.run("r", "ip route add blackhole 198.51.100.0/24")
    assert "198.51.100.0/24" in {str(route.destination) for route in net.read_back()["r"].routes}
    net.go("healthy")
    assert "198.51.100.0/24" not in {str(route.destination) for route in net.read_back()["r"].routes}


def test_a_mistake_ends_nothing(net: lab.Session) -> None:
    for mistake in (lambda: net.go("borken"), lambda: net.ping("a", "c"), lambda: net.run("c", "true")):
        with pytest.raises(lab.InputError):
            mistake()
    assert net.counters()["r"]


MISTAKES: dict[str, Callable[[lab.Session], object]] = {
    "port is 80000": lambda net: net.tcp("a", "b", 80000),
    "port is 0": lambda net: net.udp("a", "b", 0),
    "port is '80'": lambda net: net.tcp("a", "b", "80"),  # type: ignore[arg-type]
    "port is True": lambda net: net.tcp("a", "b", True),
    "size is 65508": lambda net: net.ping("a", "b", size=65508),
    "size is -1": lambda net: net.ping("a", "b", size=-1),
    "size is 7": lambda net: net.udp("a", "b", 80, size=7),
    "size is 1.5": lambda net: net.ping("a", "b", size=1.5),  # type: ignore[arg-type]
    "ttl is 256": lambda net: net.ping("a", "b", ttl=256),
    "df is 'no'": lambda net: net.udp("a", "b", 80, df="no"),  # type: ignore[arg-type]
    "ipv6 is 4": lambda net: net.ping("a", "b", ipv6=4),  # type: ignore[arg-type]
    "ipv6 is None": lambda net: net.dns("a", "b", ipv6=None),  # type: ignore[arg-type]
    "max_hops is 0": lambda net: net.traceroute("a", "b", max_hops=0),
    "url is 'ftp://b/'": lambda net: net.http("a", "ftp://b/"),
    "url is None": lambda net: net.http("a", None),  # type: ignore[arg-type]
    "use_environment is 1": lambda net: net.http("a", "http://b/", use_environment=1),  # type: ignore[arg-type]
    "name is 'a..b'": lambda net: net.dns("a", "a..b"),
    "target is 7": lambda net: net.ping("a", 7),  # type: ignore[arg-type]
    "the name of a node or pod is 7": lambda net: net.ping(7, "b"),  # type: ignore[arg-type]
    "there is no node or pod 'c'": lambda net: net.probe(PingRequest("c", IPv4Address("192.0.2.130"))),
    "mark is 4294967296": lambda net: net.probe(PingRequest("a", IPv4Address("192.0.2.130"), mark=2**32)),
    "answer is -1": lambda net: net.explain(TcpRequest("a", IPv4Address("192.0.2.130"), 80, answer=-1)),
    "type is 'MX'": lambda net: net.probe(DnsRequest("a", "b", "MX")),  # type: ignore[arg-type]
    "'a' is no probe": lambda net: net.probe("a"),  # type: ignore[arg-type]
    "over is 8": lambda net: net.probe(UdpRequest("a", IPv4Address("192.0.2.130"), 80, over=8)),  # type: ignore[arg-type]
    "timeout is 0": lambda net: net.run("a", "true", timeout=0),
    "No closing quotation": lambda net: net.run("a", "echo 'x"),
    "the command is empty": lambda net: net.run("a", ""),
    "a word of the command is 1": lambda net: net.run("a", ["echo", 1]),  # type: ignore[list-item]
}


@pytest.mark.parametrize("said", MISTAKES)
def test_an_argument_that_cannot_be_is_named(net: lab.Session, said: str) -> None:
    with pytest.raises(lab.InputError) as refused:
        MISTAKES[said](net)
    assert said in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_it_ends_with_its_block_and_with_its_caller(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """Seen from outside: the processes between the caller and the lab are the caller's descendants."""
    (tmp_path / "small.yaml").write_text(SMALL)
    before = _children(os.getpid())
    with lab.open(str(tmp_path / "small.yaml")):
        assert _children(os.getpid()) != before
    assert _children(os.getpid()) == before
    reader, writer = os.pipe()
    caller = os.fork()
    if caller == 0:
        try:
            with lab.open(str(tmp_path / "small.yaml")):
                os.write(writer, b"up")
                signal.pause()
        finally:
            os._exit(1)
    os.read(reader, 2)
    (guard,) = _children(caller)
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    eventually(lambda: not Path(f"/proc/{guard}").exists() or _state(guard) == "Z", "the lab's first process is gone")


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split() if _state(int(child)) != "Z"]


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
