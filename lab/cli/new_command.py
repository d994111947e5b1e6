"""`lab new`: begin an incident of one's own."""

from __future__ import annotations

import os
from pathlib import Path

import click

EPILOG = """\b
Examples:
  lab new pods-lose-office                 pods-lose-office.yaml, its topology, and the schemas for editors
  lab new pods-lose-office incidents/      the same in a folder, which is made where it is not there
  sudo lab run pods-lose-office.yaml       it passes as it stands: change it step by step
"""


@click.command("new", epilog=EPILOG)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def command(name: str, folder: Path) -> None:
    """Write a scenario called NAME and its topology into FOLDER (by default here), as a beginning for an incident of your own: healthy,
    broken, fixed, compared, with comments that say what to change. Nothing that is there is replaced.
    """
    from lab.errors import InputError, quoted
    from lab.spec.beginning import beginning
    from lab.spec.writing import check_writable, write_whole

    files = beginning(name)
    there = [folder / file for file in files if file.endswith(".yaml") and os.path.exists(folder / file)]  # noqa: PTH110
    if there:
        raise InputError(f"{quoted(str(there[0]))} is there already", hint="another name, or another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {quoted(str(folder))} cannot be made: {error.strerror}") from None
    new = {folder / file: text for file, text in files.items() if not os.path.exists(folder / file)}  # noqa: PTH110
    for path in new:
        check_writable(path)
    for path, text in new.items():
        write_whole(path, text)
        click.echo(f"wrote {path}")
    scenario = folder / next(iter(files))
    click.echo(f"lab check {scenario}   finds mistakes; sudo lab run {scenario}   plays it", err=True)
