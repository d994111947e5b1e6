"""What a discovery of a cluster's ranges found, and every place it looked at on the way."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.state.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Look:
    """One place that was looked at: `found` is None where it held no answer, and `remark` says what it held instead."""

    source: str
    remark: str
    found: IPv4Network | None = None
    provenance: Provenance | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.remark}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A range with the looks that led to it; the last look is the one that answered, where one did."""

    looks: tuple[Look, ...]

    @property
    def answer(self) -> Look | None:
        """The look that decided, if any did."""
        return next((look for look in reversed(self.looks) if look.found is not None), None)

    @property
    def network(self) -> IPv4Network | None:
        """The range, if one was found."""
        return self.answer.found if self.answer else None

    def provenance(self, component: str) -> Provenance:
        """Say who discovered the range, by which step, after which others, and from which object."""
        answer = self.answer
        if answer is None:
            return Provenance(component, "discovery found nothing: " + "; ".join(map(str, self.looks)))
        before = "; ".join(str(look) for look in self.looks[: self.looks.index(answer)])
        reason = f"discovered {answer.found} by step “{answer.source}”" + (f", after: {before}" if before else "")
        return Provenance(component, reason, because=(answer.provenance,) if answer.provenance else ())


@dataclass(frozen=True, slots=True)
class Denial:
    """What an API server answers to a Service with a ClusterIP outside its range: the text names the range of valid ones."""

    text: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Discovered:
    """A cluster's network plug-in and ranges, as its operator and `subctl join` see them."""

    plugin: str
    pods: Finding
    services: Finding


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One source that cannot be reconciled with the range that another one gives."""

    source: str
    says: str
    against: str
    provenance: Provenance | None = None

    def __str__(self) -> str:
        return f"{self.source} says {self.says}, {self.against}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Improved discovery will not guess: these sources disagree. A person says which is right with --clustercidr."""

    cluster: str
    plugin: str
    disagreements: tuple[Disagreement, ...]
    looks: tuple[Look, ...]

    def __str__(self) -> str:
        return f"the pod range of {self.cluster} is not clear: " + "; ".join(map(str, self.disagreements))
