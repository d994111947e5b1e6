"""`lab capture` from inside: what came faster than it was read is counted and said, and a reader that goes away is the end."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from lab.kernel.pcapng import PcapngWriter
from lab.kernel.sandbox import Sandbox

pytestmark = pytest.mark.kernel

FLOOD = 60_000
"""More packets than wait in a socket and in a pipe."""
for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)


def capturing(sandbox: Sandbox) -> subprocess.Popen[bytes]:
    """Capture the loopback device of a namespace; it has begun when its header can be read."""
    sandbox.add_namespace("n")
    subprocess.run(["ip", "-n", "n", "link", "set", "lo", "up"], check=True)
    with sandbox.enter("n"):
        started = subprocess.Popen(
            [sys.executable, "-P", "-m", "lab.kernel.live", "n", "lo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    assert started.stdout is not None
    header = PcapngWriter("lab capture").header()
    assert started.stdout.read(len(header)) == header
    return started


def send(sandbox: Sandbox, packets: int) -> None:
    with sandbox.socket_in("n", socket.AF_INET, socket.SOCK_DGRAM, 0) as sender:
        for number in range(packets):
            sender.sendto(b"number %6d." % number, ("127.0.0.1", 9))


@for_everyone
def test_packets_that_nobody_read_in_time_are_counted(sandbox: Sandbox) -> None:
    with capturing(sandbox) as capture:
        send(sandbox, FLOOD)
        assert capture.stderr is not None
        assert capture.stdout is not None
        seen = bytearray(capture.stdout.read1())
        with sandbox.socket_in("n", socket.AF_INET, socket.SOCK_DGRAM, 0) as sender:
            while b"the end" not in seen[-65536:]:
                sender.sendto(b"the end", ("127.0.0.1", 9))
                seen += capture.stdout.read1(1 << 20)
        capture.stdout.close()
        assert capture.wait(60) == 0
        said = capture.stderr.read().decode().splitlines()
    assert {line.partition(" ")[2] for line in said} == {"packets are missing here: they came faster than they were read"}
    assert seen.count(b"number ") + sum(int(line.partition(" ")[0]) for line in said) >= FLOOD


@for_everyone
def test_it_ends_with_its_reader_though_no_packet_comes(sandbox: Sandbox) -> None:
    with capturing(sandbox) as capture:
        assert capture.stdout is not None
        capture.stdout.close()
        assert capture.wait(60) == 0
