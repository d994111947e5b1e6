"""Whoever of a running lab is killed, and whenever: nothing stays.

Each test runs in a sandbox of its own, in which it sees every process there is, and is told of every network namespace that ends.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from lab.kernel.impairments import has_netem
from lab.kernel.sandbox import Sandbox
from tests.e2e.command import FLAGSHIP, command
from tests.sandboxed import NamespaceWatch

pytestmark = [pytest.mark.e2e, pytest.mark.kernel]

PHASES = ("healthy", "broken", "routes-only", "fixed")


def namespaces_of(processes: set[int]) -> set[str]:
    """The network namespaces that processes are in, each as a path of one of them."""
    found: dict[int, str] = {}
    for pid in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            path = f"/proc/{pid}/ns/net"
            found.setdefault(Path(path).stat().st_ino, path)
    own = Path("/proc/self/ns/net").stat().st_ino
    return {path for inode, path in found.items() if inode != own}


def left_behind() -> dict[str, list[str]]:
    """What a lab might leave in the file system, as far as this sandbox goes."""
    return {
        "mounts": Path("/proc/self/mounts").read_text().splitlines(),
        "names": sorted(path.name for path in Path("/run/netns").iterdir()),
        "files": sorted(str(path) for path in Path("/run").rglob("*")),
    }


def kill_one(chance: random.Random, started: subprocess.Popen[bytes], others: Callable[[], set[int]], watch: NamespaceWatch) -> None:
    """Kill one of the lab's processes: the one that was started, as often as not, or any other."""
    alive = others()
    for path in namespaces_of(alive):
        with suppress(FileNotFoundError, OSError):
            watch.follow(path)
    victims = sorted(alive - {started.pid})
    victim = started.pid if not victims or chance.random() < 0.5 else chance.choice(victims)
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(started.pid, signal.SIGKILL)  # who lost a helper may live on with an error; the moment is over for it as well


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("phase", ["the start", *PHASES])
def test_nothing_stays_whoever_is_killed_in(
    phase: str, seed: int, sandbox: Sandbox, other_processes: Callable[[], set[int]], eventually: Callable[..., None]
) -> None:
    chance = random.Random(f"{phase} {seed}")
    before, alive_before = left_behind(), other_processes()
    watch = NamespaceWatch()
    words = command("run", str(FLAGSHIP), "--json", "--verbose")
    started = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
    assert started.stderr is not None
    while phase in PHASES and not (line := started.stderr.readline()).startswith(phase.encode()):
        assert line, f"the lab ended before {phase}"
    for _ in range(chance.randrange(25)):  # so far into the phase, in lines of its progress, or in time where it says nothing
        if select.select([started.stderr], [], [], 0.03)[0]:
            os.read(started.stderr.fileno(), 100)
    kill_one(chance, started, lambda: other_processes() - alive_before, watch)
    started.wait()
    started.stderr.close()
    eventually(lambda: other_processes() == alive_before, "every process of the lab is gone")
    if watch.follows_any:
        watch.wait_until_all_are_gone()
    assert left_behind() == before


FAR = """scenario: far
topology: three-in-a-row
phases:
  far:
    changes: [{impairment: {on: [r1, r2], device: middle, delay: 2000}}]
    expect: [{series: {from: [a], to: [b], count: 3, lost: [0, 0]}}]
"""


@pytest.mark.skipif(has_netem(), reason="packets wait in the kernel")
@pytest.mark.parametrize("victim", ["who holds packets", "who was started"])
def test_nor_does_who_holds_packets_that_are_delayed(
    victim: str, sandbox: Sandbox, other_processes: Callable[[], set[int]], eventually: Callable[..., None], tmp_path: Path
) -> None:
    before, alive_before = left_behind(), other_processes()
    file = tmp_path / "far.yaml"
    file.write_text(FAR)
    started = subprocess.Popen(command("run", str(file)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
    relays: list[int] = []

    def has_begun() -> bool:
        relays[:] = [pid for pid in other_processes() - alive_before if b"kernel/relay.py" in words_of(pid)]
        return bool(relays)

    eventually(has_begun, "packets are held")
    os.kill(relays[0] if victim == "who holds packets" else started.pid, signal.SIGKILL)
    _, said = started.communicate()
    if victim == "who holds packets":
        assert started.returncode == 4
        assert b"the process that holds delayed packets has ended" in said
    eventually(lambda: other_processes() == alive_before, "every process of the lab is gone")
    assert left_behind() == before


def words_of(pid: int) -> bytes:
    """The command line of a process; empty when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
