"""What a person waits for: the flagship from Enter to its verdict, and the commands that need no kernel.

python -m benchmarks.commands [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runs import at_rest, interleaved, median

LAB = str(Path(sys.executable).with_name("lab"))
FLOOR = "python -c pass"
COMMANDS = {
    FLOOR: (sys.executable, "-c", "pass"),
    "lab --help": (LAB, "--help"),
    "lab check calico-24-mismatch": (LAB, "check", "calico-24-mismatch"),
    "lab run calico-24-mismatch": (LAB, "run", "calico-24-mismatch"),
}
BARS = {"lab --help": 1 / 3, "lab check calico-24-mismatch": 1 / 3, "lab run calico-24-mismatch": 3.0}
"""Seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each command in turn; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands", description="Commands, from their start to their end.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    found = interleaved({name: lambda words=words: _seconds(words) for name, words in COMMANDS.items()}, options.rounds)  # type: ignore[misc]
    missed = 0
    for name, seconds in found.items():
        bar = BARS.get(name)
        kept = bar is None or median(seconds) <= bar
        missed |= not kept
        said = f" (bar: {bar:.2f} s){'' if kept else '  MISSED'}" if bar is not None else ""
        print(f"{name:<30} median {median(seconds):.3f} s, best {min(seconds):.3f} s{said}")
    return int(missed)


def _seconds(words: Sequence[str]) -> float:
    """Run a command to its end, which must be a good one, and return how long that took."""
    at_rest()
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
