"""A delay on a kernel without netem: frames leave a device, wait in a program of the lab's, and come back to be sent.

     node                                                     the waiting room, a namespace of the lab's own
     eth0 ── egress hook: to ~eth0 ──▶ ~eth0 ══ veth pair ══▶ the other end ──▶ relay (`lab.kernel.relay`)
     eth0 ◀── ingress hook of ~eth0: marked, to eth0 ◀═══════════════════════── ... as many milliseconds later

A frame that comes back bears a mark, by which the egress hook knows it and lets it pass; from there on everything is as it would be without
a delay: a token bucket's queue, whoever watches the device, the cable. As with netem, a frame counts as sent when it has waited. Nobody but
the lab knows the two devices: what is read back (`without_detours`) and what is seen leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2s
from typing import Final

from lab.state import Bridge, Impairment, Link, Macvlan, Namespace, Tun, Veth, Vxlan
from lab.state.nft import Chain, Mangle, Match, Meta, NftRule, OpaqueStatement, Statement, Verdict
from lab.state.nftables.expressions import canonical_json

WAITING_ROOM: Final = ".delay"
"""The network namespace of the relay. No namespace of a state is called so."""
_NEAR: Final = "~"
"""What the names of the devices begin with by which frames leave for the waiting room; no file can name such a device."""
_NAME_LENGTH: Final = 15
_MARK: Final = 0x6C61_6264
_FIRST: Final = -(1 << 31)
"""The priority before all others: rules of other tables see a frame once, on its way out after all."""
_DELAY: Final = "delay "
"""What the comment of a rule that sends away begins with; milliseconds follow."""
_TAG: Final = 4
"""A veth end takes frames that are by a VLAN tag longer than its MTU says (is_skb_forwardable), a packet socket sends none."""
_LONGEST: Final = 65_535
_OFF: Final = {f"net/ipv6/conf/{place}/disable_ipv6": "1" for place in ("all", "default")}


def near_end(device: str) -> str:
    """Return the name of the device by which frames of another leave for the waiting room."""
    name = _NEAR + device
    return name if len(name) <= _NAME_LENGTH else _NEAR + _digest(device)


def is_near_end(device: str) -> bool:
    """Whether a device has such a name."""
    return device.startswith(_NEAR)


def _far_end(namespace: str, device: str) -> str:
    return _digest(f"{namespace}/{device}")


def _digest(text: str) -> str:
    return blake2s(text.encode(), digest_size=7).hexdigest()


def can_wait(link: Link) -> bool:
    """Whether a device sends Ethernet frames that any sender may send; what lo sends is bound to who sends it."""
    return isinstance(link.kind, Veth | Bridge | Vxlan | Macvlan) or (isinstance(link.kind, Tun) and link.kind.tap)


def with_detours(namespace: Namespace) -> Namespace:
    """Return a namespace with the devices by which what is delayed leaves. What sends frames there is `sent_away`."""
    ends = tuple(
        Link(
            near_end(link.name), Veth(WAITING_ROOM, _far_end(namespace.name, link.name)), _mtu(link), arp=False, provenance=link.provenance
        )
        for link in delayed(namespace)
    )
    quiet = {f"net/ipv6/conf/{end.name}/disable_ipv6": "1" for end in ends}
    return replace(namespace, links=(*namespace.links, *ends), sysctls={**namespace.sysctls, **quiet}) if ends else namespace


def waiting_room(namespaces: Iterable[Namespace]) -> Namespace | None:
    """Return the namespace of the relay, with the other ends of these namespaces' detours; None where there is no delay."""
    ends = tuple(
        Link(
            _far_end(namespace.name, link.name),
            Veth(namespace.name, near_end(link.name)),
            _mtu(link),
            arp=False,
            impairment=Impairment(delay=link.impairment.delay),
            provenance=link.provenance,
        )
        for namespace in namespaces
        for link in delayed(namespace)
        if link.impairment is not None
    )
    return Namespace(WAITING_ROOM, links=ends, sysctls=_OFF) if ends else None


def delayed(namespace: Namespace) -> tuple[Link, ...]:
    """Return the links of a namespace that delay what they send."""
    return tuple(link for link in namespace.links if link.impairment is not None and link.impairment.delay)


def _mtu(link: Link) -> int:
    return min(link.mtu + _TAG, _LONGEST)


def sent_away(link: Link, delay: int, losses: Iterable[NftRule]) -> tuple[Chain, Chain]:
    """Return the chains that send what a device is to send to the waiting room, unless a rule loses it, and take it back."""
    near = near_end(link.name)
    back = NftRule((Match(Meta("mark"), _MARK), Mangle(Meta("mark"), 0), Verdict("accept")))
    there = NftRule((_forward(near),), comment=f"{_DELAY}{delay}")
    home = NftRule((Mangle(Meta("mark"), _MARK), _forward(link.name)))
    return (
        Chain(link.name, (back, *losses, there), "filter", "egress", _FIRST, "accept", (link.name,)),
        Chain(f"{link.name}/back", (home,), "filter", "ingress", _FIRST, "accept", (near,)),
    )


def _forward(device: str) -> Statement:
    return OpaqueStatement(canonical_json({"fwd": {"dev": device}}))


def delay_of(rules: Iterable[NftRule]) -> int:
    """Return the milliseconds for which a chain's rules send frames away; 0 where they do not."""
    comments = (rule.comment for rule in rules if rule.comment is not None)
    return next((int(comment.removeprefix(_DELAY)) for comment in comments if comment.startswith(_DELAY)), 0)


def without_detours(namespaces: Mapping[str, Namespace]) -> dict[str, Namespace]:
    """Return namespaces as they were read, without what the lab put there for frames that wait."""
    return {
        name: _without_near_ends(namespace) if any(is_near_end(link.name) for link in namespace.links) else namespace
        for name, namespace in namespaces.items()
        if name != WAITING_ROOM
    }


def _without_near_ends(namespace: Namespace) -> Namespace:
    def is_other(device: str | None) -> bool:
        return device is None or not is_near_end(device)

    return replace(
        namespace,
        links=tuple(link for link in namespace.links if is_other(link.name)),
        addresses=tuple(entry for entry in namespace.addresses if is_other(entry.device)),
        routes=tuple(route for route in namespace.routes if is_other(route.device)),
        neighbours=tuple(entry for entry in namespace.neighbours if is_other(entry.device)),
        sysctls={path: value for path, value in namespace.sysctls.items() if not any(map(is_near_end, path.split("/")))},
    )
