"""`lab diff`: what lies between two networks."""

from __future__ import annotations

import click

from lab.cli.common import complete_file, console, json_option, print_json

EPILOG = """\b
Examples:
  lab diff calico-24-mismatch@broken calico-24-mismatch@fixed
  lab show two-clusters --as state > before.json; lab diff before.json my-lab
  lab diff a.yaml b.yaml --commands
"""


@click.command("diff", epilog=EPILOG)
@click.argument("before", metavar="A", shell_complete=complete_file)
@click.argument("after", metavar="B", shell_complete=complete_file)
@click.option("--commands", "only_commands", is_flag=True, help="Print only the commands that lead from A to B.")
@click.option("--all", "everything", is_flag=True, help="Show also what was lost before and still is, in the same way.")
@click.option("--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--dport", type=click.IntRange(1, 65535), help="Destination port of tcp and udp; by default 80 and 53.")
@json_option
def command(before: str, after: str, only_commands: bool, everything: bool, proto: str, dport: int | None, as_json: bool) -> None:
    """Compare two networks: which addresses are newly reachable, newly lost, reached by another path or still broken, for every sender; and
    the commands that lead from A to B. Needs no privileges and no Linux.

    A and B are topologies, phases of scenarios (FILE@PHASE), saved states, or running labs.
    """
    from lab.api.inputs import open_state
    from lab.forwarding import Flow
    from lab.forwarding.reach import difference as difference_of_reach
    from lab.forwarding.reach import versions
    from lab.forwarding.reach.classes import EVERYTHING
    from lab.report.traces import difference_json, difference_table
    from lab.state import difference
    from lab.state.commands import commands_of

    first, second = open_state(before), open_state(after)
    commands = [(command.namespace or "", command.text) for command in commands_of(difference(first, second))]
    port = dport or {"tcp": 80, "udp": 53}.get(proto, 0)
    flows = [Flow("any", EVERYTHING[version].network_address, proto, port) for version in versions(first, second)]  # type: ignore[arg-type]
    fates = () if only_commands else tuple(fate for flow in flows for fate in difference_of_reach(first, second, flow=flow))
    if as_json:
        print_json({"reach": difference_json(fates), "commands": [{"node": node, "command": text} for node, text in commands]})
        return
    if not only_commands:
        console().print(difference_table(fates, still_broken=everything))
        click.echo(f"\nFrom {before} to {after}:")
    last = None
    for node, text in commands:
        if node != last:
            click.echo(f"# {node}")
        click.echo(text)
        last = node
