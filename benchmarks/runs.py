"""Running things to be measured: each in a sandbox of its own, one after the other, the machine at rest in between."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute

from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.kernel.syscalls import own_proc_entry

T = TypeVar("T")

_ORDINARY = int(os.environ.get("SUDO_UID", 0)) or 4711


def as_root(work: Callable[[Sandbox], T]) -> T:
    """Run in a sandbox of root's."""
    at_rest()
    return run_in_sandbox(lambda sandbox, _: work(sandbox))


def as_ordinary_user(work: Callable[[Sandbox], T]) -> T:
    """Run in a sandbox of an ordinary user's, in a user namespace."""
    at_rest()

    def outer(_sandbox: Sandbox, _report: Report) -> T:
        os.setgroups([])
        os.setresgid(_ORDINARY, _ORDINARY, _ORDINARY)
        os.setresuid(_ORDINARY, _ORDINARY, _ORDINARY)
        own_proc_entry()
        return run_in_sandbox(lambda sandbox, _: work(sandbox))

    return run_in_sandbox(outer)


def at_rest() -> None:
    """Wait until the kernel has removed the namespaces of earlier runs.

    It does so in its own time, holding the RTNL lock; building right behind a teardown takes several times as long. It removes them in
    the order in which they ended (`cleanup_net` in net/core/net_namespace.c): when one that ends now is gone, so are all before it.
    """
    run_in_sandbox(lambda sandbox, _: _see_one_go(sandbox))


def _see_one_go(sandbox: Sandbox) -> None:
    """End a namespace and wait until it has taken its end of a cable with it, and so the other end here."""
    for name in ("stays", "goes"):
        sandbox.add_namespace(name)
    with sandbox.enter("stays"), IPRoute() as here:
        here.bind()
        here.link("add", ifname="last", kind="veth", peer={"ifname": "last", "net_ns_fd": sandbox.descriptor("goes")})
        sandbox.remove_namespace("goes")
        while here.link_lookup(ifname="last"):
            time.sleep(0.005)


def kernel_memory() -> int:
    """Bytes the kernel uses for itself: objects in use, per-processor data, mapped areas. Free room that it keeps is not counted."""
    lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    objects = sum(int(active) * int(size) for _, active, _, size, *_ in map(str.split, lines))
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return objects + sum(int(fields[name].split()[0]) * 1024 for name in ("Percpu", "VmallocUsed", "KernelStack"))


def interleaved(rivals: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure all rivals in turn, several times: what disturbs one of them disturbs all."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            seconds[name].append(run())
    return seconds


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
