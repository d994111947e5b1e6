"""Changes at kernel level: what an operator, a fault or another program does to a namespace behind the control planes' backs.

Every change says `on`: the names of the namespaces it touches; ``*`` and ``?`` stand for any characters (``c1-w*``).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, model_validator

from lab.spec.links import Impairment, SwitchPort
from lab.spec.values import (
    AnyAddress,
    AnyInterface,
    AnyNetwork,
    Destination,
    DeviceName,
    Line,
    Mac,
    Many,
    Model,
    Mtu,
    NexthopId,
    OneOf,
    Selector,
    SysctlPath,
    SysctlValue,
    TableId,
    Unsigned,
)


class Change(Model):
    """Base of all changes."""

    on: Many[Selector] = Field(min_length=1)
    """The namespaces it is made in; `*` and `?` stand for any characters."""


class RouteChange(Change):
    """Replaces a route (adds it where there is none) or deletes it, as ``ip route replace`` and ``ip route del`` do."""

    action: Literal["replace", "delete"] = "replace"
    """What happens to the route; `delete` looks at `to` and `table` only."""
    to: Destination
    """Where it leads: a network, or `default`."""
    table: TableId = 254
    """Its table; 254 is main."""
    type: Literal["unicast", "blackhole", "unreachable", "prohibit", "throw"] = "unicast"
    """What happens to a packet (ip-route(8))."""
    via: AnyAddress | None = None
    """The next hop."""
    device: DeviceName | None = None
    """The device. By default the one whose subnet holds the next hop."""
    source: AnyAddress | None = None
    """The source address preferred by local programs."""
    metric: Unsigned = 0
    """Its metric; the smallest wins."""
    protocol: Annotated[int, Field(ge=0, le=255)] = 4
    """Who made it (/etc/iproute2/rt_protos); 4 is static."""
    scope: Literal["global", "link", "host"] | None = None
    """Its scope. By default link where there is no next hop, global otherwise."""
    onlink: bool = False
    """Whether the next hop counts as on the device's link, whatever its addresses say."""
    mtu: Mtu | None = None
    """The path MTU it states, in bytes."""
    nexthop: NexthopId | None = None
    """The nexthop object it names, instead of `via` and `device`."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> RouteChange:
        own = self.via is not None or self.device is not None
        if self.action == "replace" and self.type == "unicast" and not own and self.nexthop is None:
            raise ValueError("a route needs `via`, `device` or `nexthop`, or a `type` that needs no way out")
        if own and self.nexthop is not None:
            raise ValueError("a route has `via` and `device`, or it names a `nexthop`")
        if self.type != "unicast" and (own or self.nexthop is not None):
            raise ValueError(f"a route of type {self.type} has none of `via`, `device` and `nexthop`")
        return self


class NexthopChange(Change):
    """Replaces a nexthop object (adds it where there is none) or deletes it, as ``ip nexthop replace`` and ``ip nexthop del`` do.

    One that is deleted takes along the routes that name it, and groups of nothing else.
    """

    action: Literal["replace", "delete"] = "replace"
    """What happens to the object; `delete` looks at `id` only."""
    id: NexthopId
    """Its number, by which routes and groups name it."""
    via: AnyAddress | None = None
    """The next hop."""
    device: DeviceName | None = None
    """The device; any that is neither a blackhole nor a group needs one."""
    onlink: bool = False
    """Whether the next hop counts as on the device's link, whatever its addresses say."""
    blackhole: bool = False
    """Whether packets are dropped in silence."""
    group: Many[NexthopId] = ()
    """Other objects among which the hash of a flow chooses, each with the same weight."""

    @model_validator(mode="after")
    def _is_something(self) -> NexthopChange:
        if self.action == "replace" and sum((self.device is not None, self.blackhole, bool(self.group))) != 1:
            raise ValueError("a nexthop is exactly one of: a `device` (with or without `via`), a `blackhole`, a `group`")
        if self.via is not None and self.device is None:
            raise ValueError("a nexthop with `via` needs its `device`")
        return self


class RuleChange(Change):
    """Adds or deletes a policy routing rule, as ``ip rule`` does."""

    action: Literal["add", "delete"] = "add"
    """What happens to the rule; `delete` takes away those of this priority that have what else is stated."""
    priority: Unsigned
    """Its priority; the smallest comes first. The kernel's own are 0 (local), 32766 (main) and 32767 (default)."""
    table: TableId | None = None
    """The table to look in. A rule that is added needs one."""
    type: Literal["lookup", "blackhole", "unreachable", "prohibit"] = "lookup"
    """What happens to a packet it matches."""
    source: AnyNetwork | None = None
    """The network of the source address. By default any."""
    destination: AnyNetwork | None = None
    """The network of the destination address. By default any."""
    iif: DeviceName | None = None
    """The device a packet came by; `lo` for packets of this namespace."""
    oif: DeviceName | None = None
    """The device a program's socket is bound to."""
    mark: Unsigned | None = None
    """The packet's mark."""
    mask: Unsigned = 0xFFFFFFFF
    """Which bits of the mark are compared."""

    @model_validator(mode="after")
    def _names_a_table(self) -> RuleChange:
        deletes_any = self.action == "delete" and self.type == "lookup"
        if not deletes_any and (self.type == "lookup") != (self.table is not None):
            raise ValueError(
                "a rule needs the `table` it looks in" if self.table is None else f"a rule of type {self.type} looks in no table"
            )
        return self


class SysctlChange(Change):
    """Writes a sysctl."""

    name: SysctlPath
    """Its path below /proc/sys, as `net/ipv4/conf/vxlan.calico/rp_filter`."""
    value: SysctlValue
    """What is written."""


class LinkChange(Change):
    """Changes or deletes a link."""

    device: DeviceName
    """The link."""
    mtu: Mtu | None = None
    """Its new MTU, in bytes."""
    mac: Mac | None = None
    """Its new MAC address."""
    state: Literal["up", "down", "deleted"] | None = None
    """Whether it goes up, down, or away."""
    port: SwitchPort | None = None
    """How its bridge treats it, where it is a bridge's port."""

    @model_validator(mode="after")
    def _changes_something(self) -> LinkChange:
        if self.mtu is None and self.mac is None and self.state is None and self.port is None:
            raise ValueError("nothing changes: `mtu`, `mac`, `state` or `port` is missing")
        return self


class ImpairmentChange(Change, Impairment):
    """Impairs what a link end sends, in the place of any earlier impairment; without a value it sends as it should again."""

    device: DeviceName
    """The link."""


class AddressChange(Change):
    """Adds or deletes an address."""

    action: Literal["add", "delete"] = "add"
    """What happens to the address."""
    device: DeviceName
    """The link."""
    address: AnyInterface
    """The address with the length of its prefix."""


class NeighbourChange(Change):
    """Sets or deletes a neighbour entry."""

    action: Literal["replace", "delete"] = "replace"
    """What happens to the entry."""
    device: DeviceName
    """The link."""
    address: AnyAddress
    """The neighbour's address."""
    mac: Mac | None = None
    """The neighbour's MAC address; `delete` needs none."""
    learned: bool = False
    """Whether it is like one that the kernel learned before, which an announcement or an answer replaces. By default it is permanent."""

    @model_validator(mode="after")
    def _has_a_mac(self) -> NeighbourChange:
        if self.action == "replace" and self.mac is None:
            raise ValueError("a neighbour entry needs its `mac`")
        return self


class AnnounceChange(Change):
    """Announces an address on a link, once: a gratuitous ARP, or an unsolicited neighbour advertisement for IPv6. Whoever has an entry for
    it in his neighbour table takes the new MAC address. It is sent after all changes that are data."""

    device: DeviceName
    """The link, up."""
    address: AnyAddress
    """The address; nobody checks that it is there."""


class FdbChange(Change):
    """Adds or deletes an FDB entry of a VXLAN device."""

    action: Literal["append", "delete"] = "append"
    """What happens to the entry."""
    device: DeviceName
    """The VXLAN device."""
    mac: Mac
    """The MAC address; 00:00:00:00:00:00 for what has no entry of its own."""
    destination: AnyAddress
    """The VTEP that frames for it are sent to, an address of the version of IP that the device sends over."""


class NftChange(Change):
    """Runs an nft(8) script in the namespace, in one transaction."""

    script: str = Field(min_length=1)
    """The script."""


class ProcessChange(Change):
    """Stops or starts a program or a listener."""

    name: Line
    """Its name: `dnsmasq`, `tinyproxy`, or a listener's as `tcp-8080`."""
    action: Literal["stop", "start"]
    """What happens to it."""


_XTABLES: Final = ("arptables", "ebtables", "ip6tables", "ip6tables-restore", "ipset", "iptables", "iptables-restore")
PROGRAMS: Final = frozenset({"arp", "bridge", "conntrack", "ethtool", "ip", "nft", "sysctl", "tc", *_XTABLES})
"""What a literal command may be: the programs one configures a Linux network with."""


class RunChange(Change):
    """Runs commands in the namespace: `ip`, `bridge`, `nft`, `sysctl`, `tc` and the like. Each must succeed.

    They are split as a shell splits them, and no shell runs them. They can configure the namespace's network, and write no file.
    """

    commands: Many[Line] = Field(min_length=1)
    """The commands, as `ip route del 10.42.0.0/16`."""
    timeout: Annotated[int, Field(ge=1, le=600)] = 10
    """How many seconds each may take."""


AnyChange = (
    RouteChange
    | NexthopChange
    | RuleChange
    | SysctlChange
    | LinkChange
    | ImpairmentChange
    | AddressChange
    | NeighbourChange
    | AnnounceChange
    | FdbChange
    | NftChange
    | ProcessChange
    | RunChange
)


class ChangeItem(OneOf):
    """A change at kernel level: exactly one of these."""

    what: ClassVar[str] = "kind of change"

    route: RouteChange | None = None
    """A route is replaced or deleted."""
    nexthop: NexthopChange | None = None
    """A nexthop object is replaced or deleted."""
    rule: RuleChange | None = None
    """A policy routing rule is added or deleted."""
    sysctl: SysctlChange | None = None
    """A sysctl is written."""
    link: LinkChange | None = None
    """A link changes or goes."""
    impairment: ImpairmentChange | None = None
    """What a link end sends is lost, damaged, delayed or slowed down."""
    address: AddressChange | None = None
    """An address comes or goes."""
    neighbour: NeighbourChange | None = None
    """A neighbour entry is set or deleted."""
    announce: AnnounceChange | None = None
    """An address is announced on a link."""
    fdb: FdbChange | None = None
    """An FDB entry comes or goes."""
    nft: NftChange | None = None
    """An nft script is run."""
    process: ProcessChange | None = None
    """A program stops or starts."""
    run: RunChange | None = None
    """Literal commands are run."""

    @property
    def change(self) -> AnyChange:
        """The one change this entry holds."""
        value: AnyChange = getattr(self, self.kind)
        return value
