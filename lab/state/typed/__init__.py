"""Commands as an operator types them, read and carried out on a state: the other way of `lab.state.commands`.

What is understood: `ip route`, `ip nexthop`, `ip rule`, `ip link set` and `del`, `ip addr`, `ip neigh`, `bridge fdb`, `sysctl`, `echo
VALUE > /proc/sys/...`, and of `nft` what `lab.state.typed.rulesets` says. What else configures a network raises `NotModelled`: a kernel
can tell what it does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lab.errors import InputError, did_you_mean, quoted
from lab.state.builder import NamespaceBuilder
from lab.state.implied import complete
from lab.state.lost import without_carrier
from lab.state.network import State
from lab.state.provenance import Provenance
from lab.state.state_builder import StateBuilder
from lab.state.typed.devices import change_addresses, change_fdb, change_links, change_neighbours
from lab.state.typed.nexthops import change_nexthops
from lab.state.typed.routes import change_routes
from lab.state.typed.rules import change_rules
from lab.state.typed.rulesets import change_by_script, change_tables
from lab.state.typed.sysctls import change_sysctls, echo_into
from lab.state.typed.words import NotModelled, Reader, Word, split_line, split_words

__all__ = ["NotModelled", "Word", "carry_out", "split_line", "split_words"]

_IP_OBJECTS: Final = (
    *("address", "addrlabel", "maddress", "route", "rule", "neighbor", "neighbour", "ntable", "link", "l2tp", "fou", "macsec", "tunnel"),
    *("tuntap", "token", "tcp_metrics", "monitor", "xfrm", "mroute", "netns", "netconf", "vrf", "sr", "nexthop", "mptcp", "help"),
)
"""In the order in which ip(8) looks for what an abbreviation means."""
_LISTS: Final = re.compile(r"-[nvx]*[LS][nvx]*|--list|--list-rules")
"""How iptables is asked what there is."""
_FLAGS: Final = ("-s", "-d", "-o", "-br", "-c", "-color", "-details", "-stats", "-force")


def carry_out(state: State, node: str, words: Sequence[Word], script: Sequence[Word] = ()) -> State:
    """Return the state after a command was typed on a node; `script` are the lines that `nft -f -` reads, one word each.

    Raises InputError, at the word that is wrong, for a command that cannot be or that the kernel would refuse, and NotModelled for one
    whose effect is not known here.
    """
    builder = StateBuilder(state)
    reader = Reader(words)
    program = reader.take("a command")
    why = Provenance("operator", f"`{' '.join(word.text for word in words)}` at {words[0].place}", words[0].place)
    namespace = builder[node]
    try:
        match program:
            case "ip":
                _ip(reader, builder, node, why)
            case "bridge":
                change_fdb(reader, namespace, why)
            case "sysctl":
                change_sysctls(reader, namespace)
            case "echo":
                echo_into(reader, namespace)
            case "nft" if script:
                change_by_script(script, namespace, why)
            case "nft":
                change_tables(reader, namespace, why)
            case "iptables" | "ip6tables" if any(_LISTS.fullmatch(word.text) for word in reader.rest):
                pass
            case _:
                raise NotModelled(f"what {quoted(program)} does is not modelled", place=words[0].place)
    except InputError as error:
        raise error.at(words[0].place) from None
    changed = builder.freeze()
    touched = {name: changed[name] for name in changed.namespaces if changed[name] != state[name]}
    return complete(replace(state, namespaces={**state.namespaces, **touched}), state)


def _ip(reader: Reader, builder: StateBuilder, node: str, why: Provenance) -> None:
    while (option := reader.peek() or "").startswith("-"):
        reader.take("an option")
        if option in ("-4", "-6"):
            reader.version = 4 if option == "-4" else 6
        elif option not in _FLAGS:
            raise NotModelled(f"the option {quoted(option)} of `ip` is not modelled", place=reader.place)
    said = reader.take("an object of `ip` (route, nexthop, rule, link, addr, neigh)")
    name = next((known for known in _IP_OBJECTS if known.startswith(said) and said), None)
    namespace = builder[node]
    had_ipv6 = _has_ipv6(namespace)
    match name:
        case "route":
            change_routes(reader, namespace, why)
        case "nexthop":
            change_nexthops(reader, namespace, why)
            made = builder.freeze()
            if without_carrier(made.namespaces)[node].nexthops != made[node].nexthops:
                reader.refuse("Carrier for nexthop device is down")
        case "rule":
            change_rules(reader, namespace, why)
        case "link":
            change_links(reader, builder, namespace)
        case "address":
            change_addresses(reader, namespace, why)
        case "neighbor" | "neighbour":
            change_neighbours(reader, namespace, why)
        case None:
            reader.fail(
                f"`ip` has no object {quoted(said)}",
                did_you_mean(said, ("address", "route", "rule", "neighbour", "link", "nexthop"), "object"),
            )
        case _:
            raise NotModelled(f"`ip {name}` is not modelled", place=reader.place)
    if _has_ipv6(namespace) and not had_ipv6:
        raise NotModelled(f"what comes with IPv6, which {node} does not have yet, is not modelled", place=reader.words[0].place)


def _has_ipv6(namespace: NamespaceBuilder) -> bool:
    """Whether a namespace states anything of IPv6 (`states_ipv6`)."""
    said = (*(e.interface for e in namespace.addresses), *(route.destination for route in namespace.routes))
    return any(one.version == 6 for one in said) or any(rule.family == 6 for rule in namespace.rules)
