"""`lab doctor`: what this machine lets a lab do."""

from __future__ import annotations

import click

from lab.cli.common import console, json_option, print_json
from lab.errors import ExitCode


@click.command("doctor", epilog="\b\nExamples:\n  lab doctor\n  sudo lab doctor --json")
@json_option
def command(as_json: bool) -> int:
    """Say what this machine lets a lab do, found by trying it in a throw-away sandbox, and how to get the rest.

    Exit code 3 when something that every lab needs is missing.
    """
    from dataclasses import asdict

    from lab.kernel.capabilities import detect

    found = detect()
    missing = any(capability.required and not capability.available for capability in found)
    if as_json:
        print_json([asdict(capability) for capability in found])
        return int(ExitCode.MACHINE) if missing else 0
    from rich.table import Table
    from rich.text import Text

    table = Table("", "", "needed for", "", box=None)
    for capability in found:
        mark = Text("✓", "green") if capability.available else Text("✗", "bold red" if capability.required else "yellow")
        rest = [part for part in (capability.why, capability.remedy and f"remedy: {capability.remedy}", capability.note) if part]
        table.add_row(mark, Text(capability.name), Text(capability.needed_for), Text("\n".join(map(str, rest))))
    console().print(table)
    return int(ExitCode.MACHINE) if missing else 0
