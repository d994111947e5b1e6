"""`ip rule`, read and carried out on a namespace as ip-rule(8) and the kernel do it (fib_default_rule_pref in net/core/fib_rules.c)."""

from __future__ import annotations

from typing import Final, cast

from lab.state.builder import NamespaceBuilder
from lab.state.objects import Network, PortRange, Rule, RuleAction, Table
from lab.state.provenance import Provenance
from lab.state.typed.numbers import READING, named_number, protocol_number, table_number
from lab.state.typed.words import NotModelled, Reader

_RULE_VERBS: Final = ("list", "show", "lst", "add", "delete", "flush", "save", "restore")
_RULE_WORDS: Final = (
    "from",
    "to",
    "iif",
    "oif",
    "fwmark",
    "table",
    "lookup",
    "pref",
    "priority",
    "tos",
    "ipproto",
    "sport",
    "dport",
    "goto",
)
_IP_PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}


def change_rules(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `ip rule ...`. Raises InputError."""
    verb = reader.verb(_RULE_VERBS, "command of `ip rule`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb in ("flush", "restore"):
        raise NotModelled(f"`ip rule {verb}` is not modelled", place=reader.place)
    four = reader.version != 6
    said = _read_rule(reader)
    if four and reader.version == 6:
        reader.refuse("Invalid source address (without -6 a rule is of IPv4)")
    version = reader.version or 4
    if version == 6 and not any(rule.family == 6 for rule in namespace.rules):
        raise NotModelled(f"{namespace.name} has no rules of IPv6 yet: which it has then is not modelled", place=reader.words[0].place)
    if verb == "delete":
        for number, rule in enumerate(namespace.rules):
            if rule.family == version and all(getattr(rule, name) == value for name, value in said.items()):
                del namespace.rules[number]
                return
        reader.refuse("No such file or directory (there is no such rule)")
    if "action" not in said and "table" not in said:
        said["table"] = int(Table.MAIN)
    priority = said.pop("priority", None)
    said["family"] = version
    rule = Rule(_free_priority(namespace, version) if priority is None else int(str(priority)), provenance=why, **said)  # type: ignore[arg-type]
    if rule in namespace.rules:
        reader.refuse("File exists (the same rule is there)")
    if rule.action == "goto" and (rule.goto is None or rule.goto <= rule.priority):
        reader.refuse("Invalid argument (goto leads only to a rule behind it)")
    namespace.rules.append(rule)
    namespace.rules.sort(key=lambda other: (other.family, other.priority))


def _free_priority(namespace: NamespaceBuilder, version: int) -> int:
    """Return the priority of a rule that states none: one before that of the second rule (fib_default_rule_pref)."""
    own = [rule.priority for rule in namespace.rules if rule.family == version]
    return own[1] - 1 if len(own) > 1 and own[1] else 0


def _read_rule(reader: Reader) -> dict[str, object]:
    said: dict[str, object] = {}
    while reader.peek() is not None:
        word = reader.take("an option of the rule")
        match word:
            case "not":
                said["inverted"] = True
            case "from":
                said["source"] = _selector(reader)
            case "to":
                said["destination"] = _selector(reader)
            case "iif" | "dev":
                said["iif"] = reader.take("a device")
            case "oif":
                said["oif"] = reader.take("a device")
            case "fwmark":
                said |= _mark(reader)
            case "table" | "lookup":
                said["table"] = table_number(reader)
            case "pref" | "priority" | "preference" | "order":
                said["priority"] = reader.number("a priority")
            case "tos" | "dsfield":
                said["tos"] = reader.number("a TOS", 255)
            case "ipproto":
                said["ip_protocol"] = named_number(
                    reader, "an IP protocol", {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}, 255
                )
            case "sport":
                said["source_ports"] = _ports(reader)
            case "dport":
                said["destination_ports"] = _ports(reader)
            case "suppress_prefixlength" | "sup_pl":
                said["suppress_prefix_length"] = reader.number("a prefix length", 128 if reader.version == 6 else 32)
            case "goto":
                said |= {"action": "goto", "goto": reader.number("a priority")}
            case "proto" | "protocol":
                said["protocol"] = protocol_number(reader)
            case "blackhole" | "unreachable" | "prohibit" | "nop":
                said["action"] = cast(RuleAction, word)
            case _:
                reader.unknown(_RULE_WORDS, "an option of a rule (from, to, fwmark, table, pref, ...)")
    return said


def _selector(reader: Reader) -> Network | None:
    network = reader.network("a network")
    return None if network.prefixlen == 0 else network


def _mark(reader: Reader) -> dict[str, object]:
    mark, _, mask = reader.take("a mark").partition("/")
    try:
        read: dict[str, object] = {"mark": int(mark, 0)}
        return read | {"mask": int(mask, 0)} if mask else read
    except ValueError:
        reader.fail("expected a mark, as 0x100 or 0x100/0xff00")


def _ports(reader: Reader) -> PortRange:
    first, _, last = reader.take("a port").partition("-")
    try:
        return PortRange(int(first), int(last or first))
    except ValueError:
        reader.fail("expected a port, as 80 or 8000-8080")
