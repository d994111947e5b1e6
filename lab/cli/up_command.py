"""`lab up`: start a lab that stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import click

from lab.cli.common import engine_option, file_argument, json_option, phase_option, print_json
from lab.errors import InputError

if TYPE_CHECKING:
    from lab.kernel.holder import Operation
    from lab.kernel.sandbox import Report, Sandbox

EPILOG = """\b
Examples:
  sudo lab up calico-24-mismatch --phase broken --name incident
  sudo lab exec incident c1-w1-a -- ping -c 3 10.42.185.1
  sudo lab shell incident c1-gw
  sudo lab down incident
"""


@click.command("up", epilog=EPILOG)
@file_argument
@phase_option
@click.option("--name", help="What to call the lab; by default as the file calls itself.")
@engine_option
@json_option
def command(file: str, phase: str | None, name: str | None, engine: Literal["lab", "mininet"], as_json: bool) -> None:
    """Start the lab that a topology or a phase of a scenario describes, and leave it running.

    A topology with Submariner is joined with its clusters' real ranges. The lab is gone when it is told so (`lab down`) or when its
    process ends, however that happens; nothing of it shows outside.
    """
    from lab.api.inputs import open_input
    from lab.kernel.holder import hold
    from lab.scenario.hosting import host

    if engine == "mininet":
        from lab.kernel.mininet.module import check_mininet

        check_mininet()
    given = open_input(file, phase)
    state, actions = given.state(), given.actions()

    nodes = [namespace.name for namespace in state if namespace.role != "switch"]
    if not nodes:
        raise InputError("there is no node in it to be in", place=given.topology.place("topology"), hint="add hosts, routers or clusters")

    def prepare(sandbox: Sandbox, report: Report) -> Mapping[str, Operation]:
        return host(sandbox, state, actions, engine=engine)

    called = given.name if name is None else name
    hold(called, prepare)
    if as_json:
        print_json({"name": called, "nodes": nodes})
        return
    click.echo(f"{called} is up: {', '.join(nodes)}")
    click.echo(f"lab shell {called} {nodes[0]}   opens a shell in it; lab down {called}   ends it", err=True)
