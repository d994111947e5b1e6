"""Stateful objects with a name, and the statements that use them: to and from libnftables' JSON, and as nft(8) text.

libnftables lists all of them as JSON; of nft 1.0.6 it makes no `ct timeout`, `ct expectation` or `synproxy` of that (tried: it forgets
the first one's policy, and refuses the others). As text it makes them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

from lab.state.nft import NftTable, ObjectKind, StatefulObject
from lab.state.nftables.expressions import canonical_json

KINDS: Final = frozenset(get_args(ObjectKind))

_PLACE: Final = frozenset({"family", "table", "name", "handle"})
_COUNTED: Final = {"counter": frozenset({"packets", "bytes"}), "quota": frozenset({"used"})}


def decode_object(kind: ObjectKind, body: dict[str, Any]) -> StatefulObject:
    """Return the object that a member of a listing stands for."""
    left_out = _PLACE | _COUNTED.get(kind, frozenset())
    return StatefulObject(kind, body["name"], canonical_json({key: value for key, value in body.items() if key not in left_out}))


def encode_object(table: NftTable, thing: StatefulObject) -> dict[str, Any]:
    """Return the JSON object that adds a stateful object to a table."""
    return {thing.kind: {"family": table.family, "table": table.name, "name": thing.name} | json.loads(thing.json)}


def object_lines(thing: StatefulObject) -> list[str]:
    """Return the block that declares an object in a table."""
    body = json.loads(thing.json)
    comment = [f'comment "{body["comment"]}"'] if "comment" in body else []
    return [f"{thing.kind} {thing.name} {{", *(f"\t{line}" for line in (*comment, *_TEXTS[thing.kind](body))), "}"]


def _counter(_: dict[str, Any]) -> Iterator[str]:
    return iter(())


def _quota(body: dict[str, Any]) -> Iterator[str]:
    yield f"{'over ' if body.get('inv') else ''}{body['bytes']} bytes"


def _limit(body: dict[str, Any]) -> Iterator[str]:
    yield limit_text(body)


def limit_text(body: dict[str, Any]) -> str:
    """Return a rate as ``rate over 10 mbytes/second burst 5 packets``."""
    unit = f" {body['rate_unit']}" if "rate_unit" in body else ""
    burst = f" burst {body['burst']} {body.get('burst_unit', 'packets')}" if body.get("burst") else ""
    return f"rate {'over ' if body.get('inv') else ''}{body['rate']}{unit}/{body['per']}{burst}"


def _helper(body: dict[str, Any]) -> Iterator[str]:
    yield f'type "{body["type"]}" protocol {body["protocol"]}'
    yield from _layer_3(body)


def _timeout(body: dict[str, Any]) -> Iterator[str]:
    yield f"protocol {body['protocol']}"
    yield from _layer_3(body)
    if body.get("policy"):
        yield f"policy = {{ {', '.join(f'{state} : {seconds}' for state, seconds in body['policy'].items())} }}"


def _expectation(body: dict[str, Any]) -> Iterator[str]:
    yield f"protocol {body['protocol']}"
    yield f"dport {body['dport']}"
    yield f"timeout {body['timeout']}ms"
    yield f"size {body['size']}"
    yield from _layer_3(body)


def _layer_3(body: dict[str, Any]) -> Iterator[str]:
    if "l3proto" in body:
        yield f"l3proto {body['l3proto']}"


def _synproxy(body: dict[str, Any]) -> Iterator[str]:
    yield f"mss {body['mss']}"
    yield f"wscale {body['wscale']}"
    flags = body.get("flags", ())
    if flags:
        yield flags if isinstance(flags, str) else " ".join(flags)


def _secmark(body: dict[str, Any]) -> Iterator[str]:
    yield f'"{body["context"]}"'


_TEXTS: Final[dict[ObjectKind, Callable[[dict[str, Any]], Iterator[str]]]] = {
    "counter": _counter,
    "quota": _quota,
    "limit": _limit,
    "ct helper": _helper,
    "ct timeout": _timeout,
    "ct expectation": _expectation,
    "synproxy": _synproxy,
    "secmark": _secmark,
}

USES: Final[dict[str, str]] = {
    "counter": "counter name",
    "quota": "quota name",
    "limit": "limit name",
    "ct helper": "ct helper set",
    "ct timeout": "ct timeout set",
    "ct expectation": "ct expectation set",
    "synproxy": "synproxy name",
    "secmark": "meta secmark set",
}
"""How a statement begins that uses an object, by the word it has as JSON."""
