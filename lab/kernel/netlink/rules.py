"""Policy routing rules (ip-rule(8), include/uapi/linux/fib_rules.h)."""

from __future__ import annotations

import struct
from typing import Final

from lab.kernel.netlink.wire import (
    AF_INET,
    AF_INET6,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    REMOVE,
    RTM_DELRULE,
    RTM_NEWRULE,
    address,
    attribute,
    message,
    text,
    u8,
    u32,
)
from lab.state import PortRange, Rule

FRA_DST: Final = 1
FRA_SRC: Final = 2
FRA_IIFNAME: Final = 3
FRA_GOTO: Final = 4
FRA_PRIORITY: Final = 6
FRA_FWMARK: Final = 10
FRA_SUPPRESS_IFGROUP: Final = 13
FRA_SUPPRESS_PREFIXLEN: Final = 14
FRA_TABLE: Final = 15
FRA_FWMASK: Final = 16
FRA_OIFNAME: Final = 17
FRA_L3MDEV: Final = 19
FRA_UID_RANGE: Final = 20
FRA_PROTOCOL: Final = 21
FRA_IP_PROTO: Final = 22
FRA_SPORT_RANGE: Final = 23
FRA_DPORT_RANGE: Final = 24

FIB_RULE_INVERT: Final = 2

ACTIONS: Final = {"lookup": 1, "goto": 2, "nop": 3, "blackhole": 6, "unreachable": 7, "prohibit": 8}

FIB_RULE_HDR: Final = struct.Struct("=BBBBBxxBI")
"""fib_rule_hdr: family, lengths of destination and source prefix, TOS, table, action, flags."""
PORTS: Final = struct.Struct("=HH")
UIDS: Final = struct.Struct("=II")
UID_MAX: Final = 0xFFFF_FFFF - 1


def new_rule(rule: Rule) -> bytes:
    """Add a rule behind those of the same priority. Without NLM_F_EXCL: the kernel would refuse what it takes for a duplicate."""
    return message(RTM_NEWRULE, NLM_F_REQUEST | NLM_F_CREATE, _body(rule))


def delete_rule(rule: Rule) -> bytes:
    """Remove a rule."""
    return message(RTM_DELRULE, REMOVE, _body(rule))


def _body(rule: Rule) -> bytes:
    destination, source = rule.destination, rule.source
    table = rule.table or 0
    body = FIB_RULE_HDR.pack(
        AF_INET if rule.family == 4 else AF_INET6,
        0 if destination is None else destination.prefixlen,
        0 if source is None else source.prefixlen,
        rule.tos,
        table if table < 256 else 0,
        ACTIONS[rule.action],
        FIB_RULE_INVERT if rule.inverted else 0,
    ) + u32(FRA_PRIORITY, rule.priority)
    if destination is not None:
        body += address(FRA_DST, destination.network_address)
    if source is not None:
        body += address(FRA_SRC, source.network_address)
    if table > 255:
        body += u32(FRA_TABLE, table)
    if rule.mark is not None:
        body += u32(FRA_FWMARK, rule.mark) + u32(FRA_FWMASK, rule.mask)
    if rule.iif is not None:
        body += text(FRA_IIFNAME, rule.iif)
    if rule.oif is not None:
        body += text(FRA_OIFNAME, rule.oif)
    if rule.goto is not None:
        body += u32(FRA_GOTO, rule.goto)
    return body + u8(FRA_PROTOCOL, rule.protocol) + _rare(rule)


def _rare(rule: Rule) -> bytes:
    """The selectors hardly any rule has."""
    body = b""
    if rule.l3mdev:
        body += u8(FRA_L3MDEV, 1)
    if rule.ip_protocol is not None:
        body += u8(FRA_IP_PROTO, rule.ip_protocol)
    if rule.source_ports is not None:
        body += _ports(FRA_SPORT_RANGE, rule.source_ports)
    if rule.destination_ports is not None:
        body += _ports(FRA_DPORT_RANGE, rule.destination_ports)
    if rule.uid_first is not None or rule.uid_last is not None:
        first, last = rule.uid_first or 0, UID_MAX if rule.uid_last is None else rule.uid_last
        body += attribute(FRA_UID_RANGE, UIDS.pack(first, last))
    if rule.suppress_prefix_length is not None:
        body += u32(FRA_SUPPRESS_PREFIXLEN, rule.suppress_prefix_length)
    if rule.suppress_group is not None:
        body += u32(FRA_SUPPRESS_IFGROUP, rule.suppress_group)
    return body


def _ports(kind: int, ports: PortRange) -> bytes:
    return attribute(kind, PORTS.pack(ports.first, ports.last))
