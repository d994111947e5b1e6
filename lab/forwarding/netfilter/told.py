"""Rules of nft told to people: as they are written, and why one does not apply."""

from __future__ import annotations

from typing import Final, cast

from lab.forwarding.netfilter.hooks import HookRun
from lab.forwarding.packet import ICMP, ICMPV6, TCP, UDP, Packet
from lab.state.nft import Ct, Expression, Family, Match, Meta, NftRule, Payload
from lab.state.nftables import expression_text, rule_text, statement_text

_MOST: Final = 80
"""Of how many characters of a rule are shown."""
_PROTOCOLS: Final = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6"}


def written(rule: NftRule, chain: str) -> str:
    """Return a rule as nft(8) writes it, shortened, with its handle where it has one; `chain` is the label of its chain."""
    text = rule_text(rule, _family(chain))
    text = text if len(text) <= _MOST else f"{text[:_MOST].rstrip()}..."
    return text if rule.handle is None else f"{text}, handle {rule.handle}"


def missed(rule: NftRule, failed: int, chain: str, run: HookRun) -> str:
    """Say which statement of a rule did not hold in a hook, and, where a packet alone tells it, what was found and what was wanted."""
    statement = rule.statements[failed]
    if isinstance(statement, Match):
        left, found = expression_text(statement.left), _found(statement.left, run)
        if found is not None:
            wanted = statement_text(statement, _family(chain)).removeprefix(f"{left} ")
            return f"{left} is {found}, wants {wanted}"
    return f"its statement `{statement_text(statement, _family(chain))}` does not hold"


def _family(chain: str) -> Family:
    return cast(Family, chain.partition(" ")[0])


def _found(left: Expression, run: HookRun) -> str | None:
    packet = run.before
    match left:
        case Payload("ip" | "ip6" as protocol, "saddr" | "daddr" as field) if packet.version == (4 if protocol == "ip" else 6):
            return str(packet.source if field == "saddr" else packet.destination)
        case Payload("ip", "protocol") | Meta("l4proto"):
            return _PROTOCOLS.get(packet.protocol, str(packet.protocol))
        case Payload("tcp" | "udp" | "th" as protocol, "sport" | "dport" as field):
            return _port(packet, protocol, field)
        case Meta("mark"):
            return f"{packet.mark:#x}"
        case Ct("state") if run.ct_state is not None and run.ct_state.name:
            return run.ct_state.name.lower()
    return None


def _port(packet: Packet, protocol: str, field: str) -> str | None:
    if packet.protocol not in (TCP, UDP) or (protocol != "th" and _PROTOCOLS[packet.protocol] != protocol):
        return f"nothing, of a packet of {_PROTOCOLS.get(packet.protocol, f'protocol {packet.protocol}')}"
    return str(packet.source_port if field == "sport" else packet.destination_port)
