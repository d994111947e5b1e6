"""`lab shell`: a shell in a node."""

from __future__ import annotations

import click

from lab.cli.common import complete_node, lab_argument


@click.command("shell", epilog="\b\nExample:\n  lab shell incident c1-gw")
@lab_argument
@click.argument("node", shell_complete=complete_node)
def command(lab: str, node: str) -> int:
    """Open a shell in a NODE (or pod, or router) of a running LAB."""
    from lab.kernel.execute import shell_in

    return shell_in(lab, node)
