"""What is recorded of a lab is what tcpdump sees on the same device, packet by packet."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.api.inputs import open_input
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.record import Recorder
from lab.scenario.stage import RunningLab

pytestmark = pytest.mark.kernel

B, NOBODY = IPv4Address("192.0.2.130"), IPv4Address("203.0.113.1")
REQUESTS: tuple[Request, ...] = (
    PingRequest("a", B),
    PingRequest("a", B, size=3000),
    TcpRequest("a", B, 80),
    UdpRequest("a", B, 53),
    UdpRequest("a", B, 81),
    PingRequest("a", NOBODY),
)
"""Answers, fragments, a connection, a datagram and its echo, two ICMP errors."""
DEVICES = (("r1", "left"), ("r1", "middle"), ("b", "eth0"))


def recorded(file: Path, *fields: str) -> list[list[str]]:
    asked = [word for name in ("frame.interface_name", *fields) for word in ("-e", name)]
    done = subprocess.run(["tshark", "-r", str(file), "-T", "fields", *asked], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.root  # tcpdump gives up root for a user of its own, which an ordinary user's sandbox may not have
@pytest.mark.parametrize("bpf", [pytest.param(None, id="as the machine allows"), pytest.param(False, id="packet sockets")])
def test_counts_are_those_of_tcpdump_on_the_same_device(bpf: bool | None, tmp_path: Path) -> None:
    state = open_input("three-in-a-row", None).state()

    def work(sandbox: Sandbox, report: Callable[[object], None]) -> None:
        with RunningLab(sandbox, bpf=bpf) as lab:
            lab.recorder = Recorder(report)
            lab.reach(state)
            lab.record("before")
            others = {device: _tcpdump(sandbox, *device) for device in DEVICES}
            lab.probe(REQUESTS)
            lab.record("asked")
            report({f"{node}:{device}": _counted(other) for (node, device), other in others.items()})

    pieces: list[bytes] = []
    counted: dict[str, int] = {}
    run_in_sandbox(work, on_report=lambda said: pieces.append(said) if isinstance(said, bytes) else counted.update(said))  # type: ignore[call-overload]
    file = tmp_path / "run.pcapng"
    file.write_bytes(b"".join(pieces))
    rows = recorded(file, "frame.comment")
    seen = Counter(interface for interface, comment in rows if comment.startswith("phase=asked"))
    assert {device: seen[device] for device in counted} == counted
    assert all(counted.values())
    kinds = {part for _, comment in rows for part in ("part=request", "part=answer", "part=icmp-error") if part in comment}
    assert kinds == {"part=request", "part=answer", "part=icmp-error"}


def _tcpdump(sandbox: Sandbox, node: str, device: str) -> subprocess.Popen[bytes]:
    """Start counting; it counts when this returns."""
    words = ["tcpdump", "-Z", "root", "-ni", device, "--immediate-mode", "-B", "4096", "-w", "-"]
    process = sandbox.spawn(node, words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"listening on" not in process.stderr.readline():
        assert process.poll() is None
    return process


def _counted(process: subprocess.Popen[bytes]) -> int:
    """End it as Ctrl-C does, and count what it wrote."""
    process.terminate()
    written, _ = process.communicate(timeout=60)
    read = subprocess.run(["tcpdump", "-nr", "-"], input=written, capture_output=True, check=True)
    return len(read.stdout.splitlines())
