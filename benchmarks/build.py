"""Building a lab, against everything else that could build it.

    python -m benchmarks.build [--nodes 10 50 200] [--rounds 5] [--without mininet]

Each N is N nodes in two clusters, two pods a node, a VXLAN mesh in each cluster, 20 routes, 5 rules and 6 sysctls a node: 3 N + 3 network
namespaces. All rivals reach the same state and are measured in turn, several times; what is compared are medians.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import rivals
from benchmarks.runs import as_ordinary_user, as_root, interleaved, kernel_memory, median
from benchmarks.shapes import clusters
from lab.kernel.engine import Engine
from lab.kernel.plan import plan
from lab.kernel.sandbox import Sandbox
from lab.state import State

BARS = {"C": 1.25, "ip -batch": 3.0, "mininet": 15.0, "rootless": 1.1}
"""At most so many times C and root; at least so many times faster than the others."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.build", description="Building a lab, against its rivals.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], choices=["C", "ip -batch", "mininet", "rootless"])
    options = parser.parse_args(arguments)
    missing = rivals.why_no_mininet()
    if missing and "mininet" not in options.without:
        print(f"without mininet: {missing}")
        options.without.append("mininet")
    missed = False
    _compare_what_is_built(set(options.without))
    with tempfile.TemporaryDirectory() as folder:
        program = rivals.compile_floor(Path(folder))
        for nodes in options.nodes:
            missed |= not _measure(nodes, options.rounds, set(options.without), program)
    return int(missed)


def _compare_what_is_built(without: set[str]) -> None:
    """Make sure, on a small lab, that all rivals reach the same state."""
    state = clusters(4)
    builders = {
        "ip -batch": rivals.ip_batch(state),
        "mininet": rivals.mininet(state),
        "mininet, batched": rivals.mininet(state, batched=True),
    }
    ours = as_root(lambda sandbox: rivals.lab(lambda: state)(sandbox, look=True))
    for name, build in builders.items():
        if name.partition(",")[0] in without:
            continue
        theirs = as_root(partial(build, look=True))
        assert isinstance(ours, dict)
        assert isinstance(theirs, dict)
        for namespace, lines in ours.items():
            differing = set(lines) ^ set(theirs[namespace])
            if differing:
                raise SystemExit(f"{name} builds something else in {namespace}:\n" + "\n".join(sorted(differing)))
        print(f"lab and {name} build the same")


def _measure(nodes: int, rounds: int, without: set[str], program: Path) -> bool:
    state = clusters(nodes)
    messages = plan(State(), state).messages
    builders: dict[str, Callable[[], float]] = {
        "lab": lambda: _seconds(as_root(rivals.lab(lambda: clusters(nodes)))),
        "C": lambda: _seconds(as_root(rivals.floor(program, state))),
        "rootless": lambda: _seconds(as_ordinary_user(rivals.lab(lambda: clusters(nodes)))),
        "ip -batch": lambda: _seconds(as_root(rivals.ip_batch(state))),
    }
    chosen = {name: run for name, run in builders.items() if name not in without}
    seconds = interleaved(chosen, rounds)
    if "mininet" not in without:
        # Once: it takes longer than all the others together, and is far from any bar.
        seconds["mininet"] = [_seconds(as_root(rivals.mininet(state)))]
        seconds["mininet, batched"] = [_seconds(as_root(rivals.mininet(state, batched=True)))]
    per_node = as_root(_memory(nodes)) / nodes
    print(
        f"\n{nodes} nodes, {len(state.namespaces)} namespaces, {messages} netlink messages; kernel memory {per_node / 2**20:.2f} MiB a node"
    )
    kept = [_report(name, seconds, rounds) for name in seconds]
    return all(kept)


def _seconds(built: float | rivals.Picture) -> float:
    assert isinstance(built, float)
    return built


def _report(name: str, seconds: dict[str, list[float]], rounds: int) -> bool:
    """Print a rival's line; whether its bar is kept."""
    ours, theirs = median(seconds["lab"]), median(seconds[name])
    spread = f"{min(seconds[name]) * 1e3:.0f} to {max(seconds[name]) * 1e3:.0f}"
    line = f"  {name:16} {theirs * 1e3:8.0f} ms  ({spread}, {len(seconds[name])} of {rounds} rounds)"
    bar = BARS.get(name)
    if bar is None:
        print(line)
        return True
    match name:
        case "C":
            ratio, kept, words = ours / theirs, ours / theirs <= bar, "lab takes {:.2f} times as long (bar: at most {})"
        case "rootless":
            ratio, kept, words = theirs / ours, theirs / ours <= bar, "{:.2f} times root's time (bar: at most {})"
        case _:
            ratio, kept, words = theirs / ours, theirs / ours >= bar, "lab is {:.1f} times faster (bar: at least {})"
    print(f"{line}  {words.format(ratio, bar)}{'' if kept else '  MISSED'}")
    return kept


def _memory(nodes: int) -> Callable[[Sandbox], float]:
    def build(sandbox: Sandbox) -> float:
        state = clusters(nodes)
        engine = Engine(sandbox)
        before = kernel_memory()
        engine.apply(state)
        return float(kernel_memory() - before)

    return build


if __name__ == "__main__":
    raise SystemExit(main())
