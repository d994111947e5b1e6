"""`lab mininet`: Mininet's command line on a lab."""

from __future__ import annotations

import click

from lab.cli.common import complete_file, console, phase_or_at_option

EPILOG = """\b
Examples:
  sudo lab mininet two-clusters
  sudo lab mininet calico-24-mismatch@broken
  echo "c1-w1-a ping -c1 c2-w1-a" | sudo lab mininet calico-24-mismatch@fixed
\b
In it: nodes, net, links, dump, pingall, NODE COMMAND, exit; docs/mininet.md has more.
"""


@click.command("mininet", epilog=EPILOG)
@click.argument("file", metavar="FILE", shell_complete=complete_file)
@phase_or_at_option
def command(file: str, phase: str | None) -> None:
    """Build a network with Mininet's own classes, and open Mininet's command line on it. When it ends, nothing is left.

    Needs Mininet: apt-get install --no-install-recommends mininet.
    """
    from lab.api.mininet import mininet_cli

    err = console(stderr=True)

    def listen(said: str) -> None:
        if err.is_terminal:
            err.print(said, style="dim", markup=False)

    mininet_cli(file, phase, listen=listen)
