"""nft's values in one canonical form each: numbers for addresses, ports, protocols, marks and flags, text for names.

Symbolic names are those nft(8) prints; see `nft describe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from lab.forwarding.netfilter.conntrack import CtState
from lab.forwarding.packet import TcpFlags
from lab.forwarding.unknown import Undecided
from lab.state.nft import AnonymousSet, Concat, Prefix, Range
from lab.state.nftables.datatypes import PROTOCOL_NUMBERS

Value = int | str | tuple["Value", ...]
"""A canonical value; a tuple for concatenations."""
Test = Callable[[Value], bool]

_SYMBOLS: dict[str, Mapping[str, int]] = {
    "inet_proto": PROTOCOL_NUMBERS,
    "inet_service": {"ssh": 22, "domain": 53, "http": 80, "https": 443, "http-alt": 8080, "bootps": 67, "bootpc": 68, "ntp": 123},
    "icmp_type": {
        "echo-reply": 0,
        "destination-unreachable": 3,
        "source-quench": 4,
        "redirect": 5,
        "echo-request": 8,
        "time-exceeded": 11,
        "parameter-problem": 12,
        "timestamp-request": 13,
        "timestamp-reply": 14,
    },
    "icmpv6_type": {
        "destination-unreachable": 1,
        "packet-too-big": 2,
        "time-exceeded": 3,
        "parameter-problem": 4,
        "echo-request": 128,
        "echo-reply": 129,
        "mld-listener-query": 130,
        "mld-listener-report": 131,
        "mld-listener-done": 132,
        "mld-listener-reduction": 132,
        "nd-router-solicit": 133,
        "nd-router-advert": 134,
        "nd-neighbor-solicit": 135,
        "nd-neighbor-advert": 136,
        "nd-redirect": 137,
        "mld2-listener-report": 143,
    },
    "icmpv6_code": {
        "no-route": 0,
        "admin-prohibited": 1,
        "addr-unreachable": 3,
        "port-unreachable": 4,
        "policy-fail": 5,
        "reject-route": 6,
    },
    "icmp_code": {
        "net-unreachable": 0,
        "host-unreachable": 1,
        "prot-unreachable": 2,
        "port-unreachable": 3,
        "frag-needed": 4,
        "net-prohibited": 9,
        "host-prohibited": 10,
        "admin-prohibited": 13,
    },
    "ct_state": {state.name.lower(): int(state) for state in CtState if state.name},
    "ct_status": {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512},
    "ct_dir": {"original": 0, "reply": 1},
    "arp_op": {"request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10},
    "tcp_flag": {flag.name.lower(): int(flag) for flag in TcpFlags if flag.name} | {"urg": 32, "ecn": 64, "cwr": 128},
    "dscp": {"cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56, "ef": 46},
}
_TEXT = frozenset(("ifname", "pkt_type", "fib_addrtype", "nf_proto", "ether_type", "ether_addr", "text"))
ICMP_CODES = _SYMBOLS["icmp_code"]


def canonical(value: object, kind: str) -> Value:
    """Return a constant in canonical form. Raises Undecided for a name that is not known."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, IPv4Address | IPv6Address):
        return int(value)
    if isinstance(value, str):
        if kind in _TEXT:
            return value
        return _number(value, kind)
    if isinstance(value, Concat):
        kinds = kind.split(" . ")
        return tuple(canonical(part, kinds[i] if i < len(kinds) else "text") for i, part in enumerate(value.parts))
    raise Undecided(f"the value {value!r} in a rule set is not modelled", value)


def _number(text: str, kind: str) -> int:
    symbols = _SYMBOLS.get(kind, {})
    if text in symbols:
        return symbols[text]
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(ip_address(text))
    except ValueError:
        raise Undecided(f"the name {text!r} ({kind}) in a rule set is not known", text) from None


class Members:
    """The elements of a set or the keys of a map: exact ones in a dictionary, prefixes and ranges in order.

    `find` returns the number of the element that holds a value, so that a map can use it to find what belongs to it.
    """

    __slots__ = ("_exact", "_tests")

    def __init__(self, elements: Iterable[object], kind: str) -> None:
        self._exact: dict[Value, int] = {}
        self._tests: list[tuple[Test, int]] = []
        for number, element in enumerate(elements):
            if element == "*" and kind not in _TEXT:
                self._tests.append((lambda value: True, number))
                continue
            test = _test_of(element, kind)
            if test is None:
                self._exact.setdefault(canonical(element, kind), number)
            else:
                self._tests.append((test, number))

    def find(self, value: Value) -> int | None:
        """Return the number of the element that holds `value`, if one does."""
        found = self._exact.get(value)
        if found is None:
            for test, number in self._tests:
                if test(value):
                    return number
        return found


def _test_of(element: object, kind: str) -> Test | None:
    """Return a test for an element that is more than one value, or None for a plain value."""
    if isinstance(element, Prefix):
        network = element.network
        base, mask = int(network.network_address), int(network.netmask)
        return lambda value: isinstance(value, int) and value & mask == base
    if isinstance(element, Range):
        first, last = canonical(element.first, kind), canonical(element.last, kind)
        return lambda value: isinstance(value, int) and isinstance(first, int) and isinstance(last, int) and first <= value <= last
    if isinstance(element, str) and kind == "ifname" and element.endswith("*"):
        start = element[:-1]
        return lambda value: isinstance(value, str) and value.startswith(start)
    if isinstance(element, Concat):
        kinds = kind.split(" . ")
        if all(_test_of(part, part_kind) is None for part, part_kind in zip(element.parts, kinds, strict=False)):
            return None
        members = [Members([part], part_kind) for part, part_kind in zip(element.parts, kinds, strict=False)]
        return lambda value: isinstance(value, tuple) and all(m.find(v) is not None for m, v in zip(members, value, strict=False))
    if isinstance(element, AnonymousSet):
        members_of_set = Members(element.elements, kind)
        return lambda value: members_of_set.find(value) is not None
    return None
