"""Play several scenarios side by side, each in a lab of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from lab.kernel.sandbox import Sandbox, run_in_sandboxes
from lab.scenario.play import Play
from lab.scenario.result import ScenarioResult
from lab.scenario.stage import EngineName, RunningLab
from lab.spec import Loaded, Scenario, Topology


def run_scenarios(
    plays: Sequence[tuple[Loaded[Scenario], Loaded[Topology]]],
    *,
    at_once: int,
    listen: Callable[[ScenarioResult], None] = lambda result: None,
    bpf: bool | None = None,
    keep_stages: bool = False,
    engine: EngineName = "lab",
) -> list[ScenarioResult]:
    """Play scenarios, `at_once` of them at a time, and return what was found, in their order.

    `listen` is called with each result as it comes; `bpf`, `keep_stages` and `engine` are as for `run_scenario`. Raises MachineError when
    this machine cannot run one of them, InputError when a change of one cannot be made; the others end then as well.
    """
    works = [partial(_play, scenario, topology, bpf, keep_stages, engine) for scenario, topology in plays]
    results: dict[int, ScenarioResult] = {}
    for number, result in run_in_sandboxes(works, at_once=at_once):
        results[number] = result
        listen(result)
    return [results[number] for number in range(len(works))]


def _play(
    scenario: Loaded[Scenario],
    topology: Loaded[Topology],
    bpf: bool | None,
    keep_stages: bool,
    engine: EngineName,
    sandbox: Sandbox,
    report: Callable[[object], None],
) -> ScenarioResult:
    with RunningLab(sandbox, bpf=bpf, engine=engine) as lab:
        return Play(lab, scenario, topology, report, keep_stages=keep_stages).run()
