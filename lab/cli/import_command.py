"""`lab import`: what others have, as a topology file."""

from __future__ import annotations

from pathlib import Path

import click

from lab.spec.writing import check_writable, write_whole

EPILOG = """\b
Examples:
  lab import --mininet my_topo.py:MyTopo > my-topo.yaml
  lab import --mininet my_topo.py:MyTopo -o my-topo.yaml; sudo lab up my-topo.yaml
"""


@click.command("import", epilog=EPILOG)
@click.option("--mininet", "source", metavar="FILE.py:CLASS", required=True, help="A Topo class of a Python file for Mininet.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write the topology to this file.")
def command(source: str, output: Path | None) -> None:
    """Turn a Mininet Topo class into a topology file.

    The class is built in a sandbox, in which it reaches no network and writes no file. Joined switches become one segment, hosts with
    several interfaces routers. What a topology does not say (bandwidth, delay, loss) is named on standard error.
    """
    from lab.api.mininet import import_topo

    if output is not None:
        check_writable(output)
    converted = import_topo(source)
    for note in converted.notes:
        click.echo(f"note: {note}", err=True)
    if output is None:
        click.echo(converted.text, nl=False)
    else:
        write_whole(output, converted.text)
