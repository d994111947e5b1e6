"""What importing a room brings along: nothing that only Linux has below the kernel's floor, nothing heavy at the top."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORTABLE = [room for room in ("errors", "spec", "state", "forwarding", "cluster", "importers") if list((ROOT / "lab").glob(f"{room}*"))]
ONLY_LINUX = ("fcntl", "grp", "pty", "pwd", "pyroute2", "resource", "termios")

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {without!r}:
    sys.modules[name] = None
room = importlib.import_module({room!r})
for module in pkgutil.walk_packages(getattr(room, "__path__", []), room.__name__ + "."):
    importlib.import_module(module.name)
"""


@pytest.mark.parametrize("room", PORTABLE)
def test_a_room_below_the_kernel_needs_nothing_that_only_linux_has(room: str) -> None:
    code = IMPORT_ALL.format(room=f"lab.{room}", without=ONLY_LINUX)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


HEAVY = {"matplotlib", "networkx", "numpy", "pyroute2", "scapy", "mininet"}


@pytest.mark.parametrize("arguments", [["--help"], ["check", "calico-24-mismatch"], ["show", "two-clusters", "--as", "spec"]], ids=" ".join)
def test_a_command_about_files_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import atexit, sys
atexit.register(lambda: print(*sorted({HEAVY!r} & {{name.split(".")[0] for name in sys.modules}}), file=sys.stderr))
import lab.cli
sys.argv = {["lab", *arguments]!r}
lab.cli.main()
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr.strip()) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "calico-24-mismatch@fixed", "c1-w1-a", "c2-w1-a"],
        ["reach", "two-clusters", "--from", "c1-w1-a", "--to", "10.42.0.0/16"],
        ["diff", "calico-24-mismatch@broken", "calico-24-mismatch@fixed", "--commands"],
        ["draw", "calico-24-mismatch"],
        ["draw", "calico-24-mismatch", "--trace", "c1-w1-a", "c2-w1-a", "--compare", "broken", "fixed"],
        ["validate", "fault-kinds@healthy", "--change", "fault-kinds@blackhole"],
    ],
    ids=" ".join,
)
def test_a_command_about_files_works_where_there_is_no_linux(arguments: list[str]) -> None:
    """As on macOS and Windows: without the modules and the sockets that only Linux has."""
    code = f"""
import socket, subprocess, sys, urllib.request
for name in {ONLY_LINUX!r}:
    sys.modules[name] = None
for family in ("AF_NETLINK", "AF_PACKET", "AF_UNIX"):
    delattr(socket, family)
sys.platform = "darwin"
import lab.cli
sys.argv = {["lab", *arguments]!r}
lab.cli.main()
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (int("validate" in arguments), "")
