"""`lab watch`: the journeys of packets, live in the terminal."""

from __future__ import annotations

import sys

import click

from lab.cli.common import lab_argument

EPILOG = """\b
A line is a packet: when it was first seen, what it is, and every device it crossed. >NODE:DEVICE was sent there, NODE:DEVICE> received,
and * says inside of VXLAN. [A > B] is where NAT changed its addresses. The last device is where it arrived, or died.
\b
Examples:
  lab watch incident
  lab exec incident c1-w1-a -- ping -c 1 10.42.185.1      in another terminal
  lab watch incident | grep 'echo request'
"""


@click.command("watch", epilog=EPILOG)
@lab_argument
def command(lab: str) -> int:
    """Print the journey of every packet in a running LAB as it ends, whoever sent it, until Ctrl-C."""
    from lab.kernel.execute import exec_in
    from lab.kernel.registry import connect

    with connect(lab) as running:
        described = running.request("describe")
    assert isinstance(described, dict)
    return exec_in(lab, str(described["nodes"][0]), [sys.executable, "-P", "-u", "-m", "lab.probe.live", str(described["waits_ms"])])
