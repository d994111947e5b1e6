"""Mininet's command line on the lab that a name means, and a Topo class of Mininet's as a topology."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from lab.api.inputs import open_lab
from lab.cluster import compile as compile_clusters
from lab.errors import InputError, Place, quoted
from lab.importers.mininet import Converted, topology_of
from lab.kernel.mininet.module import check_mininet
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.kernel.terminal import Terminal, become_terminal_of
from lab.scenario.stage import RunningLab
from lab.spec.check import check_topology
from lab.spec.files import read_file
from lab.spec.load import validate
from lab.spec.topology import Topology
from lab.spec.yaml import read_yaml

_READY = "ready"


def mininet_cli(file: str, phase: str | None = None, *, listen: Callable[[str], None] = lambda _: None) -> None:
    """Build a network with Mininet's classes and open Mininet's command line on it; when that ends, so does everything.

    Where standard input is a terminal, the command line has one of its own, shown there; elsewhere it reads commands line by line. Raises
    InputError, and MachineError where Mininet cannot be used.
    """
    check_mininet()
    state, actions = open_lab(file, phase)

    def work(sandbox: Sandbox, report: Callable[[object], None], terminal: str | None = None) -> None:
        from lab.kernel.mininet.cli import run_cli

        with RunningLab(sandbox, engine="mininet") as lab:
            lab.reach(state, actions)
            assert lab.mininet is not None
            if terminal is not None:
                become_terminal_of(terminal)
            report(_READY)
            run_cli(sandbox, lab.mininet.net)

    listen(f"building {len(state.namespaces)} nodes with Mininet")
    if not (os.isatty(0) and sys.stdout.isatty()):
        run_in_sandbox(work)
        return
    with Terminal() as terminal:
        run_in_sandbox(lambda sandbox, report: work(sandbox, report, terminal.name), on_report=lambda _: terminal.show())


def import_topo(source: str) -> Converted:
    """Return the topology file for ``FILE.py:CLASS``, a Topo class of a Python file for Mininet.

    The class is built in a sandbox. Raises InputError, at the line of the file, for what goes wrong in it, and for what no topology can
    say; MachineError where there is no Mininet or no sandbox.
    """
    from lab.kernel.mininet.importing import topo_of

    file, colon, name = source.rpartition(":")
    if not colon or not file or not name:
        raise InputError(f"expected FILE.py:CLASS, found {quoted(source)}")
    try:
        text = read_file(Path(file)).decode()
    except UnicodeDecodeError:
        raise InputError("this is not UTF-8 text", place=Place(file)) from None
    converted = topology_of(topo_of(text, file, name), name, file)
    loaded = validate(read_yaml(converted.text.encode(), f"{name} as a topology"), Topology)
    check_topology(loaded)
    compile_clusters(loaded.model, place=loaded.place)
    return converted
