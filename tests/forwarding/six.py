"""A network of IPv6 for tests of the model and of the kernel: a host, a router, another host.

a eth0 2001:db8:1::2 ── ra ::1  r  ::1 rb ── eth0 2001:db8:2::2 b
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from lab.state import AddressEntry, Link, Listener, Loopback, Namespace, Neighbour, Route, Rule, State, Veth, complete
from lab.state.nft import Chain, NftRule, NftTable

A, B, R1, R2 = (IPv6Address(text) for text in ("2001:db8:1::2", "2001:db8:2::2", "2001:db8:1::1", "2001:db8:2::1"))


def route(to: str, via: str | None = None, device: str | None = None, **more: object) -> Route:
    return Route(ip_network(to), via=ip_address(via) if via else None, device=device, **more)  # type: ignore[arg-type]


def namespace(name: str, links: Sequence[Link], addresses: Mapping[str, Sequence[str]], routes: Sequence[Route] = ()) -> Namespace:
    entries = tuple(AddressEntry(device, ip_interface(text)) for device, texts in addresses.items() for text in texts)
    return Namespace(name, links=(Link("lo", Loopback()), *links), addresses=entries, routes=tuple(routes))


def network(
    *,
    router_routes: Sequence[Route] = (),
    router_rules: Sequence[Rule] = (),
    router_sysctls: Mapping[str, str] | None = None,
    router_tables: Sequence[NftTable] = (),
    router_neighbours: Sequence[Neighbour] = (),
    far_tables: Sequence[NftTable] = (),
    far_sysctls: Mapping[str, str] | None = None,
    mtu: int = 1500,
    near_mtu: int = 1500,
) -> State:
    a = namespace("a", [Link("eth0", Veth("r", "ra"))], {"eth0": ("2001:db8:1::2/64", "fe80::a/64")}, [route("::/0", str(R1), "eth0")])
    b = namespace(
        "b", [Link("eth0", Veth("r", "rb"), mtu=mtu)], {"eth0": ("2001:db8:2::2/64", "fe80::b/64")}, [route("::/0", str(R2), "eth0")]
    )
    r = namespace(
        "r",
        [Link("ra", Veth("a", "eth0"), mtu=near_mtu), Link("rb", Veth("b", "eth0"), mtu=mtu)],
        {"ra": ("2001:db8:1::1/64", "fe80::1/64"), "rb": ("2001:db8:2::1/64", "fe80::2/64")},
        router_routes,
    )

    def quiet(*devices: str) -> dict[str, str]:
        """No error is rationed, and whoever does not answer is given up soon."""
        patience = (("retrans_time_ms", "20"), ("mcast_solicit", "2"))
        return {"net/ipv6/icmp/ratelimit": "0"} | {f"net/ipv6/neigh/{device}/{key}": value for device in devices for key, value in patience}

    served = (Listener("web", "tcp", 80, behaviour="http"), Listener("echo", "udp", 7, behaviour="echo"))
    r = replace(
        r,
        rules=tuple(router_rules),
        sysctls={"net/ipv6/conf/all/forwarding": "1", **quiet("ra", "rb"), **(router_sysctls or {})},
        tables=tuple(router_tables),
        neighbours=tuple(router_neighbours),
    )
    b = replace(b, listeners=served, tables=tuple(far_tables), sysctls={**quiet("eth0"), **(far_sysctls or {})})
    return complete(State({one.name: one for one in (replace(a, sysctls=quiet("eth0")), r, b)}))


def filtering(hook: str, *rules: NftRule, policy: str = "accept", family: str = "ip6") -> NftTable:
    return NftTable(family, "test", (Chain("base", rules, "filter", hook, 0, policy),))  # type: ignore[arg-type]
