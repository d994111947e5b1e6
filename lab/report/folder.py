"""A folder with the report of a run, or of several: what is in it, and how it gets there whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from lab.errors import InputError, quoted
from lab.report.model import Report
from lab.spec.writing import write_whole

INDEX: Final = "index.json"
REPORT: Final = "report.json"
FORMATS: Final = {REPORT: "lab-report", INDEX: "lab-report-index"}
OURS: Final = ("report.html", REPORT, "junit.xml", "summary.md", "run.zip", "run.pcapng", "index.html", INDEX)
"""All that reports leave in a folder, but for folders of the same kind."""


def check_folder(folder: Path) -> None:
    """Raise InputError when no report could be written to a folder, or when that would be written over something else."""
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112
        raise InputError(f"{quoted(str(folder))} is not a folder", hint="--report takes a folder; it makes one that is not there yet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{quoted(str(folder))} cannot be written to: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{quoted(str(folder))} is not yours to write to")
    if not empty and not is_report(folder):
        raise InputError(
            f"the folder {quoted(str(folder))} is not empty, and holds no report", hint="name one that is new, empty, or has a report in it"
        )


def is_report(folder: Path) -> bool:
    """Whether a folder holds what `write_report` or `write_index` left there."""
    return any(_format_of(folder / name) == form for name, form in FORMATS.items())


def _format_of(file: Path) -> str | None:
    """Return what a JSON file says it is, without reading all of a large one."""
    try:
        with file.open(encoding="utf-8") as opened:
            start = opened.read(200)
    except (OSError, UnicodeDecodeError):
        return None
    found = json.JSONDecoder()
    _, _, rest = start.partition('"format":')
    try:
        value, _ = found.raw_decode(rest.strip())
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, str) else None


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write the files of a report, each whole or not at all, and remove what an earlier report left that this one does not have.

    Raises InputError when they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)
    for name in OURS:
        if name not in files:
            (folder / name).unlink(missing_ok=True)


def index_json(entries: Iterable[tuple[str, Report]]) -> str:
    """Return what a machine reads of several reports, each with the name of its folder."""
    reports = [
        {"folder": name, "scenario": report.scenario, "title": report.title, "verdict": report.verdict.model_dump()}
        for name, report in entries
    ]
    return json.dumps({"format": FORMATS[INDEX], "version": 1, "reports": reports}, indent=2, ensure_ascii=False) + "\n"


def folder_names(scenarios: Iterable[str]) -> list[str]:
    """Return a folder's name for each of several runs: the scenario's own, with a number where it occurs again."""
    found: list[str] = []
    for name in scenarios:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name}-{number}"
        found.append(free)
    return found
