"""What happens to a packet in one netfilter hook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from lab.forwarding.netfilter.conntrack import Connection, CtState, CtStatus, Direction, Tracked, remember, track
from lab.forwarding.netfilter.nat import apply, bind, decided, manipulation_of
from lab.forwarding.netfilter.outcomes import BREAK, Lost, Refuse
from lab.forwarding.netfilter.ruleset import CompiledChain, Hook
from lab.forwarding.netfilter.statements import set_connection as set_connection
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.packet import Packet
from lab.forwarding.unknown import Undecided
from lab.state.nft import Chain, NftRule, Reject, Verdict


@dataclass(frozen=True, slots=True)
class Met:
    """A rule a packet was held against: which statement failed, or None where all of them held."""

    chain: str
    rule: NftRule
    failed: int | None


class HookRun(NamedTuple):
    """All that one hook did to one packet. A tuple: a packet passes dozens of hooks on its way."""

    hook: Hook | Literal["ingress", "egress"]
    verdict: Literal["accept", "drop", "reject"]
    before: Packet
    after: Packet
    chain: str = ""
    """The chain that decided, where one did: family, table, name."""
    decided_by: NftRule | Chain | None = None
    """The rule, or the chain whose policy, decided."""
    reject: Reject | None = None
    why: str = ""
    in_parts: bool = False
    """The rules saw a fragment."""
    ct_state: CtState | None = None
    ct_direction: Direction | None = None
    considered: tuple[tuple[str, NftRule, int], ...] = ()
    """The rules the packet was held against, as they were noted on the way; see `met`."""
    rest: HookRun | None = None
    """What was done to all pieces but the first, where that went on and they did not."""

    @property
    def met(self) -> tuple[Met, ...]:
        """Return every rule the packet was held against, in order."""
        return tuple(Met(chain, rule, None if failed < 0 else failed) for chain, rule, failed in self.considered)

    @property
    def passed(self) -> bool:
        """Whether the packet goes on."""
        return self.verdict == "accept"


@dataclass(slots=True)
class Ruling:
    """What a chain decides about a packet, and by which rule or policy."""

    verdict: Literal["accept", "drop", "reject"]
    chain: str = ""
    decided_by: NftRule | Chain | None = None
    reject: Reject | None = None
    why: str = ""


_PASS = Ruling("accept")


def run_hook(t: Transit, hook: Hook, *, iif: str | None, oif: str | None) -> HookRun | None:
    """Let a packet pass a hook; it rewrites `t.packet`. Return None where nothing at all is registered there."""
    family = t.node.ruleset.of(t.packet.version)
    registered = family.hooks[hook]
    if not registered:
        return None
    t.hook, t.iif, t.oif = hook, iif, oif
    before = t.packet
    t.met = []
    ruling = _PASS
    # Connection tracking puts fragments together, for the rules; they part again as they were on the way out
    # (nf_defrag_ipv4). Without it rules see each of them.
    in_parts = t.packet.fragment is not None and not family.tracks
    rest: HookRun | None = None
    for part in registered:
        match part.what:
            case "conntrack":
                _track(t)
            case "confirm":
                _confirm(t)
            case "nat":
                ruling = _translate(t, hook)
            case "chain":
                assert part.chain is not None
                entering = t.packet
                ruling = evaluate(part.chain, t)
                if ruling.verdict == "accept" and in_parts and not t.packet.alone:
                    others = evaluate_later_fragment(part.chain, t, entering)
                    if others.verdict != "accept":
                        t.packet = t.packet._replace(alone=True)
                        rest = HookRun(
                            hook, others.verdict, before, t.packet, others.chain, others.decided_by, others.reject, in_parts=True
                        )
                if part.chain.chain.type == "route" and ruling.verdict == "accept" and _routed_by(t.packet) != _routed_by(entering):
                    t.astray = not t.reroute(t.packet)
        if ruling.verdict != "accept" or t.astray:
            break
    tracked = t.tracked
    return HookRun(
        hook,
        ruling.verdict,
        before,
        t.packet,
        ruling.chain,
        ruling.decided_by,
        ruling.reject,
        ruling.why,
        in_parts,
        None if tracked is None else tracked.state,
        None if tracked is None or tracked.connection is None else tracked.direction,
        tuple(t.met),
        rest,
    )


def evaluate_later_fragment(chain: CompiledChain, t: Transit, entering: Packet) -> Ruling:
    """Evaluate a chain for the other pieces of a packet, whose first has passed. Raises Undecided where they then are no longer alike."""
    first, t.packet, t.later_fragment = t.packet, entering, True
    ruling = evaluate(chain, t)
    t.later_fragment = False
    if ruling.verdict == "accept" and t.packet != first:
        raise Undecided("the pieces of one packet are changed in different ways by the rules, which is not modelled", chain.chain)
    t.packet = first
    return ruling


def _routed_by(packet: Packet) -> tuple[object, ...]:
    """What a route chain watches (`nf_route_table_hook4`)."""
    return packet.source, packet.destination, packet.mark, packet.tos


# -- connection tracking and NAT -----------------------------------------------------------------------------------


def _track(t: Transit) -> None:
    # A packet that comes round through lo keeps its connection; so does one that a rule took out of tracking.
    if t.tracked is not None:
        return
    if t.packet.fragment is not None and not t.made_here:
        t.packet = t.packet._replace(checked=True)
    t.tracked = track(t.packet, t.world.conntrack(t.node), loose=t.node.settings.tcp_loose)
    t.confirmed = t.tracked.state != CtState.NEW or (
        t.tracked.connection is not None and t.tracked.connection.original in t.world.conntrack(t.node)
    )


def _confirm(t: Transit) -> None:
    if t.tracked is None or t.tracked.connection is None or t.confirmed:
        return
    connection = t.tracked.connection._replace(status=t.tracked.connection.status | CtStatus.CONFIRMED)
    t.tracked = t.tracked._replace(connection=connection)
    remember(connection, t.world.conntrack(t.node))
    t.confirmed = True


def _translate(t: Transit, hook: Hook) -> Ruling:
    """The kernel's NAT hook (`nf_nat_inet_fn`): ask the NAT chains about a new flow, then rewrite the packet."""
    tracked = t.tracked
    if tracked is None or tracked.connection is None:
        return _PASS
    manipulation = manipulation_of(hook)
    if tracked.state == CtState.NEW and not decided(tracked.connection, manipulation):
        for chain in t.node.ruleset.of(t.packet.version).nat_chains[hook]:
            ruling = evaluate(chain, t)
            if ruling.verdict != "accept":
                return ruling
            if t.tracked is not None and t.tracked.connection is not None and decided(t.tracked.connection, manipulation):
                break
        tracked = t.tracked or tracked
        assert tracked.connection is not None
        if not decided(tracked.connection, manipulation):
            set_connection(t, bind(tracked.connection, manipulation, t.world.conntrack(t.node)))
        tracked = t.tracked or tracked
    connection = tracked.connection
    if connection is not None and hook == "postrouting" and _left_elsewhere(tracked, connection, t.oif):
        t.world.forget(t.node, connection)
        return Ruling("drop", why=f"the flow was masqueraded for {connection.masquerade} and now leaves by {t.oif}")
    given, t.packet = t.packet, apply(t.packet, tracked, manipulation)
    if t.packet.tunnel is not None and t.packet != given:
        t.packet = t.packet._replace(tunnel=replace(t.packet.tunnel, translated=True))
    if hook == "output" and connection is not None:
        # `nf_nat_ipv4_local_fn`: whenever the destination is not what the answers come from.
        mine, answers = (
            (connection.original, connection.reply) if tracked.direction == "original" else (connection.reply, connection.original)
        )
        if mine.destination != answers.source:
            t.astray = not t.reroute(t.packet)
    return _PASS


def _left_elsewhere(tracked: Tracked, connection: Connection, oif: str | None) -> bool:
    """Whether a flow leaves by another device than the one whose address it borrowed (`nf_nat_oif_changed`)."""
    mine = tracked.direction == "original" and tracked.state != CtState.RELATED
    return mine and connection.masquerade is not None and connection.masquerade != oif


# -- chains --------------------------------------------------------------------------------------------------------


def evaluate(base: CompiledChain, t: Transit) -> Ruling:
    """Evaluate a base chain and whatever it jumps to (`nft_do_chain`, net/netfilter/nf_tables_core.c)."""
    chain, position = base, 0
    returns: list[tuple[CompiledChain, int]] = []
    met = t.met
    while True:
        if position >= len(chain.rules):
            if not returns:
                break
            chain, position = returns.pop()
            continue
        rule = chain.rules[position]
        position += 1
        outcome: object = None
        failed = -1
        for number, execute in enumerate(rule.statements):
            outcome = execute(t)
            if outcome is not None:
                if outcome is BREAK:
                    failed = rule.positions[number]
                break
        met.append((chain.label, rule.rule, failed))
        if outcome is None or outcome is BREAK:
            continue
        if isinstance(outcome, Refuse):
            return Ruling("reject", chain.label, rule.rule, outcome.reject)
        if isinstance(outcome, Lost):
            return Ruling("drop", chain.label, rule.rule, None, outcome.why)
        assert isinstance(outcome, Verdict)
        match outcome.kind:
            case "accept":
                return Ruling("accept", chain.label, rule.rule)
            case "drop":
                return Ruling("drop", chain.label, rule.rule)
            case "jump" | "goto":
                if outcome.kind == "jump":
                    returns.append((chain, position))
                chain, position = chain.chains[outcome.chain or ""], 0
            case "return":
                if not returns:
                    break
                chain, position = returns.pop()
            case "continue":
                pass
    if base.chain.policy == "drop":
        return Ruling("drop", base.label, base.chain)
    return _PASS
