"""From a report to its page. Templates escape all they are given, but for the pictures, the style and the script, which are our own."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.report.diagram import stylesheet
from lab.report.model import Hop, Lost, Phase, Report, Scene, Step, Story
from lab.report.pictures import Pictures

Mood = Literal["good", "bad", "open"]
"""Answered, or as expected; not so; not known."""
LARGEST: Final = 2_000_000
"""Bytes of a page: what a mail takes, and a phone shows at once."""
MOST_ROWS: Final = 200
"""How many things of one kind that went wrong are listed; report.json has all."""
_MOODS: Final[Mapping[str, Mood]] = {"held": "good", "failed": "bad", "undecided": "open"}
_VERDICTS: Final[Mapping[int, Mood]] = {0: "good", 1: "bad", 4: "open"}
_PURPOSES: Final = {"error": "ICMP error", "data": "data segment"}


def report_html(report: Report, pictures: Pictures, reproduce: Sequence[tuple[str, str]]) -> str:
    """Return the page of a report, with as many of its stories as fit into LARGEST bytes.

    `reproduce` are commands that show the same again, each with what it does.
    """
    told = [_told(story, pictures) for story in report.stories]
    page = _page(report, told, 0, reproduce)
    for left_out in range(1, len(told) + 1):
        if len(page.encode()) <= LARGEST:
            break
        page = _page(report, told[:-left_out], left_out, reproduce)
    return page


def _page(report: Report, told: Sequence[_ToldStory], left_out: int, reproduce: Sequence[tuple[str, str]]) -> str:
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            style=_asset("page.css") + stylesheet(),
            script=script,
            script_hash=f"sha256-{digest}",
            mood=_VERDICTS[report.verdict.exit_code],
            seconds=f"{report.duration_ms / 1000:.1f}",
            phases=[_phase(phase) for phase in report.phases],
            told=told,
            left_out=left_out,
            most=MOST_ROWS,
            also_lost=list(_also_lost(report, told)),
            looked_well=list(_looked_well(report, told)),
            reproduce=reproduce,
            witnesses=[text.partition(": ")[::2] for text in report.machine.witnesses],
        )
    )


def index_html(entries: Sequence[tuple[str, Report]]) -> str:
    """Return the page that leads to several reports, each in a folder beside it."""
    moods: list[Mood] = [_VERDICTS[report.verdict.exit_code] for _, report in entries]
    worst: Mood = next((mood for mood in ("bad", "open") if mood in moods), "good")
    page = _environment().get_template("index.html")
    return page.render(style=_asset("page.css"), mood=worst, entries=[(*entry, mood) for entry, mood in zip(entries, moods, strict=True)])


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader(__package__, ""), autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    environment.filters |= {
        "called": lambda purpose: _PURPOSES.get(purpose, purpose),
        "diff_class": _diff_class,
        "ends": _ends,
        "first_upper": _first_upper,
        "mood": _MOODS.__getitem__,
    }
    return environment


def _ends(hop: Hop) -> bool:
    return any(decision.ends for decision in hop.decisions)


def _first_upper(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]  # eBPF stays as it is


def _diff_class(line: str) -> str:
    if line.startswith(("---", "+++", "@@")):
        return "about"
    return {"+": "add", "-": "remove"}.get(line[:1], "same")


# -- what the templates ask for ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ToldScene:
    id: str
    mood: Mood
    shown_first: bool
    picture: str | None
    width: float
    scene: Scene


@dataclass(frozen=True, slots=True)
class _ToldLoss:
    label: str
    title: str
    lost: Lost


@dataclass(frozen=True, slots=True)
class _ToldStory:
    story: Story
    scenes: tuple[_ToldScene, ...]
    losses: tuple[_ToldLoss, ...]
    summary: str


def _told(story: Story, pictures: Pictures) -> _ToldStory:
    first = next((number for number, scene in enumerate(story.scenes) if scene.lost is not None), 0)
    scenes = tuple(
        _ToldScene(
            f"{story.id}-{number}",
            _scene_mood(scene),
            number == first,
            drawn.svg if drawn is not None else None,
            drawn.width if drawn is not None else 0,
            scene,
        )
        for number, scene in enumerate(story.scenes)
        for drawn in [pictures.get((story.id, number))]
    )
    losses = tuple(_ToldLoss(scene.label, scene.title, scene.lost) for scene in story.scenes if scene.lost is not None)
    summary = "; ".join(f"{loss.label}: {scene.observed}" for loss in losses for scene in story.scenes if scene.lost is loss.lost)
    return _ToldStory(story, scenes, losses, summary)


def _scene_mood(scene: Scene) -> Mood:
    return "open" if scene.answered is None else "good" if scene.answered else "bad"


@dataclass(frozen=True, slots=True)
class _ToldPhase:
    name: str
    title: str
    mood: Mood
    counts: str
    steps: tuple[Step, ...]


def _phase(phase: Phase) -> _ToldPhase:
    statuses = Counter(one.status for step in phase.steps for one in step.expectations)
    mood: Mood = "bad" if statuses["failed"] else "open" if statuses["undecided"] else "good"
    total = statuses.total()
    noun = "expectation holds" if total == 1 else "expectations hold"
    counts = f"{statuses['held']} {noun}" if mood == "good" else f"{statuses['held']} of {total} {noun}"
    probes = f"{phase.probes} {'probe' if phase.probes == 1 else 'probes'}"
    told = f"{counts}, {probes}" if total else f"{probes}, no expectation of its own"
    return _ToldPhase(phase.name, phase.title, mood, told, phase.steps)


@dataclass(frozen=True, slots=True)
class _Line:
    flow: str
    text: str


def _lost_stage(told: Sequence[_ToldStory]) -> int | None:
    """Return the number of the stage in which the first loss was met."""
    return next((number for number, scene in enumerate(told[0].scenes) if scene.scene.lost is not None), None) if told else None


def _also_lost(report: Report, told: Sequence[_ToldStory]) -> Iterator[_Line]:
    """Yield the kinds of flow that nobody got an answer to in the stage of the first loss."""
    number = _lost_stage(told)
    if number is None or report.behaviour is None:
        return
    heading = told[0].scenes[number].scene.label
    if heading not in report.behaviour.stages:
        return
    column = report.behaviour.stages.index(heading)
    for row in report.behaviour.rows:
        cell = row.cells[column]
        if cell and not any(one.answered for one in cell):
            yield _Line(row.flow, "; ".join(one.text for one in cell))


def _looked_well(report: Report, told: Sequence[_ToldStory]) -> Iterator[str]:
    """Yield what was answered, and which checks were green, in the stage of the first loss: what leads people astray."""
    number = _lost_stage(told)
    if number is None:
        return
    scene = told[0].scenes[number].scene
    steps = [step for phase in report.phases if phase.name == scene.phase for step in phase.steps if step.title == scene.title]
    expectations = [one for step in steps for one in step.expectations if one.status == "held"]
    yield from (one.expected for one in expectations if one.kind == "diagnose" and not one.expected.endswith((" fail", " warn")))
    if report.behaviour is None or told[0].scenes[number].scene.label not in report.behaviour.stages:
        return
    column = report.behaviour.stages.index(told[0].scenes[number].scene.label)
    for row in report.behaviour.rows:
        cell = row.cells[column]
        if cell and all(one.answered for one in cell):
            yield f"{row.flow}: {'; '.join(one.text for one in cell)}"
