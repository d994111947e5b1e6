"""`lab trace`: what Linux does with one packet."""

from __future__ import annotations

import click

from lab.cli.common import check_ports, complete_file_or_lab, console, ipv6_option, json_option, phase_or_at_option, print_json

EPILOG = """\b
Exit codes: 0 the packet is delivered and answered; 1 it is not, or (--observe) the witnesses disagree; 4 the model cannot tell,
or chance decides.
\b
Examples:
  lab trace calico-24-mismatch c1-w1-a c2-w1-a --phase broken
  lab trace calico-24-mismatch@fixed c1-w1-a service/nginx --proto tcp --dport 80
  lab trace two-clusters c1-gw 10.42.185.1 --size 1500 --df -v
  sudo lab trace calico-24-mismatch@broken c1-w1-a c2-w1-a --observe
"""


@click.command("trace", epilog=EPILOG)
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_file_or_lab)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@phase_or_at_option
@click.option("--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--dport", type=click.IntRange(1, 65535), help="Destination port; by default 80 for tcp, 53 for udp.")
@click.option("--sport", type=click.IntRange(1, 65535), help="Source port.")
@click.option("--size", type=click.IntRange(28, 65535), help="Length of the IP packet in bytes.")
@click.option("--df/--no-df", default=None, help="Forbid, or allow, fragmentation; by default as sockets do.")
@click.option("--ttl", type=click.IntRange(1, 255))
@click.option("--mark", type=click.IntRange(0, 0xFFFFFFFF), default=0, help="Firewall mark of the socket.")
@click.option("--tos", type=click.IntRange(0, 255), default=0, help="Type of service, which rules and routes may ask for.")
@click.option("--uid", type=click.IntRange(0), default=0, help="User the socket belongs to, for rules with uidrange.")
@ipv6_option
@click.option("--observe", is_flag=True, help="Build the network, send the packet, and set the kernel's answers beside the model's.")
@click.option("--verbose", "-v", is_flag=True, help="Show every rule and route that was looked at, and where objects come from.")
@json_option
def command(
    file: str,
    source: str,
    target: str,
    phase: str | None,
    proto: str,
    dport: int | None,
    sport: int | None,
    size: int | None,
    df: bool | None,
    ttl: int | None,
    mark: int,
    tos: int,
    uid: int,
    ipv6: bool,
    observe: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Predict what Linux does with a packet FROM a node or pod TO another, a service (service/NAME) or an address: hop by hop, decision by
    decision, and the answer's way back. Needs no privileges and no Linux, unless it is to be observed: then three witnesses are heard, the
    model, the kernel's own route lookup at every hop, and the packet, as it was seen on every cable.

    FILE is a topology, a scenario, a saved state, or the name of a running lab; what is observed of a running lab is a copy of what it
    holds, and `lab explain` sends a packet through the lab itself. Commands and scripts of a phase (`run`, `nft`) are carried out on the
    model as far as it reads them; where it does not, it cannot tell what becomes of a packet.
    """
    from lab.api.foreseen import foreseen
    from lab.api.inputs import is_running, open_lab
    from lab.errors import ExitCode, InputError
    from lab.forwarding import Flow, trace
    from lab.report.traces import conversation_json, conversation_text
    from lab.scenario.lookup import find_address, find_namespace

    check_ports(proto, dport=dport, sport=sport)
    state, actions = open_lab(file, phase)
    address = find_address(state, target, 6 if ipv6 else 4)
    port = dport or {"tcp": 80, "udp": 53}.get(proto, 0)
    flow = Flow(
        find_namespace(state, source),
        address,
        proto,  # type: ignore[arg-type]
        port,
        sport or 40000,
        size=size,
        df=df,
        ttl=ttl,
        mark=mark,
        tos=tos,
        uid=uid,
    )
    if observe:
        if tos or uid:
            raise InputError("a packet with --tos or --uid cannot be observed: the probe sends neither", hint="leave out --observe")
        if sport is not None:
            raise InputError("--sport says nothing about a packet that is observed: its port is chosen by the kernel")
        from rich.text import Text

        from lab.report.witnesses import witnesses_json, witnesses_table
        from lab.scenario.witness import observe as hear
        from lab.scenario.witness import request_of

        found = hear(state, request_of(flow), actions)
        conversation, disagree = found.conversation, bool(found.disagreements)
        copied = phase is None and is_running(file)
        told = {"witnesses": witnesses_json(found) | {"network": "copy" if copied else "built"}}
        shown = [witnesses_table(found)]
        if copied:
            instead = f"`lab explain {file} {source} {target}` sends one there"
            said = f"The packet went through a copy of what {file} holds, not through {file}: {instead}."
            shown.append(Text(said, "bold yellow"))
    else:
        state = foreseen(state, actions)
        conversation, disagree, told, shown = trace(state, flow), False, {}, []
    if as_json:
        print_json(conversation_json(conversation) | told)
    else:
        from lab.report.diagram import View, layout, rich_text

        out = console()
        picture = layout([View(phase or file, state, conversation)])
        out.print(rich_text(picture, width=out.width, story=False))
        out.print(conversation_text(conversation, verbose=verbose), *shown, sep="\n\n")
    if (conversation.outcome.kind == "unknown" or conversation.lots) and not disagree:
        return int(ExitCode.INCONCLUSIVE)
    return int(ExitCode.OK if conversation.outcome.kind == "reply" and not disagree else ExitCode.EXPECTATION)
