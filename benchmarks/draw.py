"""Pictures: a map of forty nodes, the flagship's path in all its phases, and the whole report that a run of the flagship leaves.

    python -m benchmarks.draw [--nodes 20] [--rounds 5]

Each round runs in a fresh process, imports included. The report is of a real run, which needs what `lab run` needs; what the run takes does
not count, nor do the packets it records, which are there before the report begins.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks.runs import median

BARS = {"map": 2.0, "report": 1.0}
"""Seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in fresh processes and print a table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draw", description="How long pictures take.")
    parser.add_argument("--nodes", type=int, default=20, help="nodes of each of the two clusters of the map")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--here", action="store_true", help="measure once, in this process, and print the numbers as JSON")
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(_measure(options.nodes)))
        return 0
    command = [sys.executable, "-m", "benchmarks.draw", "--here", "--nodes", str(options.nodes)]
    rounds = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(options.rounds)]
    found = {name: median([measured[name] for measured in rounds]) for name in rounds[0]}
    print(f"medians of {options.rounds}")
    share, ratio = found["state"] / found["map"], found["paths"] / found["phases"]
    print(f"  map of {2 * options.nodes} nodes, state to SVG            {found['map']:7.3f} s   1/{share:.0f} of computing its state")
    print(f"  the flagship's paths, phases to SVG    {found['paths']:7.3f} s   {ratio:.2f} x computing its phases")
    print(f"  the same as PNG, matplotlib imported   {found['png']:7.3f} s")
    print(f"  the flagship's whole report            {found['report']:7.3f} s   {found['report'] / found['run']:.2f} x its run")
    missed = [name for name, bar in BARS.items() if found[name] > bar]
    print(f"missed: {', '.join(missed)}" if missed else "every bar is kept")
    return 1 if missed else 0


def _measure(nodes: int) -> dict[str, float]:
    """Time everything once, in seconds."""
    from lab.api.inputs import open_state
    from lab.api.questions import trace
    from lab.report.diagram import View, layout, mermaid, svg
    from lab.report.diagram.topology import topology
    from lab.scenario.phases import compile_stages
    from lab.spec import open_scenario

    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        started = time.perf_counter()
        result = work()
        found[name] = time.perf_counter() - started
        return result

    with TemporaryDirectory() as folder:
        file = _large(Path(folder), nodes)
        state = timed("state", lambda: open_state(str(file)))
    timed("map", lambda: svg(topology(state, "map")))  # type: ignore[arg-type]
    scenario, spec = open_scenario("calico-24-mismatch")
    stages = timed("phases", lambda: list(compile_stages(spec, scenario)))
    first = {stage.phase: (stage.title, state) for stage, state in reversed(stages)}  # type: ignore[call-overload]
    views = [View(name, state, trace(state, "c1-w1-a", "c2-w1-a"), title) for name, (title, state) in reversed(first.items())]

    def paths() -> object:
        diagram = layout(views, compare=("broken", "fixed"))
        return svg(diagram.scene, "broken", every_phase=True), [mermaid(diagram, view.name) for view in diagram.views], diagram

    diagram = timed("paths", paths)[2]  # type: ignore[index]

    def png() -> bytes:
        from lab.report.diagram.as_image import image

        return image(diagram.scene, "broken")

    timed("png", png)

    def run() -> object:
        from lab.scenario.play import run_scenario

        return run_scenario(scenario, spec, keep_stages=True)

    result = timed("run", run)
    started = datetime.now(UTC)

    def report(folder: str) -> object:
        from lab.report.leaving import Run, leave_report

        return leave_report(Run("calico-24-mismatch", None, scenario, spec, result, started, bpf=True), Path(folder))  # type: ignore[arg-type]

    with TemporaryDirectory() as folder:
        timed("report", lambda: report(folder))
    return found


def _large(folder: Path, nodes: int) -> Path:
    """Write the flagship's topology with more nodes."""
    from lab.spec.shipped import find

    topology = yaml.safe_load(find("two-clusters", "topologies").read_text())
    for number, (cluster, net) in enumerate((("cluster-1", "172.18.1"), ("cluster-2", "172.18.2")), 1):
        topology["clusters"][cluster]["nodes"] = {
            f"c{number}-n{node}": {
                "address": f"{net}.{node + 2}",
                "gateway": node == 0,
                "pods": {f"c{number}-n{node}-{pod}": {} for pod in "ab"},
            }
            for node in range(nodes)
        }
        topology["clusters"][cluster]["services"] = {}
    file = folder / "large.yaml"
    file.write_text(yaml.safe_dump(topology, sort_keys=False))
    return file


if __name__ == "__main__":
    raise SystemExit(main())
