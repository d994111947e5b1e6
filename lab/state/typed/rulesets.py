"""`nft`, read and carried out on a namespace, as far as an operator's one-line changes go; the rest raises NotModelled.

Understood: `add`, `insert` and `delete rule` (by handle), `add`, `delete` and `flush` of tables, chains and elements; in rules what
`lab.state.typed.nft_rules` reads; in scripts also tables as nft lists them, as `lab.state.typed.scripts` takes them apart. Syntax: nft(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from lab.errors import did_you_mean, quoted
from lab.state.builder import NamespaceBuilder
from lab.state.nft import (
    Family,
)
from lab.state.nft_builder import BaseChain, SetBuilder, TableBuilder
from lab.state.provenance import Provenance
from lab.state.typed.nft_rules import named_chain, read_rule, read_value
from lab.state.typed.scripts import commands_of
from lab.state.typed.words import NotModelled, Reader, Word

_FAMILIES: Final = get_args(Family)
_TOKEN: Final = re.compile(r"[{},;]|!=|==|<=|>=|<|>|[^\s{},;!=<>]+")
_PRIORITIES: Final[Mapping[str, int]] = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}


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


def change_by_script(script: Sequence[Word], namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out what `nft -f -` reads, a line in each word. Raises InputError, and NotModelled for what is not understood."""
    for command in commands_of([_tokens(Reader((line,))) for line in script]):
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
        for match in re.finditer(r'#.*|"[^"]*"|' + _TOKEN.pattern, word.text):
            if match[0].startswith("#"):
                break
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


def _chain(tokens: Reader, table: TableBuilder, verb: str, why: Provenance) -> None:
    if verb in ("add", "create"):
        name = tokens.take("a chain")
        table.chain(name, _base(tokens), why)
    elif verb == "flush":
        named_chain(tokens, table).flush()
    else:
        chain = named_chain(tokens, table)
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
    chain = named_chain(tokens, table)
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
    rule = read_rule(tokens, table)
    at = (position or 0) if verb == "insert" else (len(chain.rules) if position is None else position + 1)
    chain.insert(rule, at, why)


def _element(tokens: Reader, table: TableBuilder, verb: str) -> None:
    builder = _named_set(tokens, table)
    if len(builder.declared.key) != 1:
        raise NotModelled("elements of concatenated keys are not modelled", place=tokens.place)
    if not tokens.skip("{"):
        tokens.fail("expected the elements in braces, as { 10.0.0.0/8 }")
    elements = [read_value(tokens)]
    while tokens.skip(","):
        elements.append(read_value(tokens))
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
