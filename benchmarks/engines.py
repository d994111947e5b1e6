"""The two engines side by side: how long it takes to build a network and to end it, and what it holds in memory.

    python -m benchmarks.engines [--files calico-24-mismatch@fixed ...] [--rounds 3]

Building ends when links forward and addresses are at work, ending when the kernel has removed the last network namespace, which takes a
tenth of a second to find out. Memory is that of
the processes of the lab (proportional set size), servers included, and of the kernel.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import rivals
from benchmarks.runs import at_rest, kernel_memory, median
from lab.api.inputs import open_state
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.scenario.stage import EngineName, RunningLab
from lab.state import State

FILES = ("calicoctl-2149@fixed", "calico-24-mismatch@fixed", "three-clusters")
ENGINES: tuple[EngineName, ...] = ("lab", "mininet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both engines in turn and print the table, in Markdown as the README has it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description="The two engines side by side.")
    parser.add_argument("--files", nargs="+", default=FILES)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    missing = rivals.why_no_mininet()
    if missing:
        print(f"not measured: {missing}")
        return 0
    print("| network | nodes | engine | build | tear-down | memory |")
    print("|---|---|---|---|---|---|")
    for file in options.files:
        state = open_state(file)
        rounds = [[_measured(state, engine) for engine in ENGINES] for _ in range(options.rounds)]
        for number, engine in enumerate(ENGINES):
            build, end, memory = (median([round_[number][part] for round_ in rounds]) for part in range(3))
            nodes = f"| {file} | {len(state.namespaces)} " if engine == "lab" else "| | "
            print(f"{nodes}| {engine} | {build:.2f} s | {end:.2f} s | {memory / 2**20:.0f} MiB |")
    return 0


def _measured(state: State, engine: EngineName) -> tuple[float, float, float]:
    """Return seconds to build, seconds to end, and bytes held, of one lab."""
    at_rest()
    ended: list[float] = []

    def work(sandbox: Sandbox, report: Callable[[object], None]) -> tuple[float, float]:
        held = kernel_memory()
        began = time.perf_counter()
        with RunningLab(sandbox, engine=engine) as lab:
            lab.reach(state)
            seconds = time.perf_counter() - began
            memory = kernel_memory() - held + _memory_of_processes()
            report("built")
            return seconds, memory

    seconds, memory = run_in_sandbox(work, on_report=lambda _: ended.append(time.perf_counter()))
    at_rest()
    return seconds, time.perf_counter() - ended[0], memory


def _memory_of_processes() -> int:
    """Return the proportional set size of every process of the sandbox, whose /proc this is, in bytes."""
    total = 0
    for file in Path("/proc").glob("[0-9]*/smaps_rollup"):
        try:
            lines = file.read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
