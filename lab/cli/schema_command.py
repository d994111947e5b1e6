"""`lab schema`: JSON Schema for editors."""

from __future__ import annotations

import click

from lab.cli.common import print_json


@click.command("schema", epilog="\b\nExample:\n  lab schema scenario > scenario.schema.json")
@click.argument("kind", type=click.Choice(["topology", "scenario", "lesson", "change", "intents", "report"]))
def command(kind: str) -> None:
    """Print the JSON Schema of a file format: of what people write, which editors read through the first line of each shipped file, or of
    the report.json that `lab run --report` leaves."""
    if kind == "report":
        from lab.report.schema import report_schema

        print_json(report_schema())
        return
    from lab.spec import json_schema

    print_json(json_schema(kind))
