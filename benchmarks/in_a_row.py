"""The flagship, built a thousand times in a row: the first ping after each build must be answered.

    python -m benchmarks.in_a_row [--times 1000]

Each build starts right behind the removal of the one before, which the kernel is still busy with: that is when the first packet of a lab
without a link barrier gets lost. From each pod in turn one packet goes to every pod of the other cluster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from ipaddress import IPv4Address

from benchmarks.pings import unanswered
from benchmarks.runs import median
from lab.api.inputs import open_input
from lab.kernel.engine import Engine
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.state import State


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and ping; 1 when a ping was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_a_row", description="A thousand builds, each followed by a ping.")
    parser.add_argument("--times", type=int, default=1000)
    options = parser.parse_args(arguments)
    state = open_input("calico-24-mismatch", "healthy").state()

    def work(sandbox: Sandbox, _report: Report) -> list[tuple[int, str, str]]:
        return build_again_and_again(sandbox, state, options.times)

    lost = run_in_sandbox(work)
    for build, source, target in lost:
        print(f"build {build}: no answer to {source} from {target}")
    return int(bool(lost))


def build_again_and_again(sandbox: Sandbox, state: State, times: int) -> list[tuple[int, str, str]]:
    """Build a state and take it down, `times` times; returns which first pings had no answer."""
    pods = [namespace for namespace in state if namespace.role == "pod" and namespace.addresses_of("eth0")]
    lost = []
    seconds = []
    with Engine(sandbox) as engine:
        for build in range(times):
            begin = time.perf_counter()
            engine.apply(state)
            seconds.append(time.perf_counter() - begin)
            source = pods[build % len(pods)]
            targets = {pod.name: pod.addresses_of("eth0")[0].interface.ip for pod in pods if pod.cluster != source.cluster}
            reachable = {name: address for name, address in targets.items() if isinstance(address, IPv4Address)}
            lost += [(build, *pair) for pair in unanswered(sandbox, [source.name], reachable)]
            engine.apply(State())
    print(f"{times} builds in a row, median {median(seconds) * 1e3:.0f} ms; first pings without an answer: {len(lost)}")
    return lost


if __name__ == "__main__":
    raise SystemExit(main())
