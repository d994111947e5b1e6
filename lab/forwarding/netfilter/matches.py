"""The conditions of nft rules, compiled to functions of a packet in transit: comparisons, memberships, drawn numbers, verdict maps."""

from __future__ import annotations

from collections.abc import Callable

from lab.forwarding.netfilter.expressions import Scope, compile_expression, compile_map, compile_members, kind_of
from lab.forwarding.netfilter.outcomes import BREAK, Execute, Outcome, undecided
from lab.forwarding.netfilter.readings import Evaluate
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.netfilter.values import Members, Value
from lab.forwarding.unknown import Undecided
from lab.state.nft import (
    AnonymousSet,
    BinaryOperation,
    Ct,
    Expression,
    Fib,
    Match,
    Meta,
    Numgen,
    Payload,
    SetRef,
    Verdict,
    VerdictMap,
)


def compile_match(statement: Match, scope: Scope, subject: object) -> Execute:
    """Compile a condition; `subject` is its rule."""
    try:
        return _compiled_match(statement, scope)
    except Undecided as unknown:
        return undecided(unknown.why, subject)


def _compiled_match(statement: Match, scope: Scope) -> Execute:
    left, right, operator = statement.left, statement.right, statement.operator
    kind = kind_of(left)
    if isinstance(left, Fib) and left.result != "type":
        return _fib_match(left, right, operator, scope)
    if operator == "in" or (kind in _FLAGS and isinstance(right, AnonymousSet | str) and operator in ("==", "!=")):
        return _flags_match(left, right, operator, kind, scope)
    if operator in ("==", "!="):
        if isinstance(right, BinaryOperation | Meta | Ct | Payload):
            return _compare(compile_expression(left, scope), compile_expression(right, scope, kind), operator)
        members = compile_members(right, kind, scope)
        if isinstance(left, Numgen):
            return _numgen_match(left, lambda number: (members.find(number) is not None) == (operator == "=="))
        return _membership(compile_expression(left, scope), members, wanted=operator == "==")
    if isinstance(left, Numgen) and isinstance(right, int):
        return _numgen_match(left, lambda number: _ordered(number, right, operator))
    return _compare(compile_expression(left, scope), compile_expression(right, scope, kind), operator)


_FLAGS = frozenset(("ct_state", "ct_status", "tcp_flag"))


def _membership(value_of: Evaluate, members: Members, *, wanted: bool) -> Execute:
    find = members.find

    def test(t: Transit) -> Outcome:
        value = value_of(t)
        return None if value is not None and (find(value) is not None) == wanted else BREAK

    return test


def _flags_match(left: Expression, right: Expression, operator: str, kind: str, scope: Scope) -> Execute:
    """Compare a field of flags: a list means "any of these", as does ``in``; one flag alone with == means exactly that."""
    value_of = compile_expression(left, scope)
    if isinstance(right, SetRef):
        return _membership(value_of, compile_members(right, kind, scope), wanted=operator != "!=")
    elements = right.elements if isinstance(right, AnonymousSet) else (right,)
    compiled = [compile_expression(element, scope, kind) for element in elements]
    exact = operator in ("==", "!=") and kind == "tcp_flag" and not isinstance(right, AnonymousSet)
    wanted = operator != "!="

    def test(t: Transit) -> Outcome:
        value = value_of(t)
        if not isinstance(value, int):
            return BREAK
        mask = 0
        for evaluate in compiled:
            flag = evaluate(t)
            mask |= flag if isinstance(flag, int) else 0
        held = value == mask if exact else bool(value & mask)
        return None if held == wanted else BREAK

    return test


def _fib_match(left: Fib, right: Expression, operator: str, scope: Scope) -> Execute:
    """``fib ... oif missing``, ``exists`` or a device name; nft writes missing as false or 0."""
    device_of = compile_expression(left, scope)
    wanted = operator == "=="
    if right in (False, "missing", 0, "0"):
        return lambda t: None if (device_of(t) == "") == wanted else BREAK
    if right in (True, "exists"):
        return lambda t: None if (device_of(t) != "") == wanted else BREAK
    return _membership(device_of, compile_members(right, "ifname", scope), wanted=wanted)


def _compare(left: Evaluate, right: Evaluate, operator: str) -> Execute:
    def test(t: Transit) -> Outcome:
        first, second = left(t), right(t)
        if first is None or second is None:
            return BREAK
        return None if _ordered(first, second, operator) else BREAK

    return test


def _ordered(first: Value, second: Value, operator: str) -> bool:
    if operator in ("==", "!="):
        return (first == second) == (operator == "==")
    if not isinstance(first, int) or not isinstance(second, int):
        return False
    return {"<": first < second, ">": first > second, "<=": first <= second, ">=": first >= second}[operator]


def _numgen_match(left: Numgen, holds: Callable[[int], bool]) -> Execute:
    """A drawn number compared with a constant: two worlds at most, however large the range is."""
    found = {holds(number) for number in range(left.offset, left.offset + left.modulus)}
    outcomes = [None if held else BREAK for held in (True, False) if held in found]
    meanings = tuple("drawn" if outcome is None else "not drawn" for outcome in outcomes)

    def draw(t: Transit) -> Outcome:
        key = (t.node.name, id(left), t.packet.key)
        return outcomes[t.world.chooser.choose(key, f"a number drawn in {t.node.name}", meanings)] if len(outcomes) > 1 else outcomes[0]

    return draw


def compile_verdict_map(statement: VerdictMap, scope: Scope) -> Execute:
    """Compile a look-up that decides, or ends the rule where nothing is found."""
    key = compile_expression(statement.key, scope)
    found = compile_map(statement.map, kind_of(statement.key), scope)

    def look_up(t: Transit) -> Outcome:
        value = key(t)
        number = None if value is None else found.members.find(value)
        if number is None:
            return BREAK
        verdict = found.values[number]
        return verdict if isinstance(verdict, Verdict) else BREAK

    return look_up
