"""However a lab ends, nothing of it stays: whoever is killed, at whatever moment, as root and as an ordinary user.

Each test runs in a sandbox of its own, where it sees every process there is, and where the kernel tells it of every network namespace
that ends. A lab's named namespaces are held by mounts in its mount namespace too, so when they have ended, so has that.
"""

from __future__ import annotations

import os
import random
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("who", ["root", "ordinary user"])
EVERYONE_IN_THE_CHAIN = ("front", "guard", "init", "worker")


@dataclass(frozen=True)
class Front:
    """A process that runs a sandbox, as a command of the lab does."""

    pid: int
    reports: int

    def wait_for_report(self) -> bytes:
        """What the front heard from its sandbox next; empty when it has ended."""
        return os.read(self.reports, 1)

    def chain(self) -> dict[str, int]:
        """The process ids of front, guard, init and worker."""
        pids = [self.pid]
        for _ in EVERYONE_IN_THE_CHAIN[1:]:
            pids.append(int(Path(f"/proc/{pids[-1]}/task/{pids[-1]}/children").read_text().split()[0]))
        return dict(zip(EVERYONE_IN_THE_CHAIN, pids, strict=True))

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def front(who: str, work: Callable[[Sandbox, Report], object], give_up_root: Callable[[], None]) -> Iterator[Front]:
    """Fork a front that runs `work` in a sandbox and passes each report, a single character, on."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.close(reading)
            if who == "ordinary user" and os.geteuid() == 0:
                give_up_root()
            run_in_sandbox(work, on_report=lambda character: os.write(writing, str(character).encode()))
            code = 0
        except LabError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    os.close(writing)
    try:
        yield Front(pid, reading)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def build_and_stay(sandbox: Sandbox, report: Report) -> None:
    """A small lab with a process in a node, an orphan and a link; then it waits for ever."""
    for name in ("a", "b"):
        sandbox.add_namespace(name)
    sandbox.spawn("a", ["ip", "link", "add", "to-b", "type", "veth", "peer", "to-a", "netns", "b"]).wait()
    sandbox.spawn("a", ["sh", "-c", "sleep 1000 & exec sleep 1000"])
    report("x")
    signal.pause()


@for_everyone
@pytest.mark.parametrize("victim", EVERYONE_IN_THE_CHAIN)
def test_whoever_is_killed_everything_ends(
    sandbox: Sandbox, who: str, victim: str, give_up_root: Any, eventually: Any, watch_namespaces: Any, other_processes: Any
) -> None:
    mounts_before = Path("/proc/self/mounts").read_text()
    watch = watch_namespaces()
    with front(who, build_and_stay, give_up_root) as lab:
        lab.wait_for_report()
        chain = lab.chain()
        for path in ("ns/net", "root/run/netns/a", "root/run/netns/b"):
            watch.follow(f"/proc/{chain['worker']}/{path}")
        os.kill(chain[victim], signal.SIGKILL)
        assert lab.exit_code() == (-signal.SIGKILL if victim == "front" else 4)
        eventually(lambda: not other_processes(), "processes have ended")
        watch.wait_until_all_are_gone()
    assert Path("/proc/self/mounts").read_text() == mounts_before


@for_everyone
def test_a_front_whose_lab_is_stopped_takes_it_along(
    sandbox: Sandbox, who: str, give_up_root: Any, eventually: Any, other_processes: Any
) -> None:
    with front(who, build_and_stay, give_up_root) as lab:
        lab.wait_for_report()
        chain = lab.chain()
        for process in ("worker", "init", "guard"):
            os.kill(chain[process], signal.SIGSTOP)
        os.kill(lab.pid, signal.SIGKILL)
        eventually(lambda: not other_processes(), "stopped processes have ended")


@for_everyone
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_init_ends_when_it_is_asked_to(
    sandbox: Sandbox, who: str, sent: signal.Signals, give_up_root: Any, eventually: Any, other_processes: Any
) -> None:
    with front(who, build_and_stay, give_up_root) as lab:
        lab.wait_for_report()
        os.kill(lab.chain()["init"], sent)
        assert lab.exit_code() == 4
        eventually(lambda: not other_processes(), "processes have ended")


def test_interrupting_the_front_ends_the_lab_before_the_front(sandbox: Sandbox, give_up_root: Any, other_processes: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with front("root", build_and_stay, give_up_root) as lab:
        lab.wait_for_report()
        os.kill(lab.pid, signal.SIGINT)
        assert lab.exit_code() == 99, "KeyboardInterrupt went up through run_in_sandbox"
        assert other_processes() == set()


@for_everyone
def test_a_lab_that_is_done_leaves_no_process_that_it_started(sandbox: Sandbox, who: str, give_up_root: Any, other_processes: Any) -> None:
    def start_and_return(lab: Sandbox, _report: Report) -> None:
        lab.add_namespace("a")
        lab.spawn("a", ["sh", "-c", "trap '' TERM INT HUP; sleep 1000 & setsid sleep 1000 & exec sleep 1000"])

    with front(who, start_and_return, give_up_root) as lab:
        assert lab.exit_code() == 0
        assert other_processes() == set()


@for_everyone
@pytest.mark.parametrize("seed", range(3))
def test_killing_the_front_at_any_moment_leaves_nothing(
    sandbox: Sandbox, who: str, seed: int, give_up_root: Any, eventually: Any, other_processes: Any
) -> None:
    chance = random.Random(f"{seed} {who}")

    def build(lab: Sandbox, report: Report) -> None:
        for number in range(20):
            lab.add_namespace(f"node-{number}")
            report(".")
            if number % 5 == 0:
                lab.spawn(f"node-{number}", ["sleep", "1000"])
        report("x")

    for _ in range(15):
        with front(who, build, give_up_root) as lab:
            # The length of the wait decides the moment; nothing depends on it.
            select.select([], [], [], chance.uniform(0, 0.06))
            os.kill(lab.pid, signal.SIGKILL)
            lab.exit_code()
        eventually(lambda: not other_processes(), "processes have ended")


@for_everyone
def test_killing_anyone_in_the_chain_at_any_moment_leaves_nothing(
    sandbox: Sandbox, who: str, give_up_root: Any, eventually: Any, other_processes: Any
) -> None:
    chance = random.Random(who)

    def build(lab: Sandbox, _report: Report) -> None:
        for number in range(20):
            lab.add_namespace(f"node-{number}")

    for _ in range(25):
        with front(who, build, give_up_root) as lab:
            select.select([], [], [], chance.uniform(0, 0.04))
            others = sorted(other_processes())
            with suppress(ProcessLookupError):  # it may have come to its end
                os.kill(chance.choice(others or [lab.pid]), signal.SIGKILL)
            assert lab.exit_code() in {0, 4, -signal.SIGKILL}
        eventually(lambda: not other_processes(), "processes have ended")


def test_labs_side_by_side_end_one_by_one(sandbox: Sandbox, give_up_root: Any, watch_namespaces: Any, other_processes: Any) -> None:
    first_watch, second_watch = watch_namespaces(), watch_namespaces()
    with front("root", build_and_stay, give_up_root) as first, front("ordinary user", build_and_stay, give_up_root) as second:
        first.wait_for_report()
        second.wait_for_report()
        first_chain, second_chain = first.chain(), second.chain()
        first_watch.follow(f"/proc/{first_chain['worker']}/root/run/netns/a")
        second_watch.follow(f"/proc/{second_chain['worker']}/root/run/netns/a")
        os.kill(first.pid, signal.SIGKILL)
        first_watch.wait_until_all_are_gone()
        assert second_chain["worker"] in other_processes()
        assert Path(f"/proc/{second_chain['worker']}/root/run/netns/a").exists()
        os.kill(second.pid, signal.SIGKILL)
        second_watch.wait_until_all_are_gone()


def test_two_labs_of_one_caller_end_together_with_it(sandbox: Sandbox, eventually: Any, other_processes: Any) -> None:
    """The second lab is forked from a process that holds the first one's lifeline, and must not hold it, too."""
    pid = os.fork()
    if pid == 0:

        def with_another(_first: object) -> None:
            run_in_sandbox(lambda _lab, _report: signal.pause())

        run_in_sandbox(lambda _lab, report: (report("up"), signal.pause()), on_report=with_another)
        os._exit(0)
    eventually(lambda: len(other_processes()) >= 7, "both labs are up")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    eventually(lambda: not other_processes(), "both labs have ended")
