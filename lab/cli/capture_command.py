"""`lab capture`: the packets of a node, live, for Wireshark and tcpdump."""

from __future__ import annotations

import sys

import click

from lab.cli.common import complete_node, lab_argument

EPILOG = """\b
Examples:
  lab capture incident c1-w1 | tcpdump -ner -
  lab capture incident c1-w1 vx-submariner | wireshark -k -i -
  lab capture incident c1-gw > gateway.pcapng          until Ctrl-C
  lab capture incident c1-gw | tshark -r - -Y icmp -T fields -e frame.interface_name -e ip.src -e ip.dst
"""


@click.command("capture", epilog=EPILOG)
@lab_argument
@click.argument("node", shell_complete=complete_node)
@click.argument("device", required=False)
def command(lab: str, node: str, device: str | None) -> int:
    """Write what a NODE (or pod, or router) of a running LAB sends and receives to standard output, as pcapng, until Ctrl-C.

    Without DEVICE all its devices are heard; each is an interface of its own, named NODE:DEVICE.
    """
    from lab.kernel.execute import exec_in

    if sys.stdout.isatty():
        raise click.UsageError(f"a terminal shows no packets: lab capture {lab} {node} | tcpdump -r -")
    return exec_in(lab, node, [sys.executable, "-P", "-m", "lab.kernel.live", node, *([device] if device else [])])
