"""`lab show`: print every stage a file goes through on its way to the kernel."""

from __future__ import annotations

import click

from lab.cli.common import file_argument, json_option, phase_option, print_json

EPILOG = """\b
Examples:
  lab show two-clusters --as spec                          the topology with every default filled in
  lab show calico-24-mismatch --phase broken --as commands the ip, bridge, sysctl and nft commands that make it
  lab show calico-24-mismatch --phase broken --as commands --node c1-w1
  lab show two-clusters --as mininet > two_clusters.py     a file for `mn --custom`
"""


@click.command("show", epilog=EPILOG)
@file_argument
@click.option("--as", "form", type=click.Choice(["spec", "state", "plan", "commands", "mininet"]), default="commands", show_default=True)
@phase_option
@click.option("--node", help="Only this node or pod.")
@json_option
def command(file: str, form: str, phase: str | None, node: str | None, as_json: bool) -> None:
    """Print what a topology or scenario FILE becomes, without privileges.

    `spec` is the file with every default filled in, `state` the network state as JSON, `plan` the ordered steps that the kernel gets,
    `commands` the commands an operator would type for the same, `mininet` a Python file with a Topo class for Mininet's `mn --custom`.
    `spec` and `state` are JSON anyway, the others with --json.
    """
    from lab.api.inputs import open_input

    given = open_input(file, phase)
    if form == "spec":
        model = given.scenario.model if given.scenario is not None and phase is None else given.topology.model
        click.echo(model.model_dump_json(indent=2, by_alias=True, exclude_none=True))
        return
    state = given.state()
    if node is not None:
        from lab.errors import InputError, did_you_mean
        from lab.state import State

        if node not in state.namespaces:
            raise InputError(f"there is no node or pod {node!r}", hint=did_you_mean(node, list(state.namespaces), "name"))
        if form != "plan":
            state = State({node: state[node]}, state.control)
    if form == "state":
        from lab.state.codec import dump_state

        click.echo(dump_state(state))
    elif form == "mininet":
        from lab.report.mininet import mininet_file

        text = mininet_file(state, given.name)
        if as_json:
            print_json({"mininet": text})
        else:
            click.echo(text, nl=False)
    elif form == "plan":
        from dataclasses import replace

        from lab.kernel.plan import plan
        from lab.state import State

        planned = plan(State(), state)
        steps = tuple(step for step in planned.steps if node in (None, step.namespace))
        if as_json:
            print_json([{"phase": step.phase.title, "node": step.namespace, "lines": list(step.lines())} for step in steps])
        else:
            click.echo("\n".join(replace(planned, steps=steps).lines()))
    else:
        from lab.state.commands import commands_of

        commands = [(command.namespace or "", command.text) for command in commands_of(state)]
        if as_json:
            print_json([{"node": namespace or None, "command": text} for namespace, text in commands])
        else:
            _print_commands(commands)


def _print_commands(commands: list[tuple[str, str]]) -> None:
    last = None
    for namespace, text in commands:
        if namespace != last:
            click.echo(f"# {namespace or 'outside of all namespaces'}")
        click.echo(text)
        last = namespace
