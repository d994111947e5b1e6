"""The pytest plug-in: a lab as a fixture, and scenario files as tests.

    def test_cluster_1_hears_from_a_stranger(lab):
        net = lab.open("calico-24-mismatch", "broken")
        assert str(net.ping("c1-w1-a", "c2-w1-a").icmp.source) == "10.128.11.126"

With ``lab_scenarios = ["incidents/*.yaml"]`` in pytest's configuration each scenario file that a pattern means is a test, or each variant
of one. Where the machine cannot run a lab, its tests are skipped with the name of what is missing; ``--lab-required`` lets them fail.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.errors import ExitCode, LabError, MachineError

if TYPE_CHECKING:
    from lab.api.session import Session
    from lab.scenario.result import ScenarioResult

WIDTH = 120
"""Columns of a failed run's report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plug-in's option and its key of pytest's configuration."""
    parser.getgroup("lab", "networks in a lab").addoption(
        "--lab-required", action="store_true", help="Fail, instead of skipping, where this machine cannot run a lab."
    )
    parser.addini("lab_scenarios", "Patterns of scenario files, below the root folder: each of them is a test.", type="args", default=[])


@dataclass(frozen=True, slots=True)
class Labs:
    """Opens labs for one test; they end with it. Files are looked for beside the test's own file first."""

    folder: Path
    required: bool
    _open: ExitStack = field(default_factory=ExitStack)

    def open(self, name: str, phase: str | None = None, *, bpf: bool | None = None) -> Session:
        """Start the lab that a topology, or a phase of a scenario, describes. Raises InputError for what is wrong with the file."""
        import lab

        with _missing(self.required):
            return self._open.enter_context(lab.open(self._find(name), phase, bpf=bpf))

    def run(self, name: str, *, bpf: bool | None = None) -> ScenarioResult:
        """Play a scenario to its end and return what was found: `assert lab.run("incident.yaml").exit_code == 0`."""
        import lab

        with _missing(self.required):
            return lab.run(self._find(name), bpf=bpf)

    def close(self) -> None:
        """End what was opened."""
        self._open.close()

    def _find(self, name: str) -> str:
        file, separator, variant = name.partition("#")
        beside = self.folder / file
        return f"{beside}{separator}{variant}" if beside.is_file() else name


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Labs]:
    """Labs on the real kernel: `lab.open(FILE, PHASE)` starts one, `lab.run(FILE)` plays a scenario."""
    labs = Labs(request.path.parent, request.config.getoption("--lab-required"))
    yield labs
    labs.close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect the files that `lab_scenarios` means."""
    root = parent.config.rootpath
    patterns = parent.config.getini("lab_scenarios")
    if file_path.is_relative_to(root) and any(file_path.relative_to(root).match(pattern) for pattern in patterns):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    """A scenario file: one test, or one for each of its variants."""

    def collect(self) -> Iterable[ScenarioItem]:
        """Read the file. What is wrong with it is said without a traceback."""
        from lab.spec import Loaded, open_file

        try:
            opened = open_file(str(self.path))
        except LabError as error:
            raise self.CollectError(str(error)) from None
        if isinstance(opened, Loaded):
            return  # a topology that lies beside
        for variant, (scenario, _) in opened.items():
            yield ScenarioItem.from_parent(self, name=variant or scenario.model.scenario, variant=variant)


class ScenarioFailed(Exception):
    """Something in a run is not as expected."""

    def __init__(self, result: ScenarioResult) -> None:
        super().__init__(result.conclusion)
        self.result = result


class ScenarioItem(pytest.Item):
    """One scenario, played from its first phase to the comparison."""

    def __init__(self, *, variant: str, **known: object) -> None:
        super().__init__(**known)  # type: ignore[arg-type]
        self.variant = variant

    def runtest(self) -> None:
        """Play it."""
        import lab

        with _missing(self.config.getoption("--lab-required")):
            result = lab.run(f"{self.path}#{self.variant}" if self.variant else str(self.path))
        if result.exit_code is not ExitCode.OK:
            raise ScenarioFailed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Say what is not as expected, as `lab run` does."""
        if isinstance(excinfo.value, ScenarioFailed):
            return _report(excinfo.value.result)
        return str(excinfo.value) if isinstance(excinfo.value, LabError) else str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say which test this is."""
        return self.path, None, f"lab run {self.path.name}{f'#{self.variant}' if self.variant else ''}"


def _report(result: ScenarioResult) -> str:
    from rich.console import Console

    from lab.report.text import phase_lines

    console = Console(width=WIDTH, no_color=True, highlight=False)
    with console.capture() as captured:
        for phase in result.phases:
            console.print(phase_lines(phase.name, phase.title, phase.verdicts))
        console.print(result.conclusion, markup=False)
    return captured.get()


@contextmanager
def _missing(required: bool) -> Iterator[None]:
    """Skip a test that this machine cannot run, unless it must."""
    try:
        yield
    except MachineError as error:
        if required:
            raise
        pytest.skip(str(error))


if sys.platform != "linux":  # there is no lab without Linux, and a test that says so is better than an import that fails

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """Skip what needs a lab."""
        for item in items:
            if isinstance(item, ScenarioItem) or "lab" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="a lab needs Linux"))
