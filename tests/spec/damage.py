"""Damage files as people and programs damage them: bytes, lines, keys and values."""

from __future__ import annotations

import json
from random import Random
from typing import Any

STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, 254, 255, 65535, 65536, 2**32 - 1, 2**32),
    *("", " ", "\n", "*", "?", "[", "'", '"', "%s", "../..", "<script>", "x" * 300, "none", "default", "reply", "silence"),
    *("0.0.0.0", "0.0.0.0/0", "255.255.255.255/32", "10.46.0.0/16", "10.46.0.0/24", "10.128.11.0/24", "172.18.1.1", "::", "fe80::/10"),
    *("c1-gw", "c2-w1-a", "c1-*", "cluster-1", "cluster-1-dns", "site-1", "sw-site-1", "edge-1", "service/", "service/nginx"),
    *("eth0", "lo", "vxlan.calico", "{node}", "{node}:eth0", "*:*", "net/ipv4/ip_forward"),
    *([], {}, [None], [[]], ["*"], ["?"], {"": None}, {"to": "default"}),
)
BYTES = b"\0\t\n\r :-#[]{}'\"&*!|>%@`,?0\x1b\x80\xff"
PIECES = (b"\t", b"  ", b"- ", b": ", b"'", b'"', b"\n", b"{", b"]", b"\xc3", b"&a ", b"*a ", b"<<: ", b"!!int ")


def damage_bytes(text: bytes, dice: Random) -> bytes:
    """Overwrite, leave out, put in or double some bytes."""
    damaged = bytearray(text)
    at = dice.randrange(len(damaged))
    match dice.randrange(5):
        case 0:
            damaged[at] ^= 1 << dice.randrange(8)
        case 1:
            damaged[at] = dice.choice(BYTES)
        case 2:
            del damaged[at : at + dice.randrange(1, 40)]
        case 3:
            damaged[at:at] = dice.choice(PIECES)
        case _:
            damaged[at:at] = damaged[at : at + dice.randrange(1, 200)]
    return bytes(damaged)


def damage_lines(lines: list[str], dice: Random) -> None:
    """Lose, double, swap or shift a line."""
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    match dice.randrange(5):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case 3:
            lines[one] = dice.choice(("  ", " ", "\t")) + lines[one]
        case _:
            lines[one] = lines[one][dice.randrange(1, 4) :]


def damage_value(value: Any, dice: Random) -> Any:
    """Replace a value by a strange one, swap two, copy one elsewhere, leave one out, or rename a key. Returns plain data."""
    (here, key), (there, other) = dice.choice(_entries(value)), dice.choice(_entries(value))
    match dice.randrange(6):
        case 0 | 1:
            here[key] = dice.choice(STRANGE)
        case 2:
            here[key], there[other] = there[other], here[key]
        case 3:
            here[key] = there[other]
        case 4:
            del here[key]
        case _ if isinstance(here, dict):
            here[str(dice.choice(STRANGE))] = here.pop(key)
        case _:
            here.append(here[key])
    return copied(value)


def copied(value: Any) -> Any:
    """Return a value of its own; one that was put into itself is empty."""
    try:
        return json.loads(json.dumps(value))
    except (ValueError, RecursionError):
        return {}


def _entries(value: Any) -> list[tuple[Any, Any]]:
    """Return every entry of a value's mappings and lists, each as its container and its key or index."""
    found: list[tuple[Any, Any]] = [([value], 0)]
    waiting = [value]
    while waiting:
        item = waiting.pop()
        for key in item if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ():
            found.append((item, key))
            waiting.append(item[key])
    return found
