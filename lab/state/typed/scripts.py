"""Scripts of nft(8): commands one below the other, and tables written down as nft lists them, read as the commands that make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.errors import InputError, quoted
from lab.state.typed.words import NotModelled, Word

_OF_BASE_CHAINS = ("type", "policy", "device", "devices")
_SEPARATOR = ";"


def commands_of(lines: Sequence[Sequence[Word]]) -> Iterator[tuple[Word, ...]]:
    """Yield the commands of a script, of which each line is given as its tokens.

    Of a table that is written down, all chains are made before the first rule, which may jump to any of them. Raises NotModelled for what
    is not read of it, and InputError where a brace is missing.
    """
    tokens = [token for line in lines if line for token in (*line, Word(_SEPARATOR, line[-1].place))]
    at = 0
    while at < len(tokens):
        if tokens[at].text == _SEPARATOR:
            at += 1
        elif tokens[at].text == "table":
            opening = next((place for place in range(at, len(tokens)) if tokens[place].text in ("{", _SEPARATOR)), len(tokens) - 1)
            if tokens[opening].text != "{":  # `table ip filter` alone makes it
                yield (Word("add", tokens[at].place), *tokens[at:opening])
                at = opening
                continue
            closing = _closing(tokens, opening)
            yield from _table(tokens[at:opening], tokens[opening + 1 : closing])
            at = closing + 1
        else:
            end = _end_of_statement(tokens, at)
            yield tuple(tokens[at:end])
            at = end


def _table(head: Sequence[Word], body: Sequence[Word]) -> Iterator[tuple[Word, ...]]:
    table, *named = head
    yield Word("add", table.place), *head
    rules: list[tuple[Word, ...]] = []
    at = 0
    while at < len(body):
        if body[at].text == _SEPARATOR:
            at += 1
            continue
        if body[at].text != "chain" or at + 2 >= len(body) or body[at + 2].text != "{":
            raise NotModelled(f"{quoted(body[at].text)} in a table is not modelled", place=body[at].place)
        chain, name, closing = body[at], body[at + 1], _closing(body, at + 2)
        base, stated = _chain(body[at + 3 : closing])
        yield Word("add", chain.place), chain, *named, name, *base
        rules += [(Word("add", rule[0].place), Word("rule", rule[0].place), *named, name, *rule) for rule in stated]
        at = closing + 1
    yield from rules


def _chain(body: Sequence[Word]) -> tuple[tuple[Word, ...], list[tuple[Word, ...]]]:
    """Return what makes a chain a base chain, in braces, and its rules."""
    base: list[Word] = []
    rules: list[tuple[Word, ...]] = []
    at = 0
    while at < len(body):
        end = _end_of_statement(body, at)
        statement = tuple(body[at:end])
        if statement and statement[0].text in _OF_BASE_CHAINS:
            base += [*statement, Word(_SEPARATOR, statement[-1].place)]
        elif statement:
            rules.append(statement)
        at = end + 1
    return (Word("{", base[0].place), *base, Word("}", base[-1].place)) if base else (), rules


def _end_of_statement(tokens: Sequence[Word], at: int) -> int:
    """Return where a statement ends: at a separator outside of its own braces, or with the text."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += {"{": 1, "}": -1}.get(tokens[place].text, 0)
        if tokens[place].text == _SEPARATOR and not depth:
            return place
    return len(tokens)


def _closing(tokens: Sequence[Word], opening: int) -> int:
    depth = 0
    for place in range(opening, len(tokens)):
        depth += {"{": 1, "}": -1}.get(tokens[place].text, 0)
        if not depth:
            return place
    raise InputError("this brace is not closed", place=tokens[opening].place)
