"""`lab down`: end labs."""

from __future__ import annotations

import os

import click

from lab.cli.common import complete_lab
from lab.errors import InputError


@click.command("down", epilog="\b\nExamples:\n  lab down incident\n  lab down --all")
@click.argument("labs", nargs=-1, metavar="LAB...", shell_complete=complete_lab)
@click.option("--all", "every", is_flag=True, help="End all of your labs.")
def command(labs: tuple[str, ...], every: bool) -> None:
    """End labs. The kernel removes everything of theirs."""
    from lab.kernel.registry import running_labs, stop

    if every == bool(labs):
        raise InputError("name the labs to end, or say --all")
    for name in labs or [entry.name for entry in running_labs() if entry.uid == os.geteuid()]:
        stop(name)
        click.echo(f"{name} is down")
