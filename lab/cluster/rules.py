"""Words to write nft rules with, so that a rule set reads like the iptables rules it stands for.

    rule(iif("cali*"), then=jump("cali-from-wl-dispatch"), why=reason)
    rule(source(pool), destination("!=", pools), then=MASQUERADE, why=reason)

Every rule that ends in a verdict counts, as every rule of iptables does.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal

from lab.state.builder import NamespaceBuilder
from lab.state.nft import (
    AnonymousSet,
    BinaryOperation,
    Chain,
    Counter,
    Ct,
    Expression,
    Fib,
    Mangle,
    Match,
    Meta,
    Nat,
    NftRule,
    NftSet,
    Payload,
    Prefix,
    Reject,
    SetRef,
    Statement,
    Verdict,
)
from lab.state.nft_builder import BaseChain, ChainBuilder, SetBuilder, TableBuilder
from lab.state.objects import Address, Network
from lab.state.provenance import Provenance

IpTable = Literal["ip", "ip6"]
"""The family of a table: iptables', or ip6tables'."""

# -- verdicts ------------------------------------------------------------------------------------------------------

ACCEPT: Final = Verdict("accept")
DROP: Final = Verdict("drop")
RETURN: Final = Verdict("return")
MASQUERADE: Final = Nat("masquerade", flags=("fully-random",))
"""kube-proxy and Felix ask for ``--random-fully`` wherever the kernel can do it."""


def jump(chain: str) -> Verdict:
    """Go on in another chain, and come back after it."""
    return Verdict("jump", chain)


def goto(chain: str) -> Verdict:
    """Go on in another chain, and do not come back."""
    return Verdict("goto", chain)


def dnat(address: Address, port: int) -> Nat:
    """Give the packet another destination."""
    return Nat("dnat", address=address, port=port)


# -- conditions ----------------------------------------------------------------------------------------------------


def iif(name: str) -> Match:
    """The packet came in by this device; ``cali*`` stands for all that begin so."""
    return Match(Meta("iifname"), name)


def oif(name: str) -> Match:
    """The packet leaves by this device."""
    return Match(Meta("oifname"), name)


def not_oif(name: str) -> Match:
    """The packet leaves by another device."""
    return Match(Meta("oifname"), name, "!=")


def source(where: Address | Network | SetRef, family: IpTable = "ip") -> Match:
    """The packet's source is this address, or in this network, or in this set of addresses of a family."""
    return Match(Payload(_family(where, family), "saddr"), _where(where))


def not_source(where: Address | Network | SetRef) -> Match:
    """The packet's source is elsewhere."""
    return Match(Payload(_family(where), "saddr"), _where(where), "!=")


def destination(where: Address | Network | SetRef, family: IpTable = "ip") -> Match:
    """The packet's destination is this address, or in this network, or in this set of addresses of a family."""
    return Match(Payload(_family(where, family), "daddr"), _where(where))


def not_destination(where: Address | Network | SetRef, family: IpTable = "ip") -> Match:
    """The packet's destination is elsewhere."""
    return Match(Payload(_family(where, family), "daddr"), _where(where), "!=")


def any_of(networks: tuple[Network, ...]) -> Expression:
    """Any of some networks, written in place."""
    return _where(networks[0]) if len(networks) == 1 else AnonymousSet(tuple(_where(network) for network in networks))


def protocol(name: str | int) -> Match:
    """The transport protocol, by name or number."""
    return Match(Meta("l4proto"), name)


def icmpv6(kind: int) -> Match:
    """The packet is an ICMPv6 message of this type (RFC 4443, RFC 4861, RFC 3810)."""
    return Match(Payload("icmpv6", "type"), kind)


def port(transport: str, number: int) -> Match:
    """The destination port of tcp or udp."""
    return Match(Payload(transport, "dport"), number)


def states(*names: str) -> Match:
    """The connection is in one of these states."""
    return Match(Ct("state"), AnonymousSet(names) if len(names) > 1 else names[0], "in")


def marked(bits: int) -> Match:
    """All of these bits of the packet's mark are set."""
    return Match(BinaryOperation("&", Meta("mark"), bits), bits)


def unmarked(bits: int) -> Match:
    """None of these bits of the packet's mark is set."""
    return Match(BinaryOperation("&", Meta("mark"), bits), 0)


LOCAL_SOURCE: Final = Match(Fib("type", ("saddr",)), "local")
LOCAL_DESTINATION: Final = Match(Fib("type", ("daddr",)), "local")
NO_WAY_BACK: Final = Match(Fib("oif", ("saddr", "mark", "iif")), False)
"""The way back to the source does not leave by the device the packet came in by (xt_rpfilter --validmark --invert)."""
SOURCE_OF_OTHER_DEVICE: Final = Match(Fib("type", ("saddr", "oif")), "local", "!=")
"""The source is no address of the device the packet leaves by (xt_addrtype --limit-iface-out)."""


def not_local_destination() -> Match:
    """The destination is no address of this namespace (xt_addrtype ! --dst-type LOCAL)."""
    return Match(Fib("type", ("daddr",)), "local", "!=")


def _family(where: Address | Network | SetRef, family: IpTable = "ip") -> IpTable:
    """Return the header that holds an address; a set does not say which."""
    return family if isinstance(where, SetRef) else "ip" if where.version == 4 else "ip6"


def _where(where: Address | Network | SetRef) -> Expression:
    return Prefix(where) if isinstance(where, IPv4Network | IPv6Network) else where


# -- changes of the mark -------------------------------------------------------------------------------------------


def set_mark(bits: int) -> Mangle:
    """Set some bits of the packet's mark."""
    return Mangle(Meta("mark"), BinaryOperation("|", Meta("mark"), bits))


def clear_mark(bits: int) -> Mangle:
    """Clear some bits of the packet's mark."""
    return Mangle(Meta("mark"), BinaryOperation("&", Meta("mark"), ~bits & 0xFFFFFFFF))


def flip_mark(bits: int) -> Mangle:
    """Flip some bits of the packet's mark."""
    return Mangle(Meta("mark"), BinaryOperation("^", Meta("mark"), bits))


LONGEST_COMMENT: Final = 128
"""Characters; nft refuses longer ones (NFTNL_UDATA_COMMENT_MAXLEN)."""

# -- rules and chains ----------------------------------------------------------------------------------------------


def rule(*conditions: Match, then: Verdict | Nat | Reject | Mangle, why: Provenance, comment: str | None = None) -> NftRule:
    """Return a rule: conditions, a counter, and what happens to a packet that meets them all."""
    statements: tuple[Statement, ...] = (*conditions, Counter(), then)
    return NftRule(statements, comment and comment[:LONGEST_COMMENT], provenance=why)


def built_in(namespace: NamespaceBuilder, table: str, name: str, why: Provenance, family: IpTable = "ip") -> ChainBuilder:
    """Return one of iptables' built-in chains, as the base chain with policy accept that it is in nf_tables; or of ip6tables'."""
    return _table(namespace, table, why, family).chain(name, BUILT_IN[table, name], why)


def put_chain(namespace: NamespaceBuilder, table: str, chain: Chain, family: IpTable = "ip") -> None:
    """Have a chain with these rules and no others in one of iptables' tables, as iptables-restore does."""
    builder = _table(namespace, table, chain.provenance, family).chain(chain.name, provenance=chain.provenance)
    builder.rules = list(chain.rules)
    builder.provenance = chain.provenance


def put_set(namespace: NamespaceBuilder, table: str, nft_set: NftSet, family: IpTable = "ip") -> None:
    """Have a set with these elements and no others in one of iptables' tables; iptables itself would use an ipset."""
    _table(namespace, table, nft_set.provenance, family).sets[nft_set.name] = SetBuilder(nft_set, dict.fromkeys(nft_set.elements))


def _table(namespace: NamespaceBuilder, name: str, why: Provenance, family: IpTable) -> TableBuilder:
    program = "iptables" if family == "ip" else "ip6tables"
    return namespace.table(family, name, Provenance(program, f"table {name}, made when it was first used", because=(why,)))


BUILT_IN: Final = {
    ("raw", "PREROUTING"): BaseChain("filter", "prerouting", -300),
    ("raw", "OUTPUT"): BaseChain("filter", "output", -300),
    ("mangle", "PREROUTING"): BaseChain("filter", "prerouting", -150),
    ("mangle", "INPUT"): BaseChain("filter", "input", -150),
    ("mangle", "FORWARD"): BaseChain("filter", "forward", -150),
    ("mangle", "OUTPUT"): BaseChain("route", "output", -150),
    ("mangle", "POSTROUTING"): BaseChain("filter", "postrouting", -150),
    ("nat", "PREROUTING"): BaseChain("nat", "prerouting", -100),
    ("nat", "INPUT"): BaseChain("nat", "input", 100),
    ("nat", "OUTPUT"): BaseChain("nat", "output", -100),
    ("nat", "POSTROUTING"): BaseChain("nat", "postrouting", 100),
    ("filter", "INPUT"): BaseChain("filter", "input", 0),
    ("filter", "FORWARD"): BaseChain("filter", "forward", 0),
    ("filter", "OUTPUT"): BaseChain("filter", "output", 0),
}
"""iptables' built-in chains by table and name (iptables/nft.c)."""
