"""Mininet's command line on a lab."""

from __future__ import annotations

import os
import sys
from typing import Any

from lab.kernel.mininet.module import load
from lab.kernel.mounts import ETC
from lab.kernel.sandbox import Sandbox


def run_cli(sandbox: Sandbox, net: Any) -> None:
    """Talk to a person, or read commands from standard input, until they leave. Nothing is remembered in anybody's home."""
    cli = load("mininet.cli").CLI
    os.environ["HOME"] = str(sandbox.scratch)
    cli.readlineInited = True  # it would keep its history in a file of the caller's
    cli.identchars += "-."  # names of nodes have hyphens here
    for node in net.hosts:
        file = ETC / node.name / "resolv.conf"
        if file.exists():
            node.cmd("mount", "--bind", str(file), "/etc/resolv.conf")
    cli(net, stdin=sys.stdin)
