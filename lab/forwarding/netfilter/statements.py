"""nft statements, compiled to functions of a packet in transit (`lab.forwarding.netfilter.outcomes`)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from lab.forwarding.addresses import select_address
from lab.forwarding.addresses6 import first_address6, select_address6
from lab.forwarding.netfilter.conntrack import UNTRACKED, Connection, CtState, Tracked, remember
from lab.forwarding.netfilter.expressions import Scope, compile_expression, kind_of
from lab.forwarding.netfilter.matches import compile_match, compile_verdict_map
from lab.forwarding.netfilter.nat import bind, decided, manipulation_of
from lab.forwarding.netfilter.outcomes import BREAK, Execute, Lost, Outcome, Refuse, undecided
from lab.forwarding.netfilter.readings import Evaluate
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.netfilter.values import Value
from lab.forwarding.packet import ICMP, ICMPV6, TCP, Address
from lab.forwarding.unknown import Undecided
from lab.state.nft import (
    Concat,
    Counter,
    Ct,
    Expression,
    Limit,
    Log,
    Mangle,
    Match,
    Meta,
    NamedCounter,
    Nat,
    NoTrack,
    OpaqueStatement,
    Payload,
    Prefix,
    Range,
    Reject,
    Statement,
    TcpOption,
    Verdict,
    VerdictMap,
)

ACCEPT = Verdict("accept")


def compile_statement(statement: Statement, rest: tuple[Statement, ...], scope: Scope, subject: object) -> Execute | None:
    """Compile a statement; None for one that changes nothing. `rest` follows it in the rule, `subject` is the rule."""
    match statement:
        case Match():
            return compile_match(statement, scope, subject)
        case Verdict():
            return lambda t: statement
        case VerdictMap():
            return compile_verdict_map(statement, scope)
        case Mangle(key) if scope.frames and key != Meta("mark"):
            return undecided(f"a change of {key} in a frame is not modelled", subject)
        case Mangle():
            return _mangle(statement, scope)
        case Nat():
            return _nat(statement, scope)
        case Reject():
            refuse = Refuse(statement)
            return lambda t: refuse if _answers(statement, t) else BREAK
        case Counter() | NamedCounter() | Log():
            return None
        case NoTrack():
            return _no_track
        case Limit():
            # What only counts and logs may do so or not: the packet goes the same way.
            if all(isinstance(after, Counter | NamedCounter | Log | Limit) for after in rest):
                return lambda t: BREAK
            return undecided("a rate limit decides", subject)
        case OpaqueStatement(text):
            return undecided(f"the statement {text} is not modelled", subject)


def _answers(reject: Reject, t: Transit) -> bool:
    """Whether a packet is of the protocol that a reject's answer needs: nft adds that condition to the rule, and does not print it."""
    match reject.type:
        case "tcp reset":
            return t.packet.protocol == TCP
        case "icmp" | "icmpv6":
            return t.packet.version == (4 if reject.type == "icmp" else 6)
        case _:
            return True


def _no_track(t: Transit) -> Outcome:
    if t.tracked is None:
        t.tracked = UNTRACKED
    return None


# -- changes -------------------------------------------------------------------------------------------------------


def _mangle(statement: Mangle, scope: Scope) -> Execute:
    value_of = compile_expression(statement.value, scope, kind_of(statement.key))
    match statement.key:
        case Meta("mark"):
            return lambda t: _set_packet(t, value_of, "mark")
        case Meta("nftrace" | "priority" | "pkttype"):
            return lambda t: None
        case Ct("mark"):
            return lambda t: _set_connection_mark(t, value_of)
        case TcpOption("maxseg", "size"):
            return lambda t: _clamp(t, value_of)
        case Payload("ip", "ttl") | Payload("ip6", "hoplimit"):
            return lambda t: _set_packet(t, value_of, "ttl")
        case Payload("ip" | "ip6", "dscp"):
            return lambda t: _set_dscp(t, value_of)
        case key:
            return undecided(f"a change of {key} is not modelled", statement)


def _set_packet(t: Transit, value_of: Evaluate, name: Literal["mark", "ttl"]) -> Outcome:
    value = value_of(t)
    if not isinstance(value, int):
        return BREAK
    t.packet = t.packet._replace(mark=value) if name == "mark" else t.packet._replace(ttl=value)
    return None


def _set_dscp(t: Transit, value_of: Evaluate) -> Outcome:
    value = value_of(t)
    if not isinstance(value, int):
        return BREAK
    t.packet = t.packet._replace(tos=value << 2 | t.packet.tos & 3)
    return None


def _set_connection_mark(t: Transit, value_of: Evaluate) -> Outcome:
    value = value_of(t)
    if t.tracked is None or t.tracked.connection is None:
        return None
    if not isinstance(value, int):
        return BREAK
    set_connection(t, t.tracked.connection._replace(mark=value))
    return None


def set_connection(t: Transit, connection: Connection) -> None:
    """Replace the connection of a packet by a new version of it, in the table too when it is there."""
    t.tracked = Tracked(CtState.NEW, connection) if t.tracked is None else t.tracked._replace(connection=connection)
    if t.confirmed:
        remember(connection, t.world.conntrack(t.node))


def _clamp(t: Transit, value_of: Evaluate) -> Outcome:
    """A segment size is only ever made smaller (`nft_exthdr_tcp_set_eval`)."""
    if t.packet.mss is None:
        return BREAK
    value = value_of(t)
    if isinstance(value, int) and value < t.packet.mss:
        t.packet = t.packet._replace(mss=value)
    return None


# -- translation ---------------------------------------------------------------------------------------------------


def _nat(statement: Nat, scope: Scope) -> Execute:
    address_of = None if statement.address is None else _address(statement.address, scope)
    port_of = None if statement.port is None else _port(statement.port, scope)
    random = any(flag in statement.flags for flag in ("random", "fully-random"))

    def translate(t: Transit) -> Outcome:
        connection = None if t.tracked is None else t.tracked.connection
        if connection is None:
            return BREAK
        manipulation = manipulation_of(t.hook)
        if decided(connection, manipulation):
            return ACCEPT
        address = None if address_of is None else address_of(t)
        port = None if port_of is None else port_of(t)
        if address_of is not None and address is None:
            return BREAK
        if isinstance(address, tuple):
            address, *ports = address
            port = ports[0] if ports else port
        masquerade = None
        if statement.kind == "masquerade":
            found = _masquerade_source(t)
            if found is None:
                return Lost(f"masquerade finds no address on {t.oif}")
            address, masquerade = int(found), t.oif
        elif statement.kind == "redirect":
            address = _redirect_target(t)
            if address is None:
                return Lost(f"redirect finds no address on {t.iif}")
        bound = bind(
            connection,
            manipulation,
            t.world.conntrack(t.node),
            address=address if isinstance(address, int) else None,
            port=port if isinstance(port, int) else None,
            any_port=random and manipulation == "source" and connection.original.protocol not in (ICMP, ICMPV6),
        )
        set_connection(t, bound._replace(masquerade=masquerade or bound.masquerade))
        return ACCEPT

    return translate


def _masquerade_source(t: Transit) -> Address | None:
    """The address of the way out (`nf_nat_masquerade_ipv4`), chosen by RFC 6724 for IPv6 (`nf_nat_masquerade_ipv6`)."""
    if isinstance(t.packet.destination, IPv6Address):
        return select_address6(t.node, t.oif or "", t.packet.destination)
    return select_address(t.node, t.oif or "", t.next_hop or 0, 0)


def _redirect_target(t: Transit) -> int | None:
    """The first address of the arrival device, or loopback for packets made here (net/netfilter/nf_nat_redirect.c)."""
    destination = t.packet.destination
    if isinstance(destination, IPv6Address):
        found = IPv6Address("::1") if t.hook == "output" else first_address6(t.node, t.iif or "", link_local=destination.is_link_local)
        return None if found is None else int(found)
    if t.hook == "output":
        return int(IPv4Address("127.0.0.1"))
    addresses = t.node.addresses.get(t.iif or "", ())
    return addresses[0].number if addresses else None


def _address(expression: Expression, scope: Scope) -> Evaluate:
    if isinstance(expression, Range | Prefix):
        return _several(expression)
    kind = "ipv4_addr . inet_service" if isinstance(expression, Concat) else "ipv4_addr"  # any text that is an address is read as one
    return compile_expression(expression, scope, kind)


def _port(expression: Expression, scope: Scope) -> Evaluate:
    if isinstance(expression, Range):
        return _several(expression)
    return compile_expression(expression, scope, "inet_service")


def _several(expression: Expression) -> Evaluate:
    def ask(t: Transit) -> Value | None:
        raise Undecided("one of several addresses or ports is chosen by a hash", expression)

    return ask
