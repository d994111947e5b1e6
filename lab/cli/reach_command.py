"""`lab reach`: who reaches what."""

from __future__ import annotations

from typing import Literal

import click

from lab.cli.common import check_ports, complete_file_or_lab, console, json_option, phase_or_at_option, print_json

EPILOG = """\b
Examples:
  lab reach calico-24-mismatch@broken --from c1-w1-a
  lab reach calico-24-mismatch@broken --to 10.42.0.0/16 --all
  lab reach two-clusters --proto tcp --dport 8080 --json
  lab reach two-clusters --from c1-w1-a --sizes
  lab reach dual-stack-cluster --ipv6 --all
"""


@click.command("reach", epilog=EPILOG)
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_file_or_lab)
@phase_or_at_option
@click.option("--from", "sources", multiple=True, help="Only this sender (may be repeated); by default every node, pod and host.")
@click.option("--to", "targets", multiple=True, help="Only these addresses, as CIDR (may be repeated).")
@click.option("--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--dport", type=click.IntRange(1, 65535), help="Destination port of tcp and udp; by default 80 and 53.")
@click.option("--ipv4", "version", flag_value=4, type=int, help="Ask about IPv4 only.")
@click.option("--ipv6", "version", flag_value=6, type=int, help="Ask about IPv6 only; by default about both where the network has both.")
@click.option("--sizes", is_flag=True, help="Find the largest packet that is answered, where the sender's own link would take more.")
@click.option("--all", "everything", is_flag=True, help="Show what works as well.")
@json_option
def command(
    file: str,
    phase: str | None,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    proto: str,
    dport: int | None,
    version: Literal[4, 6] | None,
    sizes: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Predict for every sender and every address what becomes of a packet, in both directions: as few CIDRs as possible, with the reason of
    every loss. Needs no privileges and no Linux.

    `one-way` means that the question arrives and its answer is lost, `depends` that chance (ECMP, a random backend) decides; which lots
    lose the packet is said. With --sizes, what works for short packets only is shown with the exact size. Commands and scripts of a phase
    (`run`, `nft`) are carried out on the model as far as it reads them; where it does not, it cannot tell what becomes of a packet.
    """
    from ipaddress import ip_network

    from lab.api.foreseen import foreseen
    from lab.api.inputs import open_lab
    from lab.errors import InputError
    from lab.forwarding import Flow
    from lab.forwarding.reach import Cell, Reach, reach, versions
    from lab.forwarding.reach.classes import EVERYTHING
    from lab.report.traces import reach_json, reach_table
    from lab.scenario.lookup import find_namespace

    check_ports(proto, dport=dport)
    state = foreseen(*open_lab(file, phase))
    try:
        within = [ip_network(target) for target in targets]
    except ValueError as error:
        raise InputError(f"--to: {error}", hint="say a network, as 10.42.0.0/16 or 2001:db8::/64") from None
    spoken = tuple(dict.fromkeys(network.version for network in within)) or versions(state)
    if version is not None and version not in spoken:
        what = f"nothing of --to is IPv{version}" if within else f"nobody in {file} has an IPv{version} address"
        raise InputError(what, hint=f"leave out --ipv{version}")
    names = [find_namespace(state, name) for name in sources] or None
    port = dport or {"tcp": 80, "udp": 53}.get(proto, 0)
    cells: list[Cell] = []
    for spoken_one in spoken if version is None else (version,):
        flow = Flow("any", EVERYTHING[spoken_one].network_address, proto, port)  # type: ignore[arg-type]
        asked = [network for network in within if network.version == spoken_one]
        cells += reach(state, sources=names, within=asked, flow=flow, sizes=sizes).cells
    found = Reach(tuple(cells))
    if as_json:
        print_json(reach_json(found))
    else:
        console().print(reach_table(found, all_answers=everything))
