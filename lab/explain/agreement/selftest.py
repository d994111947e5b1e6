"""A long comparison of the model with this kernel: many random networks, on all processors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import Literal

from lab.errors import InputError
from lab.explain.agreement.compare import Part, compare
from lab.explain.agreement.corpus import network_of
from lab.explain.agreement.repeat import compare_until_sure
from lab.explain.agreement.routes import compare_routes
from lab.forwarding import Flow
from lab.forwarding.generate import policy_state
from lab.kernel.engine import Engine
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.state import State

BATCH = 16
"""Networks that share a sandbox."""
LOOKUPS = 500
"""Lookups compared in each network."""
WORKERS_PER_PROCESSOR = 2
"""While one waits for a neighbour that does not answer, another has the processor."""


@dataclass(slots=True)
class Report:
    """What a self-test found."""

    networks: int = 0
    probes: int = 0
    rationed: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    """Why the model could not say, and how often."""
    listed: Counter[str] = field(default_factory=Counter)
    """Differences that are known, by their names in lab/forwarding/limits.toml."""
    disagreements: list[str] = field(default_factory=list)
    unrepeated: list[str] = field(default_factory=list)
    """Disagreements that did not come again when the network was built anew: what a busy machine lost."""
    refused: list[str] = field(default_factory=list)
    """Networks the kernel would not build: mistakes of the generator."""

    def add(self, other: Report) -> None:
        """Take over what another one found."""
        self.networks += other.networks
        self.probes += other.probes
        self.rationed += other.rationed
        self.unknown.update(other.unknown)
        self.listed.update(other.listed)
        self.disagreements += other.disagreements
        self.unrepeated += other.unrepeated
        self.refused += other.refused


def selftest(
    networks: int,
    *,
    probes: int | None = 20,
    nodes: int | None = None,
    version: Literal[4, 6] = 4,
    seed: int = 0,
    on_progress: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Compare `networks` random networks with `probes` random questions each; network number n has the seed `seed` + n.

    With `probes` None every namespace pings every other one. `nodes` is how many namespaces each network has; otherwise that is random.
    """
    total = Report()
    for report in _on_all_processors(partial(_batch, probes=probes, nodes=nodes, version=version), range(seed, seed + networks)):
        total.add(report)
        on_progress(total)
    return total


def selftest_of_lookups(
    networks: int, *, lookups: int = LOOKUPS, seed: int = 0, on_progress: Callable[[Report], None] = lambda report: None
) -> Report:
    """Compare which rule and which route decide: `lookups` random packets in each of some networks full of policy rules (RTM_GETROUTE)."""
    total = Report()
    for report in _on_all_processors(partial(_batch_of_lookups, lookups=lookups), range(seed, seed + networks)):
        total.add(report)
        on_progress(total)
    return total


def _on_all_processors(work: Callable[[range], Report], seeds: range) -> Iterator[Report]:
    batches = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
    workers = WORKERS_PER_PROCESSOR * (os.cpu_count() or 1)
    with ProcessPoolExecutor(min(workers, len(batches)), mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(work, batch) for batch in batches]):
            yield finished.result()


def _batch_of_lookups(seeds: range, lookups: int) -> Report:
    def work(sandbox: Sandbox, report: object) -> Report:
        total = Report()
        for seed in seeds:
            total.add(_compare_lookups(sandbox, seed, lookups))
        return total

    return run_in_sandbox(work)


def _compare_lookups(sandbox: Sandbox, seed: int, lookups: int) -> Report:
    random = Random(seed)
    state = policy_state(random)
    with Engine(Part(sandbox, str(seed))) as engine:
        try:
            engine.apply(state)
        except InputError as error:
            return Report(refused=[f"network {seed}: {error.message}"])
        found = compare_routes(engine, state, random, lookups)
    unknown = Counter({"lookups that depend on what is not modelled": found.unknown} if found.unknown else {})
    return Report(1, lookups, unknown=unknown, disagreements=[f"network {seed}: {one}" for one in found.disagreements])


def _batch(seeds: range, probes: int | None, nodes: int | None, version: Literal[4, 6]) -> Report:
    """Compare some networks, in a sandbox for all of them."""

    def work(sandbox: Sandbox, report: object) -> Report:
        total = Report()
        for seed in seeds:
            total.add(_compare(sandbox, seed, *network_of(seed, probes, nodes, version)))
        return total

    return run_in_sandbox(work)


def _compare(sandbox: Sandbox, seed: int, state: State, flows: Sequence[Flow]) -> Report:
    try:
        tally = compare_until_sure(lambda build: compare(Part(sandbox, f"{seed}.{build}"), state, flows)).summary()
    except InputError as error:
        return Report(refused=[f"network {seed}: {error.message}"])
    return Report(
        1,
        tally.probes,
        tally.rationed,
        Counter(tally.reasons),
        Counter(tally.listed),
        [f"network {seed}: {text}" for text in tally.disagreements],
        [f"network {seed}: {text}" for text in tally.unrepeated],
    )
