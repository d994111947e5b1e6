"""Netfilter on the way of a packet: pass a hook, record it, and send what a rule's reject sends."""

from __future__ import annotations

from dataclasses import dataclass

from lab.forwarding.causes import Reason
from lab.forwarding.icmp import rejection
from lab.forwarding.journey import Journey, Visit
from lab.forwarding.netfilter.conntrack import CtState
from lab.forwarding.netfilter.hooks import HookRun, run_hook
from lab.forwarding.netfilter.ruleset import Hook
from lab.forwarding.netfilter.told import missed, written
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.packet import Packet
from lab.forwarding.results import Detail, Plain, Stage
from lab.forwarding.unknown import Undecided
from lab.state.nft import Chain, NftRule

_STAGES: dict[Hook, Stage] = {
    "prerouting": Stage.PREROUTING,
    "input": Stage.INPUT,
    "forward": Stage.FORWARD,
    "output": Stage.OUTPUT,
    "postrouting": Stage.POSTROUTING,
}


@dataclass(frozen=True, slots=True)
class Filtering:
    """What a hook did to a packet, told to people."""

    run: HookRun

    @property
    def sentence(self) -> str:
        """What was decided."""
        run = self.run
        state = f" ({_state_name(run.ct_state)})" if run.ct_state is not None else ""
        if run.verdict == "accept":
            rewrites = rewrites_of(run.before, run.after)
            return f"accepted{state}{': ' + ', '.join(rewrites) if rewrites else ''}"
        by = f"policy of chain {run.chain}" if isinstance(run.decided_by, Chain) else f"a rule of chain {run.chain}"
        if isinstance(run.decided_by, NftRule) and not run.decided_by.comment:
            by += f" ({written(run.decided_by, run.chain)})"
        verb = "rejected" if run.verdict == "reject" else "dropped"
        return f"{verb} by {by if run.chain else 'the kernel'}{state}{': ' + run.why if run.why else ''}"

    @property
    def subject(self) -> object | None:
        """The rule, or the chain whose policy, decided."""
        return self.run.decided_by

    @property
    def details(self) -> tuple[Detail, ...]:
        """Every rule the packet was held against."""
        return tuple(
            Detail(
                f"chain {met.chain}, rule {_rule_name(met.rule, met.chain)}: "
                + ("applies" if met.failed is None else f"does not apply, {missed(met.rule, met.failed, met.chain, self.run)}"),
                met.rule,
            )
            for met in self.run.met
        )


def _rule_name(rule: NftRule, chain: str) -> str:
    return f'"{rule.comment}"' if rule.comment else written(rule, chain)


def _state_name(state: CtState) -> str:
    return f"ct state {state.name.lower()}" if state.name else "ct state"


def rewrites_of(before: Packet, after: Packet) -> tuple[str, ...]:
    """Return what changed between two versions of a packet, one clause each."""
    changes = []
    for name in ("source", "destination", "source_port", "destination_port", "ttl", "tos", "mss"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes.append(f"{name.replace('_', ' ')} {old} becomes {new}")
    if before.mark != after.mark:
        changes.append(f"mark {before.mark:#x} becomes {after.mark:#x}")
    if before.icmp is not None and after.icmp is not None and before.icmp.quoted != after.icmp.quoted:
        changes.append(f"the quoted packet becomes {after.icmp.quoted}")
    return tuple(changes)


def _looks_damaged(run: HookRun) -> bool:
    """Whether a reject cannot verify the check sum of a fragment, and so says nothing.

    After `nf_send_unreach`, `nf_send_unreach6` and `nf_reject_ip_tcphdr_get`. A fragment that connection tracking of an earlier namespace
    put together with the others is known to be good (`skb_csum_unnecessary`); the kernel forgets that when it cuts anew, and a reset does
    not ask for it.
    """
    return not run.before.checked or run.reject is None or run.reject.type == "tcp reset"


def _within_icmp_reply(t: Transit, hook: Hook) -> bool:
    """Whether the kernel is just sending an echo reply: it does so under a lock of its own ICMP socket, which an error would need too.

    So the error is not sent (`icmp_xmit_lock` in net/ipv4/icmp.c takes the lock or gives up).
    """
    echo = t.made_here and t.packet.icmp is not None and t.packet.icmp.answers
    return echo and hook in ("output", "postrouting")


def waits_alone(visit: Visit, t: Transit, stage: Stage, device: str | None) -> bool:
    """Whether a packet is the first piece of one whose others are lost, which here waits for them in vain: nobody hears of it for 30 s."""
    if t.packet.alone:
        visit.note(stage, Plain("waits for its other pieces, which are lost"), device)
    return t.packet.alone


_POLICIES: dict[Hook, frozenset[str]] = {
    "input": frozenset(("in",)),
    "forward": frozenset(("fwd", "out")),
    "output": frozenset(("out",)),
    "postrouting": frozenset(("out",)),
}
"""Where XFRM policies are asked: a packet that is forwarded meets those of both kinds (`xfrm4_policy_check`, `xfrm4_route_forward`)."""


def _demand_no_policy(visit: Visit, packet: Packet, hook: Hook) -> None:
    """Raise Undecided for a packet that an XFRM policy may be for; its ports are not looked at."""
    for policy in visit.node.namespace.policies:
        if (
            policy.direction in _POLICIES.get(hook, ())
            and packet.source in policy.source
            and packet.destination in policy.destination
            and policy.ip_protocol in (None, packet.protocol)
        ):
            raise Undecided(f"an XFRM policy ({policy.direction}, {policy.action}) is not modelled", policy)


def pass_hook(
    journey: Journey, visit: Visit, t: Transit, hook: Hook, *, iif: str | None, oif: str | None, was_local: bool, arrived_by: str | None
) -> bool:
    """Let a packet pass a hook; return whether it goes on. A hook where nothing is registered leaves no step."""
    if t.packet.alone and visit.node.ruleset.of(t.packet.version).tracks and waits_alone(visit, t, _STAGES[hook], iif or oif):
        return False
    _demand_no_policy(visit, t.packet, hook)
    run = run_hook(t, hook, iif=iif, oif=oif)
    if run is None:
        return True
    if hook == "postrouting" and run.passed:
        _demand_no_policy(visit, run.after, hook)  # translated, it is looked up again (`nf_xfrm_me_harder`)
    if run.rest is not None:
        visit.note(_STAGES[hook], Filtering(run.rest), iif or oif, run.before, run.after)
        text = f"all but the first piece: {Filtering(run.rest).sentence}"
        reason = Reason.REJECTED if run.rest.reject is not None else Reason.NETFILTER
        journey.drop(visit, _STAGES[hook], iif or oif, reason, run.rest.decided_by, text)
    visit.note(_STAGES[hook], Filtering(run), iif or oif, run.before, run.after)
    if run.passed:
        return True
    if run.reject is not None and not (run.in_parts and _looks_damaged(run)) and not _within_icmp_reply(t, hook):
        sending = rejection(t, run.reject, arrived_by=arrived_by, was_local=was_local and hook != "prerouting")
        if sending is not None:
            journey.answers.append(sending)
    reason = Reason.REJECTED if run.reject is not None else Reason.NAT if run.why else Reason.NETFILTER
    journey.drop(visit, _STAGES[hook], iif or oif, reason, run.decided_by, Filtering(run).sentence)
    return False
