"""`lab ps`: list running labs."""

from __future__ import annotations

import click

from lab.cli.common import console, json_option, print_json


@click.command("ps", epilog="\b\nExample:\n  lab ps --json")
@json_option
def command(as_json: bool) -> None:
    """List the labs that run on this machine, of all users."""
    from lab.kernel.registry import running_labs

    labs = running_labs()
    if as_json:
        print_json([{"name": entry.name, "uid": entry.uid, "pid": entry.pid} for entry in labs])
        return
    if not labs:
        click.echo("no lab is running", err=True)
        return
    from rich.table import Table

    table = Table("name", "user", "pid", box=None)
    for entry in labs:
        table.add_row(entry.name, _user(entry.uid), str(entry.pid))
    console().print(table)


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
