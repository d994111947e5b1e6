"""Random nft rule sets: filters, marks, translation, connection states, sets and maps."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from lab.forwarding.generate.shape import PORT, Shape
from lab.forwarding.generate.trouble import some_network
from lab.state import BaseChain
from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Counter,
    Ct,
    Expression,
    Fib,
    Mangle,
    Match,
    Meta,
    Nat,
    NoTrack,
    Payload,
    Prefix,
    Reject,
    Statement,
    Verdict,
    VerdictMap,
)

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def add_rules(shape: Shape) -> None:
    """Give some namespaces a rule set."""
    for name in (*shape.routers, *shape.switches):
        if shape.random.random() < 0.3:
            for _ in range(shape.random.randint(1, 3)):
                _filter_chain(shape, name)
        if shape.random.random() < 0.2:
            _nat(shape, name)


def _filter_chain(shape: Shape, name: str) -> None:
    random = shape.random
    hook = random.choice(HOOKS)
    priority = random.choice((-300, -150, -50, 0, 10))
    policy = "drop" if random.random() < 0.08 else "accept"
    label = f"{hook}{priority + 300}{policy}"
    chain = shape.builder[name].chain("ip", "filter", label, BaseChain("filter", hook, priority, policy))  # type: ignore[arg-type]
    if priority == -300 and hook in ("prerouting", "output") and random.random() < 0.3:
        chain.add(_condition(shape, name, hook), NoTrack())
    for _ in range(random.randint(1, 3)):
        conditions = [_condition(shape, name, hook) for _ in range(random.randint(1, 2))]
        if sum(isinstance(condition, Match) and condition.left in _TRANSPORT for condition in conditions) > 1:
            conditions.pop()  # nft refuses a rule that wants two protocols at once
        chain.add(*conditions, Counter(), _consequence(shape, hook, priority))


_TRANSPORT = (
    Meta("l4proto"),
    Payload("icmp", "type"),
    *(Payload(protocol, port) for protocol in ("tcp", "udp") for port in ("sport", "dport")),
)


def _condition(shape: Shape, name: str, hook: str) -> Statement:
    random = shape.random
    match random.randint(0, 9):
        case 0 | 1:
            side = random.choice(("saddr", "daddr"))
            return Match(Payload("ip", side), _prefix(some_network(shape)), random.choice(("==", "==", "!=")))
        case 2:
            return Match(Meta("l4proto"), random.choice(("icmp", "tcp", "udp")))
        case 3:
            return Match(Payload(random.choice(("tcp", "udp")), random.choice(("dport", "sport"))), PORT, random.choice(("==", "!=")))
        case 4:
            states: tuple[Expression, ...] = tuple(
                random.sample(("new", "established", "related", "invalid", "untracked"), random.randint(1, 2))
            )
            return Match(Ct("state"), AnonymousSet(states) if len(states) > 1 else states[0], "in")
        case 5:
            key = "oifname" if hook in ("output", "postrouting") else "iifname"
            return Match(Meta(key), random.choice([*shape.builder[name].links]), random.choice(("==", "!=")))
        case 6:
            return Match(Meta("mark"), random.choice((0, 1, 2)), random.choice(("==", "!=")))
        case 7:
            return Match(Payload("icmp", "type"), random.choice(("echo-request", "echo-reply", "destination-unreachable", "time-exceeded")))
        case 8:
            return Match(Fib("type", ("daddr",)), random.choice(("local", "unicast")))
        case _:
            return Match(Payload("ip", "ttl"), random.randint(58, 64), random.choice(("<", ">", "==")))


def _prefix(network: IPv4Network) -> Expression:
    address = network.network_address
    return address if network.prefixlen == 32 else Prefix(network)


def _consequence(shape: Shape, hook: str, priority: int) -> Statement:
    random = shape.random
    match random.randint(0, 9):
        case 0 | 1:
            return Verdict("drop")
        case 2 if hook in ("input", "forward", "output"):
            kinds = ("net-unreachable", "host-unreachable", "port-unreachable", "admin-prohibited")
            return Reject("icmp", random.choice(kinds))
        case 3:
            return NoTrack() if priority == -300 and hook in ("prerouting", "output") else Verdict("accept")
        case 4 | 5:
            return Mangle(Meta("mark"), random.choice((1, 2)))
        case 6:
            return Mangle(Meta("mark"), BinaryOperation("|", Meta("mark"), 2))
        case 7:
            key = Payload("ip", "protocol")
            return VerdictMap(key, AnonymousMap((("icmp", Verdict("accept")), ("udp", Verdict(random.choice(("accept", "drop")))))))
        case _:
            return Verdict("accept")


def _nat(shape: Shape, name: str) -> None:
    random = shape.random
    builder = shape.builder[name]
    post = builder.chain("ip", "nat", "post", BaseChain("nat", "postrouting", 100))
    pre = builder.chain("ip", "nat", "pre", BaseChain("nat", "prerouting", -100))
    for _ in range(random.randint(1, 2)):
        match random.randint(0, 4):
            case 0 | 1:
                post.add(_condition(shape, name, "postrouting"), Nat("masquerade"))
            case 2:
                own = [e.interface.ip for e in builder.addresses if isinstance(e.interface.ip, IPv4Address)]
                if own:
                    post.add(Match(Payload("ip", "saddr"), _prefix(some_network(shape))), Nat("snat", random.choice(own)))
            case 3:
                target = random.choice([address for members in shape.members.values() for _, _, address in members])
                pre.add(Match(Payload("ip", "daddr"), _prefix(some_network(shape))), Nat("dnat", target))
                if random.random() < 0.5:
                    out = builder.chain("ip", "nat", "out", BaseChain("nat", "output", -100))
                    out.add(Match(Payload("ip", "daddr"), _prefix(some_network(shape))), Nat("dnat", target))
            case _:
                pre.add(Match(Payload("tcp", "dport"), PORT), Nat("redirect", port=PORT))
