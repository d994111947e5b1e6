"""`nft`, read and carried out on a namespace, as far as an operator's one-line changes go; the rest raises NotModelled.

Understood: `add`, `insert` and `delete rule` (by handle), `add`, `delete` and
`flush` of tables, chains and elements; in rules the conditions and statements that `_CONDITIONS` and `_Rule` name. Syntax: nft(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Final, Literal, cast, get_args

from lab.errors import did_you_mean, quoted
from lab.state.builder import NamespaceBuilder
from lab.state.nft import (
    AnonymousSet,
    Counter,
    Ct,
    Expression,
    Family,
    Log,
    Mangle,
    Match,
    Meta,
    Nat,
    NftRule,
    Payload,
    Prefix,
    Range,
    Reject,
    SetRef,
    Statement,
    Verdict,
)
from lab.state.nft_builder import BaseChain, ChainBuilder, SetBuilder, TableBuilder
from lab.state.nftables import canonical_rule
from lab.state.provenance import Provenance
from lab.state.typed.words import NotModelled, Reader, Word

_FAMILIES: Final = get_args(Family)
_TOKEN: Final = re.compile(r"[{},;]|!=|==|<=|>=|<|>|[^\s{},;!=<>]+")
_PRIORITIES: Final[Mapping[str, int]] = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
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
_CONDITIONS: Final = (*_PLAIN, *_HEADERS, "meta", "ct")
_STATEMENTS: Final = ("counter", "accept", "drop", "return", "jump", "goto", "reject", "masquerade", "snat", "dnat", "log", "comment")


def change_tables(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `nft ...`. Raises InputError, and NotModelled for what is not understood."""
    while (option := reader.peek() or "").startswith("-"):
        reader.take("an option")
        if option not in ("-a", "-n", "-nn", "-s"):
            raise NotModelled(f"the option {quoted(option)} of `nft` is not modelled", place=reader.place)
    commands = list(_commands(_tokens(reader)))
    if not commands:
        reader.fail("expected a command of `nft`")
    for command in commands:
        _change(Reader(command), namespace, why)


def _change(tokens: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    verb = tokens.take("a command of `nft`")
    if verb in ("list", "monitor", "describe"):
        return
    if verb not in ("add", "insert", "delete", "destroy", "flush", "create"):
        raise NotModelled(f"`nft {verb}` is not modelled", place=tokens.place)
    what = tokens.take("`table`, `chain`, `rule` or `element`")
    if what in _FAMILIES:  # `nft add ip ...` is none; `nft flush ruleset` is
        tokens.fail(f"expected `table`, `chain`, `rule` or `element`, found {quoted(what)}")
    if (verb, what) == ("flush", "ruleset"):
        namespace.tables.clear()
        return
    if what not in ("table", "chain", "rule", "element") and (verb, what) != ("flush", "set"):
        raise NotModelled(f"`nft {verb} {what}` is not modelled", place=tokens.place)
    family = cast(Family, tokens.take("a family")) if tokens.peek() in _FAMILIES else "ip"
    name = tokens.take("a table")
    if what == "table":
        _table(tokens, namespace, verb, family, name, why)
        return
    table = namespace.tables.get((family, name))
    if table is None:
        known = [f"{fam} {tab}" for fam, tab in namespace.tables]
        tokens.fail(f"{namespace.name} has no table {family} {name}", did_you_mean(f"{family} {name}", known, "table"))
    match what:
        case "chain":
            _chain(tokens, table, verb, why)
        case "rule":
            _rule(tokens, table, verb, why)
        case "set":
            _named_set(tokens, table).replace(())
        case _:
            _element(tokens, table, verb)


def _tokens(reader: Reader) -> list[Word]:
    """Take the remaining words apart as nft does, which reads them all as one text. A comment in quotes stays one word."""
    found: list[Word] = []
    for word in reader.rest:
        if found and found[-1].text in ("comment", "prefix"):
            found.append(Word(word.text.strip('"'), word.place))
            continue
        for match in re.finditer(r'"[^"]*"|' + _TOKEN.pattern, word.text):
            place = replace(word.place, column=word.place.column + match.start())
            found.append(Word(match[0].strip('"'), place))
    return found


def _commands(words: list[Word]) -> Iterator[list[Word]]:
    """Part words at the semicolons that stand outside of braces."""
    command: list[Word] = []
    depth = 0
    for word in words:
        depth += {"{": 1, "}": -1}.get(word.text, 0)
        if word.text == ";" and not depth:
            if command:
                yield command
            command = []
        else:
            command.append(word)
    if command:
        yield command


def _table(tokens: Reader, namespace: NamespaceBuilder, verb: str, family: Family, name: str, why: Provenance) -> None:
    there = namespace.tables.get((family, name))
    if verb in ("add", "create"):
        if verb == "create" and there is not None:
            tokens.refuse("File exists")
        namespace.table(family, name, why)
    elif there is None:
        if verb != "destroy":
            tokens.refuse(f"No such file or directory (there is no table {family} {name})")
    elif verb == "flush":
        for chain in there.chains.values():
            chain.flush()
    else:
        del namespace.tables[family, name]
    _end(tokens)


def _end(tokens: Reader) -> None:
    if tokens.peek() is not None:
        raise NotModelled(f"{quoted(tokens.peek())} and what follows is not modelled", place=tokens.words[tokens.at].place)


def _named_chain(tokens: Reader, table: TableBuilder) -> ChainBuilder:
    name = tokens.take("a chain")
    if name not in table.chains:
        tokens.fail(f"table {table.family} {table.name} has no chain {quoted(name)}", did_you_mean(name, list(table.chains), "chain"))
    return table.chains[name]


def _chain(tokens: Reader, table: TableBuilder, verb: str, why: Provenance) -> None:
    if verb in ("add", "create"):
        name = tokens.take("a chain")
        table.chain(name, _base(tokens), why)
    elif verb == "flush":
        _named_chain(tokens, table).flush()
    else:
        chain = _named_chain(tokens, table)
        if chain.rules and verb == "delete":
            tokens.refuse("Device or resource busy (the chain has rules; flush it first)")
        table.delete_chain(chain.name)
    _end(tokens)


def _base(tokens: Reader) -> BaseChain | None:
    """Read `{ type filter hook forward priority 0; policy drop; }`, as far as it is there."""
    if not tokens.skip("{"):
        return None
    said: dict[str, str] = {"policy": "accept"}
    while not tokens.skip("}"):
        key = tokens.take("type, hook, priority or policy")
        if key == ";":
            continue
        if key not in ("type", "hook", "priority", "policy"):
            raise NotModelled(f"{quoted(key)} of a chain is not modelled", place=tokens.place)
        said[key] = tokens.take(f"the {key} of the chain")
    if not {"type", "hook", "priority"} <= said.keys():
        tokens.fail("a base chain needs `type`, `hook` and `priority`")
    try:
        priority = int(_PRIORITIES.get(said["priority"], said["priority"]))
    except ValueError:
        tokens.fail("expected a priority, as filter or 0")
    return BaseChain(said["type"], said["hook"], priority, said["policy"])  # type: ignore[arg-type]


def _rule(tokens: Reader, table: TableBuilder, verb: str, why: Provenance) -> None:
    chain = _named_chain(tokens, table)
    position: int | None = None
    handle: int | None = None
    while tokens.peek() in ("handle", "index", "position"):
        key = tokens.take("handle or index")
        number = tokens.number("a number")
        if key == "index":
            position = number
        else:
            handle = number
    if handle is not None:
        position = next((at for at, rule in enumerate(chain.rules) if rule.handle == handle), None)
        if position is None:
            raise NotModelled(f"which rule has the handle {handle} only the kernel knows", place=tokens.place)
    if verb in ("delete", "destroy"):
        if position is None:
            tokens.fail("a rule is deleted by its handle", "nft(8): delete rule [family] table chain handle HANDLE")
        del chain.rules[position]
        _end(tokens)
        return
    if position is not None and position >= len(chain.rules):
        tokens.refuse(f"No such file or directory (the chain has {len(chain.rules)} rules)")
    read = _Rule(tokens, table)
    read.read()
    rule = canonical_rule(NftRule(tuple(read.statements), read.comment), table.family)
    at = (position or 0) if verb == "insert" else (len(chain.rules) if position is None else position + 1)
    chain.insert(rule, at, why)


def _element(tokens: Reader, table: TableBuilder, verb: str) -> None:
    builder = _named_set(tokens, table)
    if len(builder.declared.key) != 1:
        raise NotModelled("elements of concatenated keys are not modelled", place=tokens.place)
    if not tokens.skip("{"):
        tokens.fail("expected the elements in braces, as { 10.0.0.0/8 }")
    elements = [_value(tokens)]
    while tokens.skip(","):
        elements.append(_value(tokens))
    if not tokens.skip("}"):
        tokens.fail("expected } here")
    if verb in ("add", "create", "insert"):
        builder.add(*elements)
        return
    missing = [element for element in elements if element not in builder.elements]
    if missing and verb == "delete":
        tokens.refuse(f"No such file or directory (the set {builder.declared.name} has no such element)")
    builder.remove(*elements)


def _named_set(tokens: Reader, table: TableBuilder) -> SetBuilder:
    name = tokens.take("a set")
    if name in table.maps:
        raise NotModelled("elements of maps are not modelled", place=tokens.place)
    if name not in table.sets:
        tokens.fail(f"table {table.family} {table.name} has no set {quoted(name)}", did_you_mean(name, list(table.sets), "set"))
    return table.sets[name]


def _value(tokens: Reader) -> Expression:
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
                chain = _named_chain(self.tokens, self.table)
                self.statements.append(Verdict(word, chain.name))  # type: ignore[arg-type]
            else:
                self._statement(word)
        if not self.statements:
            self.tokens.fail("a rule needs at least one statement")

    def _condition(self, word: str) -> None:
        tokens = self.tokens
        left: Meta | Ct | Payload
        if word in _PLAIN:
            left = _PLAIN[word]
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
                self.statements.append(Mangle(target, _value(tokens)))
                return
            left = Meta(key) if word == "meta" else Ct(key)
        self._match(left)

    def _match(self, left: Meta | Ct | Payload) -> None:
        tokens = self.tokens
        operator: Literal["==", "!=", "<", ">", "<=", ">=", "in"] = "=="
        if tokens.peek() in ("!=", "==", "<", ">", "<=", ">="):
            operator = cast(Literal["==", "!=", "<", ">", "<=", ">="], tokens.take("an operator"))
        if tokens.skip("{"):
            values = [_value(tokens)]
            while tokens.skip(","):
                if tokens.peek() != "}":
                    values.append(_value(tokens))
            if not tokens.skip("}"):
                tokens.fail("expected } here")
            self.statements.append(Match(left, AnonymousSet(tuple(values)), operator))
            return
        value = _value(tokens)
        if isinstance(left, Ct) and left.key == "state":
            states = [value]
            while tokens.skip(","):
                states.append(_value(tokens))
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
