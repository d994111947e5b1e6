"""`ip link`, `ip addr`, `ip neigh` and `bridge fdb`, read and carried out on a namespace as the kernel does it."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from lab.state.builder import NamespaceBuilder
from lab.state.objects import AddressEntry, Bridge, FdbEntry, Neighbour, Scope, Vxlan
from lab.state.provenance import Provenance
from lab.state.state_builder import StateBuilder
from lab.state.typed.numbers import READING
from lab.state.typed.words import NotModelled, Reader

_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_LINK_VERBS: Final = ("add", "set", "replace", "delete", "show", "list", "lst", "property", "afstats", "xstats", "help")
_ADDRESS_VERBS: Final = ("add", "change", "replace", "delete", "show", "list", "lst", "flush", "save", "restore")
_NEIGHBOUR_VERBS: Final = ("add", "replace", "change", "delete", "get", "show", "list", "lst", "flush")
_FDB_VERBS: Final = ("add", "append", "replace", "delete", "show", "lst", "list", "get", "flush")
_LINK_WORDS: Final = ("up", "down", "mtu", "address", "arp", "master", "nomaster", "dev")


def mac_address(reader: Reader) -> str:
    """Take a MAC address; states hold them in lower case."""
    said = reader.take("a MAC address").lower()
    if not _MAC.fullmatch(said):
        reader.fail("expected a MAC address, as 02:00:00:00:00:01")
    return said


def change_links(reader: Reader, builder: StateBuilder, namespace: NamespaceBuilder) -> None:
    """Carry out `ip link ...`. Raises InputError."""
    verb = reader.verb(_LINK_VERBS, "command of `ip link`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb == "delete":
        reader.skip("dev")
        device = reader.device(list(namespace.links), namespace.name)
        if device == "lo":
            reader.refuse("Operation not supported (lo stays)")
        builder.remove_link(namespace.name, device)
        return
    if verb != "set":
        raise NotModelled(f"`ip link {verb}` is not modelled", place=reader.place)
    reader.skip("dev")
    device = reader.device(list(namespace.links), namespace.name)
    if reader.peek() is None:
        reader.fail("nothing changes", f"expected one of {', '.join(_LINK_WORDS[:-1])}")
    while reader.peek() is not None:
        match reader.take("what changes of the link"):
            case "up":
                namespace.change_link(device, up=True)
            case "down":
                namespace.change_link(device, up=False)
                if namespace.sysctls.get(f"net/ipv6/conf/{device}/keep_addr_on_down", "0") == "0":  # addrconf_ifdown
                    namespace.addresses = [e for e in namespace.addresses if e.device != device or e.interface.version == 4]
            case "mtu":
                mtu = reader.number("an MTU", 65535)
                if mtu < 68:
                    reader.refuse("Invalid argument (the smallest MTU is 68 bytes)")
                namespace.change_link(device, mtu=mtu)
                namespace.sysctls.pop(f"net/ipv6/conf/{device}/mtu", None)  # it becomes the same (addrconf_notify)
            case "address":
                namespace.change_link(device, mac=mac_address(reader))
            case "master":
                bridge = reader.device(list(namespace.links), namespace.name)
                if not isinstance(namespace.links[bridge].kind, Bridge):
                    reader.refuse(f"Operation not supported ({bridge} is no bridge)")
                namespace.enslave(device, bridge)
            case "nomaster":
                namespace.change_link(device, master=None, port=None)
            case "txqueuelen" | "alias":
                reader.take("a value")
            case "arp":
                said = reader.take("on or off")
                if said not in ("on", "off"):
                    reader.fail(f"expected on or off, found {said!r}")
                namespace.change_link(device, arp=said == "on")
            case "addrgenmode":
                # States say every address, and no link of a lab chooses one by itself.
                if reader.take("none, eui64, stable_secret or random") != "none":
                    raise NotModelled("addresses that a link chooses by itself are not modelled", place=reader.place)
            case "name" | "netns" | "type" | "multicast" | "promisc" | "vf" | "group":
                raise NotModelled("this attribute of a link is not modelled", place=reader.place)
            case _:
                reader.unknown(_LINK_WORDS, "what changes of the link (up, down, mtu, address, arp, master)")


def change_addresses(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `ip addr ...`. Raises InputError."""
    verb = reader.verb(_ADDRESS_VERBS, "command of `ip addr`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb == "flush":
        _flush_addresses(reader, namespace)
        return
    entry = replace(_read_address(reader, namespace), provenance=why)
    there = [e for e in namespace.addresses if (e.device, e.interface) == (entry.device, entry.interface)]
    same = [e for e in namespace.addresses if (e.device, e.interface.ip) == (entry.device, entry.interface.ip)]
    if entry.interface.version == 6 and verb != "delete":
        there = same  # an address is on a device once, whatever its prefix length (ipv6_add_addr)
    match verb:
        case "delete":
            meant = there or (same if entry.interface.version == 4 else [])
            if not meant:
                reader.refuse(f"Cannot assign requested address ({entry.device} has no {entry.interface})")
            _remove(namespace, meant[0])
        case "add" if there:
            reader.refuse(f"File exists ({entry.device} has {entry.interface} already)")
        case "add":
            namespace.addresses.append(entry)
        case "replace" | "change":
            if not there:
                namespace.addresses.append(entry)
        case _:
            raise NotModelled(f"`ip addr {verb}` is not modelled", place=reader.place)


def _remove(namespace: NamespaceBuilder, gone: AddressEntry) -> None:
    """Remove an address and, if it is the primary one of its subnet, the others with it: promote_secondaries is 0 unless stated."""
    same = [e for e in namespace.addresses if e.device == gone.device and e.interface.network == gone.interface.network]
    if gone.interface.version == 6:
        same = [gone]
    promoted = any(namespace.sysctls.get(f"net/ipv4/conf/{scope}/promote_secondaries") == "1" for scope in ("all", gone.device))
    leaving = same if same[0] is gone and not promoted else [gone]
    namespace.addresses = [entry for entry in namespace.addresses if not any(entry is other for other in leaving)]


def _read_address(reader: Reader, namespace: NamespaceBuilder) -> AddressEntry:
    reader.skip("local")
    interface = reader.interface()
    device, scope, broadcast, peer, no_route, deprecated = None, None, None, None, False, False
    while reader.peek() is not None:
        match reader.take("an option of the address"):
            case "dev":
                device = reader.device(list(namespace.links), namespace.name)
            case "scope":
                scope = reader.read("a scope", _scope)
            case "broadcast" | "brd":
                broadcast = _broadcast(reader, interface)
            case "peer":
                peer = reader.interface()
            case "noprefixroute":
                no_route = True
            case "nodad" | "home" | "mngtmpaddr" | "optimistic" if interface.version == 6:
                pass
            case "preferred_lft":
                deprecated = reader.take("how long it is preferred, in seconds") in ("0", "0sec")
            case "label" | "valid_lft" | "proto":
                reader.take("a value")
            case _:
                reader.unknown(("dev", "scope", "broadcast", "peer", "noprefixroute"), "an option of an address (dev, scope, ...)")
    if device is None:
        reader.fail("an address needs its device", "add `dev DEVICE`")
    own: Scope = "host" if interface.ip.is_loopback else "link" if interface.version == 6 and interface.ip.is_link_local else "global"
    if interface.version == 6 and broadcast is not None:
        reader.refuse("Broadcast can be set only for IPv4 addresses")
    if interface.version == 6:
        scope = own  # the kernel tells it from the address (ipv6_addr_scope)
    return AddressEntry(device, interface, scope or own, broadcast, peer, no_route, deprecated)


def _scope(text: str) -> Scope:
    scopes: dict[str, Scope] = {"global": "global", "site": "site", "link": "link", "host": "host"}
    if text not in scopes:
        raise ValueError(text)
    return scopes[text]


def _broadcast(reader: Reader, interface: object) -> IPv4Address:
    if reader.skip("+") and isinstance(interface, IPv4Interface):
        return interface.network.broadcast_address
    return reader.read("a broadcast address", IPv4Address)


def _flush_addresses(reader: Reader, namespace: NamespaceBuilder) -> None:
    reader.skip("dev")
    device = reader.device(list(namespace.links), namespace.name)
    namespace.addresses = [e for e in namespace.addresses if e.device != device or reader.version not in (None, e.interface.version)]


def change_neighbours(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `ip neigh ...`. Raises InputError."""
    verb = reader.verb(_NEIGHBOUR_VERBS, "command of `ip neigh`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb == "flush":  # what was learned is no part of a state
        return
    proxy = reader.skip("proxy")
    reader.skip("to")
    address = reader.address("the neighbour")
    mac, device, state = None, None, "permanent"
    while reader.peek() is not None:
        match reader.take("an option of the neighbour"):
            case "lladdr":
                mac = mac_address(reader)
            case "dev":
                device = reader.device(list(namespace.links), namespace.name)
            case "nud":
                state = reader.take("a state")
            case "permanent" | "reachable" | "noarp" | "stale" as given:
                state = given
            case _:
                reader.unknown(("lladdr", "dev", "nud", "permanent"), "an option of a neighbour (lladdr, dev, nud)")
    if device is None:
        reader.fail("a neighbour needs its device", "add `dev DEVICE`")
    there = [e for e in namespace.neighbours if (e.device, e.address, e.proxy) == (device, address, proxy)]
    if verb == "delete":
        if not there:
            reader.refuse(f"No such file or directory ({device} has no entry for {address})")
        namespace.neighbours = [entry for entry in namespace.neighbours if entry not in there]
        return
    if mac is None and not proxy:
        reader.fail("a neighbour entry needs its `lladdr`")
    if verb == "add" and there:
        reader.refuse(f"File exists ({device} has an entry for {address})")
    namespace.replace_neighbour(Neighbour(device, address, mac, state, proxy), why)  # type: ignore[arg-type]


def change_fdb(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `bridge fdb ...`. Raises InputError."""
    if reader.verb(("link", "fdb", "mdb", "vlan", "monitor"), "object of `bridge`") != "fdb":
        if reader.peek() in (None, *READING):
            return
        raise NotModelled("only `bridge fdb` is modelled", place=reader.place)
    verb = reader.verb(_FDB_VERBS, "command of `bridge fdb`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb == "flush":
        raise NotModelled("`bridge fdb flush` is not modelled", place=reader.place)
    entry = replace(_read_fdb(reader, namespace), provenance=why)
    there = [e for e in namespace.fdb if (e.device, e.mac) == (entry.device, entry.mac)]
    match verb:
        case "delete":
            meant = [e for e in there if entry.destination in (None, e.destination)]
            if not meant:
                reader.refuse("No such file or directory (there is no such FDB entry)")
            namespace.fdb = [e for e in namespace.fdb if e not in meant]
        case "add" if there:
            reader.refuse(f"File exists ({entry.device} has an entry for {entry.mac}; `append` adds another destination)")
        case "replace":
            namespace.replace_fdb(entry)
        case _:
            namespace.append_fdb(entry)


def _read_fdb(reader: Reader, namespace: NamespaceBuilder) -> FdbEntry:
    mac = mac_address(reader)
    device, destination, port, vni, via, master, permanent = None, None, None, None, None, False, True
    while reader.peek() is not None:
        match reader.take("an option of the entry"):
            case "dev":
                device = reader.device(list(namespace.links), namespace.name)
            case "dst":
                destination = reader.address("the remote VTEP")
            case "port":
                port = reader.number("a port", 65535)
            case "vni":
                vni = reader.number("a VNI", 0xFFFFFF)
            case "via":
                via = reader.device(list(namespace.links), namespace.name)
            case "master":
                master = True
            case "dynamic":
                permanent = False
            case "self" | "permanent" | "static" | "local":
                pass
            case _:
                reader.unknown(
                    ("dev", "dst", "vni", "port", "via", "self", "master", "permanent"), "an option of an FDB entry (dev, dst, ...)"
                )
    if device is None:
        reader.fail("an FDB entry needs its device", "add `dev DEVICE`")
    kind = namespace.links[device].kind
    if destination is not None and isinstance(kind, Vxlan) and destination.version != kind.version:
        reader.refuse(f"Address family not supported by protocol ({device} is a tunnel over IPv{kind.version})")
    return FdbEntry(device, mac, destination, port, vni, via, master, permanent)
