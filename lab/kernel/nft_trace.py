"""The rule sets' own trace of packets, as `nft monitor trace` shows it: which rule of which chain did what.

Rules that set `meta nftrace` make the kernel report every rule a packet meets to the listeners of its network namespace, to unprivileged
owners of it as well (nf_tables_trace.c, NFNLGRP_NFTRACE).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from lab.kernel.netlink.attributes import read_attributes
from lab.kernel.nftables import Nftables
from lab.kernel.sandbox import Sandbox
from lab.state.objects import Address

_NETLINK_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_NFNLGRP_NFTRACE: Final = 9
_MESSAGE: Final = struct.Struct("=IHHII")
_GENERIC: Final = 4
"""Length of struct nfgenmsg."""
_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _POLICY_VERDICT = 1, 2, 3, 4, 5, 16
_POLICY, _RULE = 1, 3
_VERDICT_CODE: Final = 1
_NAMES: Final = {
    0: "drop",
    1: "accept",
    0xFFFFFFFF: "continue",
    0xFFFFFFFE: "break",
    0xFFFFFFFD: "jump",
    0xFFFFFFFC: "goto",
    0xFFFFFFFB: "return",
}
"""nf_hook verdicts and nft_verdicts (include/uapi/linux/netfilter.h, netfilter/nf_tables.h)."""
TABLE: Final = "lab_trace"
"""The table that asks for the trace while it runs."""


@dataclass(frozen=True, slots=True)
class TracedRule:
    """A rule, or the policy of a chain, that decided about a packet."""

    namespace: str
    chain: str
    """Table and name."""
    handle: int | None
    """The rule's; None for a policy."""
    verdict: str


@dataclass(slots=True)
class RuleTrace:
    """An open trace of one namespace; `read` returns what it said."""

    namespace: str
    listener: socket.socket
    _said: list[TracedRule] = field(default_factory=list)

    def read(self) -> tuple[TracedRule, ...]:
        """Return every rule that a traced packet met so far, in order."""
        while True:
            try:
                data = self.listener.recv(65536)
            except BlockingIOError:
                return tuple(self._said)
            self._said.extend(_messages(self.namespace, data))


@contextmanager
def rule_trace(sandbox: Sandbox, namespace: str, addresses: tuple[Address, Address]) -> Iterator[RuleTrace]:
    """Trace packets between two addresses, either way, through a namespace's rule sets while the context lasts.

    A table of its own asks for it, before every other; it is gone afterwards.
    """
    one, other = addresses
    pairs = ((one, other), (other, one))
    word = "ip" if one.version == 4 else "ip6"
    rules = "\n".join(f"    {word} saddr {source} {word} daddr {destination} meta nftrace set 1" for source, destination in pairs)
    chains = "\n".join(f"  chain {hook} {{\n    type filter hook {hook} priority -450\n{rules}\n  }}" for hook in ("prerouting", "output"))
    listener = sandbox.socket_in(namespace, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    try:
        listener.bind((0, 0))
        listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTRACE)
        listener.setblocking(False)
        _change(sandbox, namespace, f"table {word} {TABLE} {{\n{chains}\n}}\n")
        try:
            yield RuleTrace(namespace, listener)
        finally:
            _change(sandbox, namespace, f"delete table {word} {TABLE}\n")
    finally:
        listener.close()


def _change(sandbox: Sandbox, namespace: str, text: str) -> None:
    with sandbox.enter(namespace):
        nft = Nftables(namespace)
        try:
            nft.run_text(text)
        finally:
            nft.close()


def _messages(namespace: str, data: bytes) -> Iterator[TracedRule]:
    at = 0
    while at + _MESSAGE.size <= len(data):
        (length, *_) = _MESSAGE.unpack_from(data, at)
        attributes = read_attributes(data[at : at + length], _MESSAGE.size + _GENERIC)
        kind = _number(attributes.get(_TYPE, b""))
        verdict = read_attributes(attributes.get(_VERDICT, b""), 0)
        table, chain = (attributes.get(key, b"").rstrip(b"\0").decode() for key in (_TABLE, _CHAIN))
        if kind in (_POLICY, _RULE) and table != TABLE:
            code = verdict.get(_VERDICT_CODE, b"") if kind == _RULE else attributes.get(_POLICY_VERDICT, b"")
            handle = _number(attributes[_HANDLE]) if kind == _RULE and _HANDLE in attributes else None
            yield TracedRule(namespace, f"{table} {chain}", handle, _NAMES.get(_number(code), "?"))
        at += (length + 3) & ~3 or _MESSAGE.size


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")
