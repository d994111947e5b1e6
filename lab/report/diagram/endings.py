"""How a packet's way ends, in a few words: the stage, the reason, the object that decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.forwarding import Dropped, Reason, Stage, Unknown
from lab.forwarding.results import Verdict
from lab.forwarding.why import describe_route, describe_rule
from lab.report.diagram.metrics import shown
from lab.state import FdbEntry, Link, Route, Rule, State
from lab.state.nft import Chain, NftRule
from lab.state.nftables import rule_text


@dataclass(frozen=True, slots=True)
class End:
    """How a way ends."""

    kind: Literal["delivered", "drop", "unknown"]
    namespace: str
    stage: str = ""
    device: str = ""
    reason: str = ""
    """In a few words."""
    matched: str = ""
    """The object that decided."""
    sentence: str = ""
    position: float = 0
    """How far through its namespace the packet came, from 0 to 1."""

    @property
    def why(self) -> str:
        """The stage and the reason, in a few words."""
        return self.reason if self.stage.lower() in self.reason.lower() else f"{self.stage}: {self.reason}"

    @property
    def place(self) -> str:
        """The namespace, and the device where there is one."""
        return f"{self.namespace}:{self.device}" if self.device else self.namespace


_PROGRESS = {
    Stage.ARRIVAL: 0.0,
    Stage.INGRESS: 0.05,
    Stage.BRIDGE: 0.5,
    Stage.ARP: 0.2,
    Stage.PREROUTING: 0.15,
    Stage.DECAPSULATION: 0.1,
    Stage.INPUT_ROUTING: 0.3,
    Stage.REVERSE_PATH: 0.4,
    Stage.TTL: 0.5,
    Stage.MTU: 0.55,
    Stage.REDIRECT: 0.6,
    Stage.FORWARD: 0.7,
    Stage.INPUT: 0.6,
    Stage.DELIVERY: 0.8,
    Stage.SOURCE: 0.2,
    Stage.OUTPUT_ROUTING: 0.4,
    Stage.OUTPUT: 0.6,
    Stage.REROUTING: 0.7,
    Stage.POSTROUTING: 0.85,
    Stage.FRAGMENTATION: 0.9,
    Stage.NEIGHBOUR: 0.95,
    Stage.ENCAPSULATION: 0.9,
    Stage.EGRESS: 0.97,
    Stage.TRANSMISSION: 1.0,
}
"""How far through its namespace a packet is at a stage."""
LEAVING = (Stage.FRAGMENTATION, Stage.NEIGHBOUR, Stage.ENCAPSULATION, Stage.EGRESS, Stage.TRANSMISSION)
"""Stages at which the packet is on the device it leaves by."""


def ending(state: State, verdict: Verdict) -> End:
    """Return what a verdict says, in the words of a picture."""
    if isinstance(verdict, Dropped):
        matched = describe(state, verdict.namespace, verdict.subject)
        if verdict.reason is Reason.RP_FILTER and isinstance(verdict.subject, Route):
            matched = f"the way back is {describe_route(verdict.subject)}"
        return End(
            "drop",
            verdict.namespace,
            str(verdict.stage),
            verdict.device or "",
            verdict.reason.text,
            shown(matched),
            shown(verdict.text),
            _PROGRESS[verdict.stage],
        )
    if isinstance(verdict, Unknown):
        return End("unknown", verdict.namespace, reason="the model cannot say", sentence=shown(verdict.why), position=0.5)
    return End("delivered", verdict.namespace)


def describe(state: State, namespace: str, subject: object | None) -> str:
    """Return an object of a state in the words of the tool that prints it."""
    match subject:
        case Route():
            return f"route {describe_route(subject)}"
        case Rule():
            return f"rule {describe_rule(subject)}"
        case NftRule():
            return f'rule "{subject.comment}"' if subject.comment else _rule(state, namespace, subject)
        case Chain():
            return f"policy of chain {subject.name}"
        case Link():
            return f"device {subject.name}, mtu {subject.mtu}"
        case FdbEntry():
            return f"FDB entry {subject.mac}" + (f" dst {subject.destination}" if subject.destination is not None else "")
        case _:
            return ""


def _rule(state: State, namespace: str, rule: NftRule) -> str:
    for table in state[namespace].tables:
        for chain in table.chains:
            if any(rule is one for one in chain.rules):
                return f"rule {rule_text(rule, table.family)} of chain {chain.name}"
    return f"rule {rule_text(rule, 'ip')}"  # of a table that the state does not have: somebody made it in the running lab
