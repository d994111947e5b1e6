"""Throw-away network namespaces: commands go in, what the kernel holds comes out, as ip(8), bridge(8) and nft(8) show it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from lab.state import (
    AddressEntry,
    Bridge,
    BridgePort,
    FdbEntry,
    GroupMember,
    Link,
    LinkKind,
    Loopback,
    Macvlan,
    Namespace,
    Neighbour,
    NextHop,
    NextHopObject,
    OtherKind,
    PortRange,
    Route,
    Rule,
    State,
    Table,
    Veth,
    Vxlan,
)
from lab.state.nftables import from_json, with_dynamic

InNamespace = Callable[..., subprocess.CompletedProcess[str]]

PROTOCOLS = {"unspec": 0, "kernel": 2, "boot": 3, "static": 4, "bird": 12}


@pytest.fixture(scope="session")
def in_namespace() -> InNamespace:
    """Run a shell script in a new network and mount namespace, which ends with it."""
    as_mapped_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]

    def run(script: str, standard_input: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", *as_mapped_root, "--net", "--mount", "sh", "-euc", script],
            input=standard_input,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def decode_routes() -> Callable[[str], tuple[Route, ...]]:
    """Read what `ip -j route show table all` prints."""
    return lambda text: tuple(map(_route, json.loads(text)))


@pytest.fixture(scope="session")
def kernel_state(in_namespace: InNamespace) -> Callable[[str, State], State]:
    """Run a script in a mount namespace with a private /run/netns and return what the kernel then holds, where `stated` says something."""

    def read(script: str, stated: State) -> State:
        shows = "\n".join(_show(namespace) for namespace in stated)
        done = in_namespace(f"mount -t tmpfs tmpfs /run\nmkdir /run/netns\n{script}\n{shows}")
        assert done.returncode == 0, f"{done.stderr}\n{script}"
        sections: dict[str, str] = {}
        for section in done.stdout.split("@@ ")[1:]:
            title, _, body = section.partition("\n")
            sections[title] = body
        return State({namespace.name: _namespace(namespace, sections) for namespace in stated})

    return read


def _show(namespace: Namespace) -> str:
    name = namespace.name
    shows = {
        "link": f"ip -n {name} -j -d link",
        "address": f"ip -n {name} -j address",
        "nexthop": f"ip -n {name} -j nexthop",
        "route4": f"ip -n {name} -j -4 route show table all",
        "route6": f"ip -n {name} -j -6 route show table all",
        "rule4": f"ip -n {name} -j -d -4 rule",
        "rule6": f"ip -n {name} -j -d -6 rule",
        "neigh": f"ip -n {name} -j neigh",
        "proxy": f"ip -n {name} -j neigh show proxy",
        "fdb": f"bridge -n {name} -j fdb",
        "nft": f"ip netns exec {name} nft -j list ruleset",
        "nft text": f"ip netns exec {name} nft list ruleset",
    }
    own = sum(entry.interface.version == 6 for entry in namespace.addresses)
    routes = f"ip -n {name} -6 route show table local type local"  # added by a work queue of the kernel
    lines = [f'tries=0; until [ "$({routes} | wc -l)" -ge {own} ] || [ $tries = 99 ]; do tries=$((tries + 1)); done']
    lines += [f"echo '@@ {name} {what}'\n{command}" for what, command in shows.items()]
    lines += [f"echo '@@ {name} {path}'\nip netns exec {name} cat /proc/sys/{path}" for path in namespace.sysctls]
    return "\n".join(lines)


def _namespace(stated: Namespace, sections: Mapping[str, str]) -> Namespace:
    name = stated.name

    def shown(what: str) -> list[dict[str, Any]]:
        return list(filter(None, json.loads(sections[f"{name} {what}"] or "[]")))

    links = tuple(_link(item, stated) for item in shown("link"))
    return Namespace(
        name,
        stated.role,
        stated.cluster,
        stated.parent,
        links,
        tuple(_address(link["ifname"], item) for link in shown("address") for item in link["addr_info"]),
        tuple(map(_route, (*shown("route4"), *shown("route6")))),
        (*(_rule(item, 4) for item in shown("rule4")), *(_rule(item, 6) for item in shown("rule6"))),
        (*_neighbours(shown("neigh")), *(Neighbour(i["dev"], ip_address(i["dst"]), None, proxy=True) for i in shown("proxy"))),
        tuple(_fdb(shown("fdb"), links)),
        {path: sections[f"{name} {path}"].strip() for path in stated.sysctls},
        with_dynamic(from_json(json.loads(sections[f"{name} nft"])), sections[f"{name} nft text"]),
        nexthops=tuple(map(_nexthop, shown("nexthop"))),
    )


# -- links and addresses -------------------------------------------------------------------------------------------


def _link(item: dict[str, Any], stated: Namespace) -> Link:
    slave = item.get("linkinfo", {}).get("info_slave_data")
    return Link(
        name=item["ifname"],
        kind=_kind(item, stated),
        mtu=item["mtu"],
        mac=item["address"],
        up="UP" in item["flags"],
        arp="NOARP" not in item["flags"],
        master=item.get("master"),
        port=None
        if slave is None
        else BridgePort(slave["hairpin"], slave["isolated"], slave["learning"], slave["flood"], slave["neigh_suppress"]),
    )


def _kind(item: dict[str, Any], stated: Namespace) -> LinkKind:
    info = item.get("linkinfo", {})
    data = info.get("info_data", {})
    match info.get("info_kind"):
        case None:
            return Loopback()
        case "veth":  # ip knows the other end only by its index
            link = stated.link(item["ifname"])
            return link.kind if link is not None else Veth("?", "?")
        case "bridge":
            return Bridge(data["ageing_time"] // 100)
        case "macvlan":
            return Macvlan(item["link"], data["mode"])
        case "vxlan":
            local, remote = (data.get(end, data.get(f"{end}6")) for end in ("local", "remote"))
            over_ipv6 = "local6" in data or "remote6" in data
            return Vxlan(
                data["id"],
                data["port"],
                None if local is None else ip_address(local),
                None if remote is None else ip_address(remote),
                data.get("link"),
                data["learning"],
                data["ttl"],
                data["df"] == "set",
                not data["udp_zero_csum6_tx"] and not data["udp_zero_csum6_rx"] if over_ipv6 else data["udp_csum"],
            )
        case kind:
            return OtherKind(str(kind))


def _address(device: str, item: dict[str, Any]) -> AddressEntry:
    length = item["prefixlen"]
    return AddressEntry(
        device,
        ip_interface(f"{item['local']}/{length}"),
        item["scope"],
        ip_address(item["broadcast"]) if "broadcast" in item else None,
        ip_interface(f"{item['address']}/{length}") if "address" in item else None,
        item.get("noprefixroute", False),
        item.get("deprecated", False),
    )


# -- routes and rules ----------------------------------------------------------------------------------------------


def _route(item: dict[str, Any]) -> Route:
    """One route of `ip -j route`, names of tables and protocols included."""
    version = 6 if "pref" in item or "pref" in (item.get("nexthops") or [{}])[0] or ":" in item["dst"] else 4
    everything = "::/0" if version == 6 else "0.0.0.0/0"
    kind = item.get("type", "unicast")
    if "nhid" in item:  # ip says beside it where the nexthop object leads
        item = {key: value for key, value in item.items() if key not in ("gateway", "via", "dev", "nexthops", "flags")}
        kind = "unicast" if kind == "blackhole" else kind
    return Route(
        ip_network(everything if item["dst"] == "default" else item["dst"]),
        kind,
        via=ip_address(item["gateway"]) if "gateway" in item else None,
        device=None if kind in ("blackhole", "unreachable", "prohibit", "throw") else item.get("dev"),
        table=_table(item.get("table", "main")),
        metric=item.get("metric", 0),
        source=ip_address(item["prefsrc"]) if "prefsrc" in item else None,
        protocol=_protocol(item.get("protocol", "boot")),
        scope=item.get("scope", "global"),
        tos=int(str(item.get("tos", 0)), 0),
        onlink="onlink" in item.get("flags", ()),
        mtu=next((metric["mtu"] for metric in item.get("metrics", ()) if "mtu" in metric), None),
        advmss=next((metric["advmss"] for metric in item.get("metrics", ()) if "advmss" in metric), None),
        hops=tuple(
            NextHop(ip_address(hop["gateway"]) if "gateway" in hop else None, hop.get("dev"), hop["weight"], "onlink" in hop["flags"])
            for hop in item.get("nexthops", ())
        ),
        nexthop=item.get("nhid"),
    )


def _nexthop(item: dict[str, Any]) -> NextHopObject:
    return NextHopObject(
        item["id"],
        ip_address(item["gateway"]) if "gateway" in item else None,
        item.get("dev"),
        "onlink" in item["flags"],
        "blackhole" in item,
        tuple(GroupMember(member["id"], member.get("weight", 1)) for member in item.get("group", ())),
        protocol=_protocol(item.get("protocol", "unspec")),
    )


def _table(name: str) -> int:
    return int(Table[name.upper()]) if name.upper() in Table.__members__ else int(name)


def _protocol(name: str) -> int:
    return PROTOCOLS[name] if name in PROTOCOLS else int(name)


def _rule(item: dict[str, Any], family: int) -> Rule:
    action = next(
        (word for word in ("goto", "nop", "blackhole", "unreachable", "prohibit") if item.get("action") == word or word in item), None
    )
    return Rule(
        item["priority"],
        action or "lookup",  # type: ignore[arg-type]
        _table(item["table"]) if "table" in item and action is None else None,
        int(item["goto"]) if "goto" in item else None,
        _selector(item, "src"),
        _selector(item, "dst"),
        item.get("iif"),
        item.get("oif"),
        int(item["fwmark"], 0) if "fwmark" in item else None,
        int(item["fwmask"], 0) if "fwmask" in item else 0xFFFFFFFF,
        int(str(item.get("tos", 0)), 0),
        {"tcp": 6, "udp": 17}[item["ipproto"]] if "ipproto" in item else None,
        _ports(item, "sport"),
        _ports(item, "dport"),
        item.get("uid_start"),
        item.get("uid_end"),
        "l3mdev" in item,
        "not" in item,
        item.get("suppress_prefixlen"),
        family=family,  # type: ignore[arg-type]
        protocol=_protocol(item["protocol"]),
    )


def _selector(item: dict[str, Any], name: str) -> Any:
    if item.get(name, "all") == "all":
        return None
    return ip_network(f"{item[name]}/{item[name + 'len']}" if f"{name}len" in item else item[name])


def _ports(item: dict[str, Any], name: str) -> PortRange | None:
    if f"{name}_start" in item:
        return PortRange(item[f"{name}_start"], item[f"{name}_end"])
    return PortRange(item[name], item[name]) if name in item else None


# -- neighbours and forwarding database ----------------------------------------------------------------------------


def _neighbours(items: Iterable[dict[str, Any]]) -> Iterable[Neighbour]:
    for item in items:
        state = item["state"][0].lower()
        if state in ("permanent", "noarp", "reachable", "stale") and not item["dst"].startswith("ff"):
            yield Neighbour(item["dev"], ip_address(item["dst"]), item["lladdr"], state)


def _fdb(items: Iterable[dict[str, Any]], links: tuple[Link, ...]) -> Iterable[FdbEntry]:
    """Entries somebody made: not own addresses, groups listened to, frames seen, nor a VXLAN device's default destination."""
    own = {link.mac for link in links}
    remotes = {link.name: str(link.kind.remote) for link in links if isinstance(link.kind, Vxlan)}
    for item in items:
        name = item["ifname"]
        if "dst" in item and item["state"] == "permanent":  # others were learned from frames
            if item["dst"] != remotes[name] or item["mac"] != "00:00:00:00:00:00":
                port, vni = item.get("port"), item.get("vni")
                yield FdbEntry(name, item["mac"], ip_address(item["dst"]), port, vni, item.get("viaIf"))
        elif "master" in item and item["mac"] not in own and item["state"] in ("static", "permanent"):
            yield FdbEntry(name, item["mac"], master=True)
