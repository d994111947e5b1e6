"""`lab exec`: run a program in a node."""

from __future__ import annotations

import click

from lab.cli.common import complete_node, lab_argument

EPILOG = """\b
Examples:
  lab exec incident c1-w1-a -- ping -c 3 10.42.185.1
  lab exec incident c1-w1 -- tcpdump -ni eth0 icmp
  lab exec incident c1-w1 -- ip route
"""


@click.command("exec", epilog=EPILOG, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_argument
@click.argument("node", shell_complete=complete_node)
@click.argument("argv", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED)
def command(lab: str, node: str, argv: tuple[str, ...]) -> int:
    """Run a COMMAND in a NODE (or pod, or router) of a running LAB, with its network, its resolv.conf and its environment.

    The exit code is the command's.
    """
    from lab.kernel.execute import exec_in

    words = argv[1:] if argv[0] == "--" else argv
    if not words:
        raise click.UsageError("say which command to run")
    return exec_in(lab, node, words)
