"""Rules of nft(8), read word by word: conditions and statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final, Literal, cast

from lab.errors import did_you_mean, quoted
from lab.state.nft import (
    AnonymousSet,
    Counter,
    Ct,
    Expression,
    Log,
    Mangle,
    Match,
    Meta,
    Nat,
    NftRule,
    Numgen,
    Payload,
    Prefix,
    Range,
    Reject,
    SetRef,
    Statement,
    Verdict,
)
from lab.state.nft_builder import ChainBuilder, TableBuilder
from lab.state.nftables import canonical_rule
from lab.state.typed.words import NotModelled, Reader

_PLAIN: Final = {"iif": Meta("iif"), "oif": Meta("oif"), "iifname": Meta("iifname"), "oifname": Meta("oifname")}
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "ip": ("saddr", "daddr", "protocol", "ttl", "dscp"),
    "ip6": ("saddr", "daddr", "nexthdr", "hoplimit"),
    "tcp": ("sport", "dport"),
    "udp": ("sport", "dport"),
    "th": ("sport", "dport"),
    "icmp": ("type", "code"),
    "icmpv6": ("type", "code"),
}
_CONDITIONS: Final = (*_PLAIN, *_HEADERS, "meta", "ct", "numgen")
_STATEMENTS: Final = ("counter", "accept", "drop", "return", "jump", "goto", "reject", "masquerade", "snat", "dnat", "log", "comment")


def read_rule(tokens: Reader, table: TableBuilder) -> NftRule:
    """Read the rest of a command that adds a rule to a chain of a table. Raises InputError, and NotModelled for what is not understood."""
    read = _Rule(tokens, table)
    read.read()
    return canonical_rule(NftRule(tuple(read.statements), read.comment), table.family)


def named_chain(tokens: Reader, table: TableBuilder) -> ChainBuilder:
    """Take the name of a chain that a table has."""
    name = tokens.take("a chain")
    if name not in table.chains:
        tokens.fail(f"table {table.family} {table.name} has no chain {quoted(name)}", did_you_mean(name, list(table.chains), "chain"))
    return table.chains[name]


def read_value(tokens: Reader) -> Expression:
    """Take a value: an address, a network, a range, a number, a word, or @SET."""
    said = tokens.take("a value")
    if said.startswith("@"):
        return SetRef(said[1:])
    try:
        return ip_address(said)
    except ValueError:
        pass
    try:
        if "/" in said:
            return Prefix(ip_network(said))
        first, dash, last = said.partition("-")
        if dash and first and last:
            numbers = first.isdecimal() and last.isdecimal()
            return Range(int(first), int(last)) if numbers else Range(ip_address(first), ip_address(last))
        return int(said, 0)
    except ValueError:
        return said


@dataclass(slots=True)
class _Rule:
    """Reads the statements of a rule."""

    tokens: Reader
    table: TableBuilder
    statements: list[Statement] = field(default_factory=list)
    comment: str | None = None

    def read(self) -> None:
        while self.tokens.peek() is not None:
            word = self.tokens.take("a condition or statement")
            if word in _CONDITIONS:
                self._condition(word)
            elif word in ("accept", "drop", "return", "continue"):
                self.statements.append(Verdict(word))  # type: ignore[arg-type]
            elif word in ("jump", "goto"):
                chain = named_chain(self.tokens, self.table)
                self.statements.append(Verdict(word, chain.name))  # type: ignore[arg-type]
            else:
                self._statement(word)
        if not self.statements:
            self.tokens.fail("a rule needs at least one statement")

    def _condition(self, word: str) -> None:
        tokens = self.tokens
        left: Meta | Ct | Payload | Numgen
        if word in _PLAIN:
            left = _PLAIN[word]
        elif word == "numgen":
            left = self._numgen()
        elif word in _HEADERS:
            name = tokens.take(f"a field of {word}")
            if name not in _HEADERS[word]:
                raise NotModelled(f"`{word} {name}` is not modelled", place=tokens.place)
            left = Payload(word, name)
        else:
            key = tokens.take(f"a key of {word}")
            if key not in ("mark", "state", "l4proto", "iifname", "oifname"):
                raise NotModelled(f"`{word} {key}` is not modelled", place=tokens.place)
            if tokens.skip("set"):
                target = Meta(key) if word == "meta" else Ct(key)
                self.statements.append(Mangle(target, read_value(tokens)))
                return
            left = Meta(key) if word == "meta" else Ct(key)
        self._match(left)

    def _numgen(self) -> Numgen:
        tokens = self.tokens
        mode = tokens.take("random or inc")
        if mode not in ("random", "inc") or not tokens.skip("mod"):
            tokens.fail("expected numgen random mod NUMBER, or numgen inc mod NUMBER")
        modulus = tokens.number("a number")
        return Numgen(mode, modulus, tokens.number("a number") if tokens.skip("offset") else 0)  # type: ignore[arg-type]

    def _match(self, left: Meta | Ct | Payload | Numgen) -> None:
        tokens = self.tokens
        operator: Literal["==", "!=", "<", ">", "<=", ">=", "in"] = "=="
        if tokens.peek() in ("!=", "==", "<", ">", "<=", ">="):
            operator = cast(Literal["==", "!=", "<", ">", "<=", ">="], tokens.take("an operator"))
        if tokens.skip("{"):
            values = [read_value(tokens)]
            while tokens.skip(","):
                if tokens.peek() != "}":
                    values.append(read_value(tokens))
            if not tokens.skip("}"):
                tokens.fail("expected } here")
            self.statements.append(Match(left, AnonymousSet(tuple(values)), operator))
            return
        value = read_value(tokens)
        if isinstance(left, Ct) and left.key == "state":
            states = [value]
            while tokens.skip(","):
                states.append(read_value(tokens))
            self.statements.append(
                Match(left, AnonymousSet(tuple(states)) if len(states) > 1 else states[0], "in" if operator == "==" else operator)
            )
            return
        if isinstance(value, SetRef) and value.name not in self.table.sets:
            tokens.fail(f"there is no set {quoted(value.name)}", did_you_mean(value.name, list(self.table.sets), "set"))
        self.statements.append(Match(left, value, operator))

    def _statement(self, word: str) -> None:
        tokens = self.tokens
        match word:
            case "counter":
                while tokens.peek() in ("packets", "bytes"):
                    tokens.take("a counter")
                    tokens.number("a number", 2**64)
                self.statements.append(Counter())
            case "comment":
                self.comment = tokens.take("a comment")
            case "log":
                self.statements.append(Log(tokens.take("a prefix") if tokens.skip("prefix") else None))
            case "masquerade":
                self.statements.append(Nat("masquerade"))
            case "snat" | "dnat":
                self.statements.append(self._nat(word))
            case "reject":
                self.statements.append(self._reject())
            case _:
                best = did_you_mean(word, (*_CONDITIONS, *_STATEMENTS), "word")
                raise NotModelled(f"{quoted(word)} in a rule is not modelled", place=tokens.place, hint=best)

    def _nat(self, word: Literal["snat", "dnat"]) -> Nat:
        tokens = self.tokens
        if tokens.peek() in ("ip", "ip6"):
            tokens.take("a family")
        tokens.skip("to")
        said = tokens.take("an address")
        if said.startswith("["):
            address, _, port = said[1:].partition("]")
            port = port.removeprefix(":")
        elif said.count(":") > 1:
            address, port = said, ""
        else:
            address, _, port = said.partition(":")
        try:
            return Nat(word, ip_address(address), int(port) if port else None)
        except ValueError:
            tokens.fail(f"expected an address, as 10.0.0.1 or 10.0.0.1:80, found {quoted(said)}")

    def _reject(self) -> Reject:
        tokens = self.tokens
        if not tokens.skip("with"):
            return Reject()
        if tokens.skip("tcp"):
            tokens.skip("reset")
            return Reject("tcp reset")
        kind = tokens.take("icmp, icmpv6, icmpx or tcp reset")
        if kind not in ("icmp", "icmpv6", "icmpx"):
            raise NotModelled(f"`reject with {kind}` is not modelled", place=tokens.place)
        tokens.skip("type")
        return Reject(kind, tokens.take("a code, as host-unreachable"))  # type: ignore[arg-type]
