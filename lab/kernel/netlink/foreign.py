"""What a dump of links and routes says that no state has a field for, by the names it is typed with (ip-link(8), bridge(8), ip-route(8)).

A state keeps no more than these names: what they do to packets is not modelled, and whatever meets them has to be called unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from lab.kernel.netlink import links as nl
from lab.kernel.netlink.attributes import Attributes, number, read_attributes, string

_IFLA_OPERSTATE: Final = 16
_IF_OPER_UP: Final = 6

_BRIDGE: Final = {5: "stp_state", 7: "vlan_filtering", 25: "mcast_querier", 36: "nf_call_iptables", 37: "nf_call_ip6tables"}
"""Of IFLA_BR_*: what is off where nobody switched it on."""

_VXLAN: Final = {
    6: "tos",
    9: "maxaddress",
    10: "srcport",
    11: "proxy",
    12: "rsc",
    21: "remcsumtx",
    22: "remcsumrx",
    23: "gbp",
    25: "external",
    27: "gpe",
    28: "ttl inherit",
    30: "vnifilter",
}
"""Of IFLA_VXLAN_*; `l2miss` and `l3miss` only send notices."""
_IFLA_VXLAN_LOCALBYPASS: Final = 31
_DF_INHERIT: Final = 2

_PORT: Final = {
    10: "proxy_arp",
    12: "proxy_arp_wifi",
    28: "mcast_to_unicast",
    29: "vlan_tunnel",
    34: "backup_port",
    39: "locked",
    40: "mab",
    43: "neigh_vlan_suppress",
}
"""Of IFLA_BRPORT_*."""
_PORT_ON: Final = {27: "mcast_flood off", 30: "bcast_flood off"}
"""What is on where nobody switched it off."""
_IFLA_BRPORT_STATE: Final = 1
_STATES: Final = {0: "state disabled", 1: "state listening", 2: "state learning", 4: "state blocking"}

_ENCAPSULATIONS: Final = {1: "mpls", 2: "ip", 3: "ila", 4: "ip6", 5: "seg6", 6: "bpf", 7: "seg6local", 8: "rpl", 9: "ioam6", 10: "xfrm"}
"""LWTUNNEL_ENCAP_* (uapi/linux/lwtunnel.h)."""
_RTA_ENCAP_TYPE: Final = 21


def foreign_of_link(attributes: Attributes, info: Attributes) -> tuple[str, ...]:
    """Return the names of what is set of a link, out of its dump and the IFLA_LINKINFO of that."""
    data = read_attributes(info.get(nl.IFLA_INFO_DATA, b""))
    found: list[str] = []
    match string(info.get(nl.IFLA_INFO_KIND, b"")):
        case "bridge":
            found += _set(data, _BRIDGE)
        case "vxlan":
            found += _set(data, _VXLAN)
            found += ["df inherit"] if number(data.get(nl.IFLA_VXLAN_DF, b"")) == _DF_INHERIT else []
            found += ["nolocalbypass"] if not number(data.get(_IFLA_VXLAN_LOCALBYPASS, b"\1")) else []
    if string(info.get(nl.IFLA_INFO_SLAVE_KIND, b"")) == "bridge":
        port = read_attributes(info.get(nl.IFLA_INFO_SLAVE_DATA, b""))
        found += _set(port, _PORT)
        found += [name for kind, name in _PORT_ON.items() if kind in port and not number(port[kind])]
        state = number(port.get(_IFLA_BRPORT_STATE, b"\3"))
        # The bridge itself disables ports that have no carrier.
        if state in _STATES and (state or number(attributes.get(_IFLA_OPERSTATE, b"")) == _IF_OPER_UP):
            found.append(_STATES[state])
    return tuple(found)


def _set(attributes: Attributes, names: Mapping[int, str]) -> Iterator[str]:
    """Yield the names of attributes that are there and not zero; a flag is there without a value."""
    return (name for kind, name in names.items() if kind in attributes and (not attributes[kind] or any(attributes[kind])))


def foreign_of_route(attributes: Attributes, source: str | None) -> tuple[str, ...]:
    """Return the names of what a route has besides; `source` is the range of sources it is for, as IPv6 has it."""
    found = [] if source is None else [f"from {source}"]
    if _RTA_ENCAP_TYPE in attributes:
        kind = number(attributes[_RTA_ENCAP_TYPE])
        found.append(f"encap {_ENCAPSULATIONS.get(kind, kind)}")
    return tuple(found)
