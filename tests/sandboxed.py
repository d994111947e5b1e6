"""What tests of the running kernel share: a sandbox around a test, proof that the machine is as it was, and waiting for the kernel.

A test that takes `sandbox` runs in a sandbox of its own, so nothing it does or leaves can reach the machine or another test:

    @pytest.mark.kernel
    def test_a_new_namespace_has_one_link(sandbox: Sandbox) -> None: ...

It runs in a forked process: what it asserts is heard, what it assigns to objects outside is not. It is the caller's sandbox, or, with
`@pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)`, that of one and then of the other.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.kernel.syscalls import own_proc_entry

_ORDINARY = 4711
"""A uid that no distribution gives to anyone: an ordinary user without subordinate ids."""


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> object:
    """The sandbox a test runs in: `pytest_pyfunc_call` puts it in the place of this, which says whose it is to be."""
    whose = getattr(request, "param", "root")
    if whose == "ordinary user" and os.geteuid() != 0:
        return "root"  # it is one: there is no other to become
    return whose


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    if "sandbox" not in pyfuncitem.fixturenames:
        return None
    fixtures = {name: value for name, value in pyfuncitem.funcargs.items() if name in pyfuncitem._fixtureinfo.argnames}

    def body(sandbox: Sandbox, _: object) -> None:
        pyfuncitem.obj(**(fixtures | {"sandbox": sandbox}))

    def body_of_ordinary_user(_outer: Sandbox, _: object) -> None:
        _give_up_root()
        run_in_sandbox(body)

    run_in_sandbox(body_of_ordinary_user if fixtures["sandbox"] == "ordinary user" else body)
    return True


def _give_up_root() -> None:
    """Become an ordinary user; root of a user namespace that knows nobody else is one already, and can become nobody else."""
    mapped = (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    if not any(int(first) <= _ORDINARY < int(first) + int(length) for first, _, length in mapped):
        return
    os.setgroups([])
    os.setresgid(_ORDINARY, _ORDINARY, _ORDINARY)
    os.setresuid(_ORDINARY, _ORDINARY, _ORDINARY)
    own_proc_entry()


@pytest.fixture
def give_up_root() -> Callable[[], None]:
    """Makes the calling process an ordinary user's; for one that a test has forked."""
    return _give_up_root


@pytest.fixture
def eventually() -> Callable[..., None]:
    """`eventually(condition, what)`: wait for what the kernel does in its own time. The deadline only turns a hang into a failure."""

    def wait(condition: Callable[[], bool], what: str, deadline: float = 60) -> None:
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, f"still not so after {deadline} s: {what}"
            os.sched_yield()

    return wait


@pytest.fixture
def other_processes() -> Callable[[], set[int]]:
    """Tells every process in the test's sandbox beside the test and PID 1. Zombies do not count: they hold nothing any more."""

    def tell() -> set[int]:
        alive = set()
        for entry in Path("/proc").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
                if entry.name.isdigit() and (entry / "stat").read_text().rpartition(") ")[2][0] not in "ZX":
                    alive.add(int(entry.name))
        return alive - {1, os.getpid()}

    return tell


_numbers = count(1)


class NamespaceWatch:
    """Learns from the kernel that network namespaces have ended.

    A namespace may give others a number, and is told when one of those ends (RTNLGRP_NSID, include/uapi/linux/net_namespace.h). A number
    does not keep a namespace alive. To be used in a sandbox: the numbers are those of the caller's namespace.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 1 << 27))
        self._socket.settimeout(60)
        self._alive: set[int] = set()

    def follow(self, path: str) -> None:
        """Watch the network namespace behind this path, such as /proc/PID/ns/net.

        One that is watched already stays so: while a lab is starting, a process may enter another's namespace between two looks at it.
        """
        number = next(_numbers)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            body = struct.pack("=Bxxx", 0) + struct.pack("=HHi", 8, 1, number) + struct.pack("=HHI", 8, 3, descriptor)
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as ask:
                ask.send(struct.pack("=IHHII", 16 + len(body), 88, 5, 0, 0) + body)  # RTM_NEWNSID, request and acknowledge
                (code,) = struct.unpack_from("=i", ask.recv(4096), 16)
        finally:
            os.close(descriptor)
        assert code in (0, -errno.EEXIST), os.strerror(-code)
        if code == 0:
            self._alive.add(number)

    @property
    def follows_any(self) -> bool:
        """Whether any of the watched namespaces has not been heard to end."""
        return bool(self._alive)

    def wait_until_all_are_gone(self) -> None:
        assert self._alive, "nothing is watched"
        while self._alive:
            message = self._socket.recv(4096)
            (kind,) = struct.unpack_from("=H", message, 4)
            if kind == 89:  # RTM_DELNSID
                (number,) = struct.unpack_from("=i", message, 24)
                self._alive.discard(number)


@pytest.fixture
def watch_namespaces() -> type[NamespaceWatch]:
    return NamespaceWatch


_QUESTIONS = {
    "links": "ip -d link",
    "addresses": "ip address show",
    "routes": "ip route show table all; ip -6 route show table all",
    "rules": "ip rule; ip -6 rule",
    "network namespaces": "ip netns list",
    "rule set": "nft list ruleset",
    "sysctls": "cd /proc/sys && find net kernel user fs -type f -readable | sort | xargs grep -s ''",
    "mounts": "cat /proc/self/mounts",
    "/etc and /run": "ls -A /etc /run /run/netns /etc/netns 2>&1",
}
_RESTLESS = (
    "nf_conntrack_count|expires|valid_lft|kernel/random/|kernel/pty/nr|kernel/ns_last_pid|fs/dentry-state|fs/file-nr|fs/inode-|fs/aio-nr"
    "|fs/quota|fs/mqueue|net/netfilter/nf_conntrack_"
)
"""Lines that change by themselves, such as counters, lifetimes and random numbers."""


def picture_of_the_machine() -> dict[str, str]:
    """What the machine's own network looks like, by topic."""
    return {topic: _answer(f"({question}) | grep -Ev '{_RESTLESS}'") for topic, question in _QUESTIONS.items()}


def _answer(command: str) -> str:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as it was when the test began."""

    before: dict[str, str] = field(default_factory=picture_of_the_machine)

    def check(self) -> None:
        """Fail, showing what is different, unless the machine is byte for byte as it was."""
        now = picture_of_the_machine()
        for topic, before in self.before.items():
            assert now[topic] == before, f"the machine's {topic} changed"


@pytest.fixture
def host_unchanged() -> Iterator[Machine]:
    """The machine is after the test as it was before; `check()` compares at any moment between."""
    machine = Machine()
    yield machine
    machine.check()
