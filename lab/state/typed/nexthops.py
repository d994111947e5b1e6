"""`ip nexthop`, read and carried out on a namespace as ip-nexthop(8) and the kernel do it (rtm_to_nh_config in net/ipv4/nexthop.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.state.builder import NamespaceBuilder
from lab.state.objects import Address, GroupMember, NextHop, NextHopObject, Protocol, Table
from lab.state.provenance import Provenance
from lab.state.typed.numbers import READING, protocol_number
from lab.state.typed.routes import checked_device
from lab.state.typed.words import NotModelled, Reader

_VERBS: Final = ("add", "replace", "get", "delete", "list", "show", "lst", "flush", "help", "bucket")
_WORDS: Final = ("id", "via", "dev", "onlink", "blackhole", "group", "proto")


@dataclass(slots=True)
class _Said:
    """What a command says about a nexthop object."""

    id: int | None = None
    via: Address | None = None
    device: str | None = None
    onlink: bool = False
    blackhole: bool = False
    group: tuple[GroupMember, ...] = ()
    protocol: int = Protocol.UNSPEC


def change_nexthops(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `ip nexthop ...`. Raises InputError."""
    verb = reader.verb(_VERBS, "command of `ip nexthop`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb in ("flush", "bucket"):
        raise NotModelled(f"`ip nexthop {verb}` is not modelled", place=reader.place)
    said = _read(reader, namespace)
    if said.id is None:
        raise NotModelled("which id the kernel chooses for a nexthop is not modelled: say `id`", place=reader.place)
    if verb == "delete":
        if not namespace.delete_nexthop(said.id):
            reader.refuse(f"No such file or directory ({namespace.name} has no nexthop {said.id})")
        return
    old = namespace.nexthops.get(said.id)
    if verb == "add" and old is not None:
        reader.refuse(f"File exists (nexthop {said.id} is there)")
    made = _made(reader, namespace, said, said.id, why)
    if old is not None:
        _check_replacement(reader, namespace, old, made)
    namespace.add_nexthop(made)


def _read(reader: Reader, namespace: NamespaceBuilder) -> _Said:
    said = _Said()
    while reader.peek() is not None:
        match reader.take("an option of the nexthop"):
            case "id":
                said.id = reader.number("the id of a nexthop")
            case "via":
                six = reader.skip("inet6")
                reader.skip("inet")
                said.via = reader.address("a next hop")
                if six or said.via.version == 6:
                    raise NotModelled("a gateway of IPv6 is not modelled", place=reader.place)
            case "dev":
                said.device = reader.device(list(namespace.links), namespace.name)
            case "onlink":
                said.onlink = True
            case "blackhole":
                said.blackhole = True
            case "group":
                said.group = reader.read("the members of a group, as 1/2 or 1,10/2,20", _members)
            case "type":
                if reader.take("a type of group") != "mpath":
                    raise NotModelled("resilient groups are not modelled", place=reader.place)
            case "proto" | "protocol":
                said.protocol = protocol_number(reader)
            case "encap" | "fdb":
                raise NotModelled("nexthops of tunnels are not modelled", place=reader.place)
            case _:
                reader.unknown(_WORDS, "an option of a nexthop (id, via, dev, group, blackhole, ...)")
    return said


def _members(text: str) -> tuple[GroupMember, ...]:
    members = []
    for part in text.split("/"):
        number, _, weight = part.partition(",")
        members.append(GroupMember(int(number), int(weight or 1)))
    return tuple(members)


def _made(reader: Reader, namespace: NamespaceBuilder, said: _Said, number: int, why: Provenance) -> NextHopObject:
    """Return the object a command makes. Raises InputError, in the kernel's words, for one it refuses."""
    if said.group:
        _check_group(reader, namespace, said.group, number)
        return NextHopObject(number, group=said.group, protocol=said.protocol, provenance=why)
    if said.blackhole:
        if said.via is not None or said.device is not None:
            reader.refuse("Blackhole attribute can not be used with gateway, oif, encap or fdb")
        return NextHopObject(number, blackhole=True, protocol=said.protocol, provenance=why)
    if said.device is None:
        reader.refuse("Device attribute required for non-blackhole and non-fdb nexthops")
    device = checked_device(reader, namespace, Table.MAIN, NextHop(said.via, said.device, onlink=said.onlink))
    return NextHopObject(number, said.via, device, said.onlink, protocol=said.protocol, provenance=why)


def _check_group(reader: Reader, namespace: NamespaceBuilder, group: tuple[GroupMember, ...], number: int) -> None:
    for member in group:
        other = namespace.nexthops.get(member.id)
        if other is None or member.id == number:
            reader.refuse(f"Invalid nexthop id ({namespace.name} has no nexthop {member.id} that a group may have as a member)")
        if other.group:
            reader.refuse("Hash-threshold group can not be a nexthop within a group")
        if other.blackhole and len(group) > 1:
            reader.refuse("Blackhole nexthop can not be used in a group with more than 1 path")
        if not 1 <= member.weight <= 256:
            reader.fail("a weight is between 1 and 256")
    if len({member.id for member in group}) < len(group):
        reader.refuse("Nexthop id can not be used twice in a group")


def _check_replacement(reader: Reader, namespace: NamespaceBuilder, old: NextHopObject, new: NextHopObject) -> None:
    if bool(old.group) != bool(new.group):
        words = ("a nexthop group with a nexthop", "a nexthop with a nexthop group")
        reader.refuse(f"Can not replace {words[bool(new.group)]}")
    crowded = any(len(thing.group) > 1 and any(member.id == new.id for member in thing.group) for thing in namespace.nexthops.values())
    if new.blackhole and crowded:
        reader.refuse("Blackhole nexthop can not be a member of a group with more than one path")
