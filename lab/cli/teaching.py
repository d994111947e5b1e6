"""What trainers and authors of lessons do with `lab learn`: follow a class, begin a lesson file, prove it, take it elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lab.cli.common import console, print_json
from lab.errors import InputError
from lab.spec.writing import check_writable, write_whole


def show_class(folder: Path, *, new: bool, opened: str | None, csv_file: Path | None, as_json: bool) -> int:
    """Show a class, or change it."""
    from dataclasses import asdict

    from lab.learn.classroom import as_csv, check_class, make_class, open_barrier, pupils
    from lab.learn.course import barriers, find_task

    if new:
        make_class(folder)
        click.echo(f"{folder} is a class: its learners type `lab learn LESSON --class {folder}`, or have LAB_CLASS={folder}")
        return 0
    check_class(folder)
    if opened is not None:
        lesson, number = find_task(opened)
        open_barrier(folder, lesson, number)
        click.echo(f"everybody may begin task {number + 1} of {lesson}")
        return 0
    found = pupils(folder, barriers())
    if csv_file is not None:
        check_writable(csv_file)
        write_whole(csv_file, as_csv(found))
    if as_json:
        print_json([asdict(pupil) for pupil in found])
    elif csv_file is None:
        from rich.table import Table
        from rich.text import Text

        table = Table(
            "learner", "user", "lesson", "task", "done", "points", "attempts", "clues", "minutes at it", "quiet for", "", box=None
        )
        colours = {"stuck": "bold red", "waiting": "yellow", "finished": "green"}
        for pupil in found:
            done = f"{pupil.done}/{pupil.tasks}"
            numbers = map(str, (pupil.points, pupil.attempts, pupil.clues, pupil.minutes, pupil.quiet))
            state = Text(pupil.state, style=colours.get(pupil.state, ""))
            table.add_row(Text(pupil.person), Text(pupil.user), Text(pupil.lesson), Text(pupil.task), done, *numbers, state)
        console().print(table)
    return 0


def new_lesson(file: Path) -> int:
    """Write a lesson to start from."""
    from importlib.resources import files

    if file.suffix != ".md":
        raise InputError(f"a lesson's file ends with .md, and {str(file)!r} does not")
    if os.path.exists(file):  # noqa: PTH110 (unlike Path.exists, it may not be allowed to look)
        raise InputError(f"there is a file {str(file)!r} already")
    check_writable(file)
    write_whole(file, (files("lab.learn") / "template.md").read_text(encoding="utf-8"))
    click.echo(
        f"{file} is a lesson to start from: `lab check` finds its mistakes, `lab learn prove` tries its repairs, `lab learn` begins it"
    )
    return 0


def prove_lesson(file: str, seed: int | None, *, as_json: bool) -> int:
    """Try all repairs of a lesson."""
    from dataclasses import asdict

    from lab.learn.proof import prove
    from lab.spec.lesson_file import open_lesson

    found = prove(open_lesson(file, seed or 0), on_report=lambda said: click.echo(f"... {said}", err=True))
    if as_json:
        print_json([asdict(proof) for proof in found])
    else:
        for proof in found:
            click.echo(f"{'✓' if proof.held else '✗'} {proof.task}: {proof.what}" + ("" if proof.held else f"\n    {proof.detail}"))
    return int(not all(proof.held for proof in found))


def export_lesson(lesson: str, folder: str, target: str | None) -> int:
    """Write a lesson in a site\'s folder format."""
    from lab.learn.export import export
    from lab.spec.lesson_file import open_lesson

    if target is None:
        raise click.UsageError("say --to killercoda or --to iximiuz")
    for path in export(open_lesson(lesson), Path(folder), target):
        click.echo(str(path))
    return 0
