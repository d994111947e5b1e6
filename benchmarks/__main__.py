"""All benchmarks, one after the other: `python -m benchmarks`, or one of them: `python -m benchmarks build --nodes 10`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks import allpairs, build, commands, draw, engines, evidence, in_a_row, model

BENCHMARKS: dict[str, Callable[[Sequence[str]], int]] = {
    "build": build.main,
    "engines": engines.main,
    "allpairs": allpairs.main,
    "in_a_row": in_a_row.main,
    "model": model.main,
    "draw": draw.main,
    "commands": commands.main,
    "evidence": evidence.main,
}


def main() -> int:
    """Run what the first argument names, or everything; 1 when a bar is missed."""
    if len(sys.argv) > 1 and sys.argv[1] in BENCHMARKS:
        return BENCHMARKS[sys.argv[1]](sys.argv[2:])
    if len(sys.argv) > 1:
        print(f"usage: python -m benchmarks [{' | '.join(BENCHMARKS)}] [--help]", file=sys.stderr)
        return 2
    missed = 0
    for name, run in BENCHMARKS.items():
        print(f"\n== {name}")
        missed |= run([])
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
