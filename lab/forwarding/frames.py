"""Rules that see frames: at the ports of a bridge (family bridge), at a device (netdev), and around ARP messages (arp).

After net/bridge/br_input.c, br_forward.c, `__netif_receive_skb_core`, `nf_hook_egress` and net/ipv4/arp.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lab.forwarding.causes import Reason
from lab.forwarding.hooks import Filtering
from lab.forwarding.journey import Journey, Visit
from lab.forwarding.netfilter.hooks import HookRun, evaluate, evaluate_later_fragment
from lab.forwarding.netfilter.ruleset import CompiledChain
from lab.forwarding.netfilter.transit import LinkType, Transit
from lab.forwarding.packet import Arp, Frame, Packet
from lab.forwarding.results import Stage
from lab.forwarding.unknown import Undecided

FrameHook = Literal["ingress", "egress", "prerouting", "input", "forward", "output", "postrouting"]
_STAGES: dict[FrameHook, Stage] = {
    "ingress": Stage.INGRESS,
    "egress": Stage.EGRESS,
    "prerouting": Stage.PREROUTING,
    "input": Stage.INPUT,
    "forward": Stage.FORWARD,
    "output": Stage.OUTPUT,
    "postrouting": Stage.POSTROUTING,
}


def pass_chains(
    journey: Journey,
    visit: Visit,
    chains: Sequence[CompiledChain],
    hook: FrameHook,
    frame: Frame,
    mark: int,
    *,
    iif: str | None = None,
    oif: str | None = None,
    link_type: LinkType = "host",
) -> int | None:
    """Let a frame pass chains; return its mark, which they may have changed, or None where one of them drops it."""
    for chain in chains:
        passed = _pass_chain(journey, visit, chain, hook, frame, mark, iif, oif, link_type)
        if passed is None:
            return None
        mark = passed
    return mark


def _pass_chain(
    journey: Journey,
    visit: Visit,
    chain: CompiledChain,
    hook: FrameHook,
    frame: Frame,
    mark: int,
    iif: str | None,
    oif: str | None,
    link_type: LinkType,
) -> int | None:
    payload = frame.payload
    before = payload._replace(mark=mark) if isinstance(payload, Packet) else _message(payload, mark)
    t = Transit(journey.world, visit.node, before, iif, oif, hook, link_type=link_type, frame=frame)
    try:
        ruling = evaluate(chain, t)
        in_parts = before.fragment is not None and not before.alone
        if ruling.verdict == "accept" and in_parts and evaluate_later_fragment(chain, t, before).verdict != "accept":
            raise Undecided("what becomes of the first piece of a packet whose others it drops is not modelled")
    except Undecided as unknown:
        why = f"nft table {chain.table.family} {chain.table.name} sees frames, and {unknown.why}"
        raise Undecided(why, unknown.subject or chain.chain) from None
    run = HookRun(hook, ruling.verdict, before, t.packet, ruling.chain, ruling.decided_by, ruling.reject, considered=tuple(t.met))
    if ruling.verdict == "reject":
        why = f"nft table {chain.table.family} {chain.table.name} sees frames, and what a reject there sends is not modelled"
        raise Undecided(why, ruling.decided_by)
    device = oif or iif  # `__br_forward` has given the frame its new device by then
    told = before if isinstance(payload, Packet) else None
    visit.note(_STAGES[hook], Filtering(run), device, told, t.packet if told is not None else None)
    if run.passed:
        return t.packet.mark
    journey.drop(visit, _STAGES[hook], device, Reason.NETFILTER, run.decided_by, Filtering(run).sentence)
    return None


def _message(arp: Arp, mark: int) -> Packet:
    """What stands for an ARP message where rules look at packets: nothing of it is read but its mark (`frames.of_frame`)."""
    return Packet(arp.sender, arp.target, 0, size=0, mark=mark)
