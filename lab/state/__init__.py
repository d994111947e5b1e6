"""The network state: plain immutable data that everything else is a function from or to."""

from __future__ import annotations

from lab.state.builder import LO, NamespaceBuilder
from lab.state.checks import check, mistakes
from lab.state.codec import dump_state, load_state
from lab.state.commands import Command, commands_of
from lab.state.control import ApiObject, LogLine
from lab.state.difference import Change, Delta, Difference, NamespaceDifference, Setting, difference, difference_of_namespaces
from lab.state.implied import complete, without_bare_ipv6
from lab.state.network import ControlPlane, Listener, Namespace, Program, State
from lab.state.nft_builder import BaseChain, ChainBuilder, MapBuilder, SetBuilder, TableBuilder
from lab.state.nft_difference import RuleEdit, TableDifference
from lab.state.objects import (
    AddressEntry,
    Bridge,
    BridgePort,
    Bucket,
    FdbEntry,
    GroupMember,
    Impairment,
    Link,
    LinkKind,
    Loopback,
    Macvlan,
    Neighbour,
    NextHop,
    NextHopObject,
    OtherKind,
    PortRange,
    Protocol,
    Route,
    Rule,
    Table,
    Tun,
    Veth,
    Vxlan,
    XfrmPolicy,
)
from lab.state.provenance import UNKNOWN, Provenance
from lab.state.state_builder import StateBuilder

__all__ = [
    "LO",
    "UNKNOWN",
    "AddressEntry",
    "ApiObject",
    "BaseChain",
    "Bridge",
    "BridgePort",
    "Bucket",
    "ChainBuilder",
    "Change",
    "Command",
    "ControlPlane",
    "Delta",
    "Difference",
    "FdbEntry",
    "GroupMember",
    "Impairment",
    "Link",
    "LinkKind",
    "Listener",
    "LogLine",
    "Loopback",
    "Macvlan",
    "MapBuilder",
    "Namespace",
    "NamespaceBuilder",
    "NamespaceDifference",
    "Neighbour",
    "NextHop",
    "NextHopObject",
    "OtherKind",
    "PortRange",
    "Program",
    "Protocol",
    "Provenance",
    "Route",
    "Rule",
    "RuleEdit",
    "SetBuilder",
    "Setting",
    "State",
    "StateBuilder",
    "Table",
    "TableBuilder",
    "TableDifference",
    "Tun",
    "Veth",
    "Vxlan",
    "XfrmPolicy",
    "check",
    "commands_of",
    "complete",
    "difference",
    "difference_of_namespaces",
    "dump_state",
    "load_state",
    "mistakes",
    "without_bare_ipv6",
]
