"""Networks whose answers the kernel gave once, so that the model can be held against it anywhere, and broken on purpose.

A corpus is written by `python -m lab.explain.agreement.corpus FILE VERSION SEEDS...` as root, where VERSION is that of IP, 4 or 6, and
SEEDS are numbers and ranges as 0-199. What
is recorded happened in two builds of a network, and the model predicts it. A corpus holds seeds, not networks: the digest of each
network, of the commands that make it and the questions to it, tells when the generator has changed, and the corpus has to be recorded anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Literal

from lab.explain.agreement.judge import Tally, judge
from lab.forwarding import Flow
from lab.forwarding.generate import all_pairs, asked_in_ipv6, in_ipv6, random_flows, random_state
from lab.state import State, commands_of

PROBES = 20
"""Questions to each network."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One network of a corpus and what the kernel answered."""

    seed: int
    version: Literal[4, 6]
    digest: str
    answers: tuple[str, ...]


def network_of(
    seed: int, probes: int | None = PROBES, nodes: int | None = None, version: Literal[4, 6] = 4
) -> tuple[State, tuple[Flow, ...]]:
    """Return the network of a seed and the questions to it; with `probes` None everybody pings everybody. `version` is that of IP."""
    random = Random(seed)
    state = random_state(random, nodes, mixed=version == 4)
    flows = all_pairs(random, state) if probes is None else random_flows(random, state, probes)
    return (state, flows) if version == 4 else (in_ipv6(state), tuple(map(asked_in_ipv6, flows)))


def digest_of(state: State, flows: tuple[Flow, ...]) -> str:
    """Return what tells this network and these questions from others."""
    commands = "\n".join(command.text for command in commands_of(state))
    return sha256(f"{commands}{flows!r}".encode()).hexdigest()[:16]


def read_corpus(path: Path) -> tuple[Recorded, ...]:
    """Read a corpus."""
    return tuple(Recorded(item["seed"], item["version"], item["digest"], tuple(item["answers"])) for item in json.loads(path.read_text()))


def replay(corpus: tuple[Recorded, ...]) -> Iterator[tuple[Recorded, Tally]]:
    """Hold the model against each network of a corpus."""
    for recorded in corpus:
        state, flows = network_of(recorded.seed, version=recorded.version)
        answers = iter(recorded.answers)
        yield recorded, judge(state, flows, lambda flow, expected, answers=answers: next(answers))  # type: ignore[misc]


def _record(path: Path, version: Literal[4, 6], seeds: Iterable[int]) -> str | None:
    """Record what can be; returns what could not."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        recorded = list(pool.map(partial(_ask_about, version), seeds))
    found = [asdict(one) for one in recorded if not isinstance(one, int)]
    missing = [one for one in recorded if isinstance(one, int)]
    path.write_text(json.dumps(found, indent=0) + "\n")
    return f"not recorded, since two builds and the model do not say the same: {missing}" if missing else None


def _ask_about(version: Literal[4, 6], seed: int) -> Recorded | int:
    """Return what the kernel says twice about the network of a seed, and the model as well; otherwise the seed."""
    from lab.explain.agreement.compare import Part, compare
    from lab.explain.agreement.repeat import answers_given_twice
    from lab.kernel.sandbox import run_in_sandbox

    state, flows = network_of(seed, version=version)
    answers = run_in_sandbox(
        lambda sandbox, report: answers_given_twice(lambda build: compare(Part(sandbox, f"{seed}.{build}"), state, flows))
    )
    return seed if answers is None else Recorded(seed, version, digest_of(state, flows), tuple(answers))


def _seeds(words: Iterable[str]) -> Iterator[int]:
    for word in words:
        first, _, last = word.partition("-")
        yield from range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(_record(Path(sys.argv[1]), 6 if sys.argv[2] == "6" else 4, _seeds(sys.argv[3:])))
