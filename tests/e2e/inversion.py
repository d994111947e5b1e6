"""Scenarios turned upside down: the same probes, and one aspect of each expectation stated otherwise than it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Body = dict[str, Any]
STRANGER = "198.51.100.1"
NOWHERE = "broker:eth0"
"""An interface that nothing in the shipped scenarios' probes ever crosses."""


def _result(body: Body) -> None:
    body["result"] = "silence" if body.get("result", "reply") == "unreachable" else "refused"


def _flip(key: str, default: object = True) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body[key] = not body.get(key, default)

    return change


def _put(key: str, value: object) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body[key] = value

    return change


def _grow(key: str, *more: object) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body[key] = [*body[key], *more]

    return change


def _seen_as(body: Body) -> None:
    body["seen_as"] = "another" if body["seen_as"] == "sender" else "sender"


def _leaf(value: Any) -> Any:
    """The same structure with its first leaf changed."""
    if isinstance(value, dict):
        key = next(iter(value))
        return {**value, key: _leaf(value[key])}
    if isinstance(value, list):
        return [_leaf(value[0]), *value[1:]] if value else ["unlikely"]
    return "unlikely"


def _has(body: Body) -> None:
    body["has"] = _leaf(body["has"])


def _probe_counter(body: Body) -> None:
    body["counter"] = {**body["counter"], "change": body["counter"]["change"] + 1}


def _counter(body: Body) -> None:
    body["change"] = 1 if body["change"] == 0 else 0


def _diagnosis(body: Body) -> None:
    body["status"] = "fail" if body["status"] in ("pass", "not-fail", "warn", "skip") else "pass"


def _no_crossing(body: Body) -> None:
    body["never_crosses"] = [*body["never_crosses"], "*:eth0"]


def _hops(body: Body) -> None:
    body["hops"] = [*body["hops"], STRANGER]


def _status(body: Body) -> None:
    body["status"] = 200 if body.get("status", 200) is None else 404


_PROBE: Mapping[str, Callable[[Body], None]] = {
    "icmp_source": _put("icmp_source", STRANGER),
    "icmp": _put("icmp", "net-unreachable"),
    "errno": _put("errno", "ECONNRESET"),
    "ttl": _put("ttl", 99),
    "seen_as": _seen_as,
    "lost_at": _put("lost_at", NOWHERE),
    "counter": _probe_counter,
    "crosses": _grow("crosses", NOWHERE),
    "reply_crosses": _grow("reply_crosses", NOWHERE),
    "never_crosses": _no_crossing,
}


def aspects(kind: str, body: Body) -> Iterator[Callable[[Body], None]]:
    """Everything an expectation states, each as the change that states it otherwise."""
    match kind:
        case "ping" | "tcp" | "udp":
            yield _result
            yield from (change for key, change in _PROBE.items() if key in body)
        case "http":
            yield _status
            yield from (change for key, change in (("via_proxy", _flip("via_proxy")), ("seen_as", _seen_as)) if key in body)
        case "dns":
            yield _put("rcode", "REFUSED")
            if "answers" in body:
                yield _put("answers", [STRANGER])
        case "traceroute":
            yield _hops
        case "route" | "rule" | "log" | "program_log":
            yield _flip("present")
        case "object":
            yield _flip("present")
            if "has" in body:
                yield _has
        case "table":
            yield _grow("destinations", f"{STRANGER}/32")
        case "chain":
            yield _grow("rules", "accept")
            if body["rules"]:
                yield lambda other: other.update(rules=list(reversed(other["rules"])) if len(other["rules"]) > 1 else [])
        case "set":
            yield _grow("elements", f"{STRANGER}/32")
        case "sysctl":
            yield _put("value", 7)
        case "diagnose":
            yield _diagnosis
            if "contains" in body:
                yield _put("contains", "not a word of this")
        case "counter":
            yield _counter


def entries(scenario: Body) -> Iterator[tuple[str, str, Body]]:
    """Every expectation of a scenario without variants: its phase, its kind and its body."""
    for name, phase in scenario["phases"].items():
        for stage in (phase, *phase.get("then", ())):
            for entry in stage.get("expect", ()):
                kind = next(key for key in entry if key != "because")
                yield name, kind, entry[kind]


def inverted(scenario: Body, number: int) -> tuple[Body, list[bool]]:
    """The scenario with aspect `number` of every expectation inverted, and which expectations have so many aspects."""
    turned = copy.deepcopy(scenario)
    turned.pop("compare", None)
    which = []
    for _, kind, body in entries(turned):
        changes = list(aspects(kind, body))
        if number < len(changes):
            changes[number](body)
        which.append(number < len(changes))
    return turned, which


def most_aspects(scenario: Body) -> int:
    """How many aspects the richest expectation has."""
    return max(len(list(aspects(kind, body))) for _, kind, body in entries(scenario))
