"""The kernel's log of refused sources: read where it may be read, and named as unread where not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.kernel import martians
from lab.kernel.martians import Martian, MartianLog
from lab.kernel.sandbox import Sandbox
from tests.probe.small import A, B, small_network

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
REFUSED = Martian(B, A, "ra")


@for_everyone
def test_a_refused_source_is_read_in_the_log_or_the_log_is_refused(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    """The kernel logs ten lines in five seconds, of all namespaces together: several tries may be needed."""
    restricted = Path("/proc/sys/kernel/dmesg_restrict").read_text() == "1\n"
    with small_network(sandbox) as small, closing(MartianLog()) as log:
        if sandbox.rootless and restricted:
            assert log.refusal == "/dev/kmsg: Operation not permitted"
            assert log.read() == ()
            return
        assert log.refusal is None
        small.run("ip netns exec a ping -qc 1 10.0.2.2; ip -n r route add 10.0.1.2/32 via 10.0.2.2")
        small.run("ip netns exec r sysctl -qw net.ipv4.conf.ra.rp_filter=1 net.ipv4.conf.ra.log_martians=1")
        found: list[Martian] = []

        def logged() -> bool:
            with sandbox.socket_in("a", socket.AF_INET, socket.SOCK_DGRAM, 0) as sender:
                sender.sendto(b"", (str(B), 9))
            found.extend(log.read())
            return REFUSED in found

        eventually(logged, "the refused source in the log")


def test_what_was_logged_before_and_what_is_no_martian_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe in the place of the log: one line for each reading, as the kernel gives them."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    monkeypatch.setattr(martians, "LOG", f"/proc/self/fd/{reading}")
    monkeypatch.setattr("os.lseek", lambda *_: 0)  # a pipe has no end to go to
    with closing(MartianLog()) as log:
        assert (log.refusal, log.read()) == (None, ())
        os.write(writing, b"4,1,2,-;IPv4: martian source 10.0.2.2 from 10.0.1.2, on dev ra\n SUBSYSTEM=net\n")
        assert log.read() == (Martian(IPv4Address("10.0.2.2"), IPv4Address("10.0.1.2"), "ra"),)
        os.write(writing, b"4,2,3,-;IPv4: martian source nobody from 999.0.1.2, on dev ra\n")
        os.write(writing, b"6,3,4,-;br0: port 1(p) entered blocking state\n")
        assert log.read() == ()
    os.close(reading)
    os.close(writing)


def test_a_log_that_is_not_there_is_said_and_reads_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(martians, "LOG", "/dev/no-such-log")
    log = MartianLog()
    assert log.refusal == "/dev/no-such-log: No such file or directory"
    assert log.read() == ()
    log.close()
