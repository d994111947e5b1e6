"""What a run leaves: its report in every format, and a bundle that plays it again; for several runs an index as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.report.bundle import bundle_of
from lab.report.collect import report_of
from lab.report.folder import folder_names, index_json, write_files
from lab.report.junit import junit_xml
from lab.report.model import Report
from lab.report.page import index_html, report_html
from lab.report.pictures import charts, pictures_of
from lab.report.sources import Sources
from lab.report.summary import index_md, summary_md
from lab.scenario.result import ScenarioResult
from lab.scenario.story import stories
from lab.spec import Loaded, Scenario, Topology


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over, with its stages, and how it came about."""

    called: str
    """The scenario as the person who ran it called it: ``FILE`` or ``FILE#VARIANT``."""
    variant: str | None
    """Of a scenario file with variants, which one it was."""
    scenario: Loaded[Scenario]
    topology: Loaded[Topology]
    result: ScenarioResult
    started: datetime
    bpf: bool
    """Whether BPF was allowed to be the witness."""
    packets: bytes = b""
    """Every packet as a pcapng file, where they were recorded."""


def leave_reports(runs: Sequence[Run], folder: Path) -> Path:
    """Write what runs leave: of one run into the folder itself, of several into a folder each, and an index.

    Returns the page to look at first. Raises InputError when something cannot be written.
    """
    if len(runs) == 1:
        leave_report(runs[0], folder)
        return folder / "report.html"
    names = folder_names(run.result.scenario for run in runs)
    entries = [(name, leave_report(run, folder / name)) for name, run in zip(names, runs, strict=True)]
    write_files(
        folder,
        {
            "index.html": index_html(entries),
            "index.json": index_json(entries),
            "summary.md": index_md(entries),
            "junit.xml": junit_xml([run.result for run in runs]),
        },
    )
    return folder / "index.html"


def leave_report(run: Run, folder: Path) -> Report:
    """Write what one run leaves into a folder, and return its report. Raises InputError."""
    told = stories(run.result)
    sources = Sources.of(run.scenario, run.topology)
    report = report_of(run.result, told, run.scenario, sources, run.started)
    pictures = pictures_of(report, told)
    recorded = {"run.pcapng": run.packets} if run.packets else {}
    write_files(
        folder,
        {
            **recorded,
            "report.html": report_html(report, pictures, _again(run)),
            "report.json": report.model_dump_json(indent=1) + "\n",
            "junit.xml": junit_xml([run.result]),
            "summary.md": summary_md(report, charts(pictures)),
            "run.zip": bundle_of(report, sources, run.variant, bpf=run.bpf),
        },
    )
    return report


def report_json(run: Run) -> dict[str, Any]:
    """Return the report of a run as JSON values."""
    report = report_of(run.result, stories(run.result), run.scenario, Sources.of(run.scenario, run.topology), run.started)
    return report.model_dump(mode="json")


def _again(run: Run) -> list[tuple[str, str]]:
    """Return the commands that show the same again, each with what it does."""
    commands = [
        (
            "sudo lab run --replay run.zip",
            "plays exactly this run again, from the bundle beside this file, and says where the report differs",
        ),
        (f"sudo lab run {run.called} --report DIR", "runs the scenario, wherever its file is, and leaves a report like this one"),
    ]
    lost = next(((stage, one) for stage in run.result.stages for one in stage.lost), None)
    if lost is not None:
        stage, one = lost
        commands += [
            (
                f"sudo lab up {run.called} --phase {stage.phase} --name incident",
                "builds the network as it is when it is broken, and keeps it",
            ),
            (f"sudo lab shell incident {one.source}", "opens a shell where the packet is sent: ping, ip, tcpdump and curl work there"),
            (
                f"lab trace {run.called}@{stage.phase} {one.source} {one.target} -v",
                "predicts the way of the packet, with all that is looked up",
            ),
        ]
    return commands
