"""Whether what a caller asks a lab to send can be sent at all: every argument of a probe, before any of it reaches the kernel."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, cast, get_args

from lab.errors import InputError
from lab.probe import DnsRequest, HttpRequest, PingRequest, Request, TcpRequest, TracerouteRequest, UdpRequest
from lab.scenario.lookup import find_namespace
from lab.spec.patterns import DNS_NAME, URL
from lab.state import State

_MARKS: Final = (0, 0xFFFFFFFF)
_PORTS: Final = (1, 65535)
_PAYLOAD: Final = 65507
"""Bytes that fit a datagram or an echo request of IPv4 at most."""
_RANGES: Final[Mapping[type, Mapping[str, tuple[int, int]]]] = {
    PingRequest: {"size": (0, _PAYLOAD), "ttl": (1, 255), "mark": _MARKS},
    TcpRequest: {"port": _PORTS, "mark": _MARKS, "answer": (0, 100_000)},
    UdpRequest: {"port": _PORTS, "size": (8, _PAYLOAD), "mark": _MARKS},
    HttpRequest: {},
    DnsRequest: {},
    TracerouteRequest: {"max_hops": (1, 255)},
}
_PATTERNS: Final = {(HttpRequest, "url"): (URL, "an http or https URL"), (DnsRequest, "name"): (DNS_NAME, "the name of a host")}
_RECORDS: Final = ("A", "AAAA")


def check_request(state: State, request: Request) -> None:
    """Raise InputError, with the argument that is wrong, for a probe that cannot be sent in a network of this state."""
    kind = type(request)
    if kind not in get_args(Request):
        names = ", ".join(one.__name__ for one in get_args(Request))
        raise InputError(f"{request!r} is no probe", hint=f"a probe is one of {names}")
    find_namespace(state, text(request.source, "source"))
    for field in fields(request):
        value = getattr(request, field.name)
        if value is None and field.default is None:
            continue
        if field.name in _RANGES[kind]:
            _number(value, field.name, *_RANGES[kind][field.name])
        elif field.name == "target":
            address(value)
        elif field.name == "type" and value not in _RECORDS:
            raise InputError(f"type is {value!r}, and has to be one of {', '.join(_RECORDS)}")
        elif isinstance(field.default, bool):
            switch(value, field.name)
        elif (pattern := _PATTERNS.get((kind, field.name))) is not None:
            if re.fullmatch(pattern[0], text(value, field.name)) is None:
                raise InputError(f"{field.name} is {value!r}, and has to be {pattern[1]}")
        else:
            text(value, field.name)


def text(value: Any, name: str) -> str:
    """Return an argument that has to be text. Raises InputError."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}, and has to be text")
    return value


def address(value: Any) -> IPv4Address | IPv6Address:
    """Return an argument that has to be an address. Raises InputError."""
    if not isinstance(value, IPv4Address | IPv6Address):
        raise InputError(f"target is {value!r}, and has to be a name or an address")
    return value


def seconds(value: Any, name: str) -> float:
    """Return an argument that has to be a time longer than none. Raises InputError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise InputError(f"{name} is {value!r}, and has to be a number of seconds, more than 0")
    return cast(float, value)


def switch(value: Any, name: str) -> bool:
    """Return an argument that is on or off. Raises InputError."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}, and has to be True or False")
    return value


def words_of(command: Any) -> tuple[str, ...]:
    """Return a command as words, split as a shell would where it is text. Raises InputError where it is none."""
    try:
        words = tuple(shlex.split(command) if isinstance(command, str) else command)
    except (TypeError, ValueError) as error:
        raise InputError(f"the command {command!r} cannot be split into words: {error}") from None
    if not words:
        raise InputError("the command is empty")
    return tuple(text(word, "a word of the command") for word in words)


def _number(value: Any, name: str, first: int, last: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not first <= value <= last:
        raise InputError(f"{name} is {value!r}, and has to be a number from {first} to {last}")
