"""`lab explain`: why a probe in a running lab ends as it does."""

from __future__ import annotations

from typing import Any

import click

from lab.cli.common import complete_node, console, ipv6_option, json_option, lab_argument, print_json

EPILOG = """\b
Exit codes: 0 the probe is answered; 1 it is not; 4 it is not, and nobody can say why.
\b
Examples:
  sudo lab explain incident c1-w1-a c2-w1-a         after sudo lab up calico-24-mismatch --phase broken --name incident
  sudo lab explain incident c1-w1-a service/nginx --proto tcp --port 80 -v
  sudo lab exec incident edge-1 -- ip route add blackhole 10.128.11.80
  sudo lab explain incident c1-w1 10.128.11.80 --json
"""


@click.command("explain", epilog=EPILOG)
@lab_argument
@click.argument("source", metavar="FROM", shell_complete=complete_node)
@click.argument("target", metavar="TO", shell_complete=complete_node)
@click.option("--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Destination port; by default 80 for tcp, 53 for udp.")
@click.option("--size", type=click.IntRange(0, 65507), help="Bytes of payload; by default 56 for icmp, 32 for udp.")
@click.option("--df", is_flag=True, help="Forbid fragmentation.")
@ipv6_option
@click.option("--verbose", "-v", is_flag=True, help="Show the evidence, where every object comes from, and the way of every packet.")
@json_option
def command(
    lab: str, source: str, target: str, proto: str, port: int | None, size: int | None, df: bool, ipv6: bool, verbose: bool, as_json: bool
) -> int:
    """Send one real probe FROM a node or pod of a running LAB TO another, a service (service/NAME) or an address, and explain its end.

    The cause is found from what the kernel holds at this moment, whoever typed it, and from what was seen of the packet: the place, the
    reason, the object that decided, what would have had to be there, and what the sender sees of it.
    """
    from lab.errors import ExitCode
    from lab.kernel.registry import connect

    asked: dict[str, Any] = {"from": source, "to": target, "protocol": proto, "port": port, "size": size, "df": df, "ipv6": ipv6}
    with connect(lab) as running:
        found: dict[str, Any] = running.request("explain", **asked)
    if as_json:
        print_json(found)
    else:
        _show(found, verbose=verbose)
    explanation = found["explanation"]
    if found["result"] == "reply":
        return int(ExitCode.OK)
    return int(ExitCode.EXPECTATION if explanation is not None and explanation["cause"] is not None else ExitCode.INCONCLUSIVE)


def _show(found: dict[str, Any], *, verbose: bool) -> None:
    from rich.text import Text

    out = console()
    out.print(Text(f"{found['from']} -> {found['to']}: {found['seen']}", "bold green" if found["result"] == "reply" else "bold red"))
    lines = found["explanation"]["lines"] if found["explanation"] else []
    for line in lines:
        if verbose or not line.startswith(" "):
            out.print(Text(line, "dim" if line.startswith(" ") else ""))
    if verbose:
        out.print()
        for passage in found["journey"]["passages"]:
            rewrites = "".join(f"  {r['field']} {r['before']} becomes {r['after']}" for r in passage["rewrites"])
            where = f"{passage['namespace']}:{passage['device']}"
            way = f"{passage['time_us']:>10.1f} us  {passage['part']:<11} {passage['direction']:<3} {where:<24}"
            out.print(Text(f"{way} {passage['headers']}{rewrites}", "dim"))
