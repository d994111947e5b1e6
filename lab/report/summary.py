"""A report in Markdown, for a ticket, a pull request or the summary of a CI job; its pictures are Mermaid, which those draw."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lab.report.model import Behaviour, Correction, Entry, Expectation, Lost, Report, Scene, Story

LARGEST: Final = 1 << 20
"""Bytes; GitHub drops the summary of a job step that is longer (docs.github.com, workflow commands)."""
SHOWN_FAILURES: Final = 50
SHOWN_COMMANDS: Final = 200
MARKS: Final = {0: "✅", 1: "❌", 4: "❔"}
_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~]|^[#+>=-])")


def summary_md(report: Report, pictures: Mapping[str, str]) -> str:
    """Return a report in Markdown, shorter than LARGEST. `pictures` are Mermaid texts of the stage where a story was lost, by its id."""
    parts: list[str] = []
    left = LARGEST - 200
    for part in _parts(report, pictures):
        left -= len(part.encode())
        if left < 0:
            parts.append("\n*The rest did not fit here; report.html has it.*\n")
            break
        parts.append(part)
    return "".join(parts)


def index_md(entries: Sequence[tuple[str, Report]]) -> str:
    """Return several reports as one table in Markdown, each with the name of its folder."""
    rows = []
    for name, report in entries:
        verdict = report.verdict
        held = f"{verdict.held} of {verdict.held + verdict.failed + verdict.undecided}"
        about = f"{MARKS[verdict.exit_code]} **{escaped(report.scenario)}** | {escaped(verdict.conclusion)}"
        rows.append(f"| {about} | {held} | {code(f'{name}/report.html')} |")
    return "\n".join(["| scenario | verdict | expectations that hold | |", "|---|---|---:|---|", *rows, ""])


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")


def code(text: str) -> str:
    """Return text as code within a line."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence}{' ' if len(fence) > 1 else ''}{line}{' ' if len(fence) > 1 else ''}{fence}".replace("|", "\\|")


def block(text: str, language: str = "") -> str:
    """Return text as a block of code."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


def _parts(report: Report, pictures: Mapping[str, str]) -> Iterator[str]:
    verdict = report.verdict
    yield f"## {MARKS[verdict.exit_code]} {escaped(report.title or report.scenario)}\n\n"
    total = verdict.held + verdict.failed + verdict.undecided
    yield f"**{escaped(verdict.conclusion[:1].upper() + verdict.conclusion[1:])}.** {verdict.held} of {total} expectations hold"
    yield f"; {verdict.probes} probes, {report.duration_ms / 1000:.1f} s, Linux {escaped(report.machine.kernel)}.\n\n"
    yield from _phases(report)
    yield from _failures([one for phase in report.phases for step in phase.steps for one in step.expectations])
    for number, story in enumerate(report.stories):
        yield from _story(story, pictures, first=number == 0)
    if report.same is not None:
        yield _same(report)
    if report.behaviour is not None:
        yield from _behaviour(report.behaviour)
    if report.correction is not None:
        yield from _correction(report.correction)
    yield from _foot(report)


def _phases(report: Report) -> Iterator[str]:
    yield "| phase | | expectations that hold | probes |\n|---|---|---:|---:|\n"
    for phase in report.phases:
        statuses = [one.status for step in phase.steps for one in step.expectations]
        mark = "❌" if "failed" in statuses else "❔" if "undecided" in statuses else "✅"
        held = f"{statuses.count('held')} of {len(statuses)}"
        yield f"| {mark} **{escaped(phase.name)}** | {escaped(phase.title)} | {held} | {phase.probes} |\n"
    yield "\n"


def _failures(expectations: Sequence[Expectation]) -> Iterator[str]:
    wrong = [one for one in expectations if one.status != "held"]
    for one in wrong[:SHOWN_FAILURES]:
        yield f"- {'❌' if one.status == 'failed' else '❔'} {escaped(one.expected)} ({code(f'{one.source.file}:{one.source.line}')})\n"
        for found in [found for found in one.found if found.status != "held"][:5]:
            yield f"  - {escaped(found.subject)}: {escaped(found.detail)}\n"
    if len(wrong) > SHOWN_FAILURES:
        yield f"- ... and {len(wrong) - SHOWN_FAILURES} more\n"
    yield "\n" if wrong else ""


def _story(story: Story, pictures: Mapping[str, str], *, first: bool) -> Iterator[str]:
    losses = [(scene, scene.lost) for scene in story.scenes if scene.lost is not None]
    if first:
        yield f"### {code(story.name)}\n\n| phase | the sender sees |\n|---|---|\n"
        for scene in story.scenes:
            seen = scene.observed or scene.predicted or "not there"
            yield f"| {'✅' if scene.answered else '❌'} {escaped(scene.phase)} {escaped(scene.title)} | {escaped(seen)} |\n"
        yield "\n"
    else:
        yield f"<details><summary>{_inline(story.name)}</summary>\n\n"
    if story.id in pictures:
        yield block(pictures[story.id], "mermaid") + "\n"
    for scene, lost in losses:
        yield from _loss(scene, lost)
    yield "" if first else "\n</details>\n\n"


def _loss(scene: Scene, lost: Lost) -> Iterator[str]:
    yield f"**{escaped(scene.phase)}**: {escaped(scene.observed)}\n\n"
    why = lost.explanation
    if why is None:
        return
    for turn in why.turns:
        yield f"1. {code(turn.where)} {escaped(turn.text)}{_behind(turn.entry)}\n"
    if why.cause is not None:
        cause = why.cause
        yield f"1. **the {escaped(cause.packet)} ends at {code(cause.where)}**: {escaped(cause.text)}{_behind(cause.entry)}\n"
    yield "\n"
    for text in why.remedies:
        yield f"What cures it: {code(text)}\n\n"


def _behind(entry: Entry | None) -> str:
    """Name the line of a file that is behind an entry."""
    found = [origin.source for origin in entry.origins if origin.source is not None] if entry is not None else []
    return f" ({code(f'{found[-1].file}:{found[-1].line}')})" if found else ""


def _same(report: Report) -> str:
    same = report.same
    assert same is not None
    if not same.differences:
        return f"**{escaped(same.second)} behaves as {escaped(same.first)} does**: {same.flows} flows compared, none differs.\n\n"
    lines = [f"**{escaped(same.second)} differs from {escaped(same.first)}** in {len(same.differences)} of {same.flows} flows:\n"]
    lines += [f"- {escaped(d.flow)}: {escaped(d.first)} / {escaped(d.second)}" for d in same.differences[:SHOWN_FAILURES]]
    return "\n".join(lines) + "\n\n"


def _behaviour(found: Behaviour) -> Iterator[str]:
    yield "| what was tried | " + " | ".join(map(escaped, found.stages)) + " |\n|---" + "|---" * len(found.stages) + "|\n"
    for row in found.rows:
        cells = [
            "<br>".join(
                f"{'✅' if one.answered else '❌'} {f'{one.count} of them ' if len(cell) > 1 else ''}{escaped(one.text)}" for one in cell
            )
            for cell in row.cells
        ]
        yield f"| {escaped(row.flow)} | " + " | ".join(cells) + " |\n"
    yield "\n"


def _correction(found: Correction) -> Iterator[str]:
    if not found.nodes:
        return
    count = sum(len(node.commands) for node in found.nodes)
    yield f"<details><summary>From {_inline(found.first)} to {_inline(found.second)}: {count} commands</summary>\n\n"
    if found.done:
        yield block("\n".join(f"- {text}" for text in found.done), "yaml") + "\n"
    lines = [line for node in found.nodes for line in (f"# {node.node}", *node.commands)]
    more = [f"# ... and {len(lines) - SHOWN_COMMANDS} more lines: report.html has them"] if len(lines) > SHOWN_COMMANDS else []
    yield block("\n".join([*lines[:SHOWN_COMMANDS], *more]), "sh")
    yield "\n</details>\n\n"


def _foot(report: Report) -> Iterator[str]:
    machine = report.machine
    yield f"Linux {escaped(machine.kernel)} on {escaped(machine.architecture)}, {escaped(machine.system)}, "
    yield f"lab {escaped(machine.lab)}, as {machine.user}, {escaped(report.started)}.\n"
    for link in report.links:
        yield f"- {escaped(link)}\n"


def _inline(text: str) -> str:
    """Return text for within an HTML element of a Markdown document."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
