"""The operator of a cluster: what it believes the ranges of its cluster to be, and since when.

It keeps its first successful discovery for as long as it lives: nodes that come later change nothing. What a person gives to
`subctl join` takes precedence, and a difference is only logged.
Source: operator:controllers/submariner/submariner_networkdiscovery.go, subctl:cmd/subctl/join.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.cluster.submariner.discovery import Denial, Discovered, Finding, Look, Refusal, discover, discover_improved
from lab.cluster.submariner.objects import Subnet
from lab.cluster.submariner.versions import Behaviour
from lab.cluster.world import v4_network
from lab.errors import InputError, Place
from lab.spec.events import JoinFlags
from lab.state.control import ApiObject, LogLine
from lab.state.provenance import Provenance

COMPONENT = "submariner-operator"

_PROBE = IPv4Address("1.1.1.1")
"""The ClusterIP that discovery asks for, in the hope of being refused."""


def refusal_of_service(valid: Subnet) -> Denial:
    """Return the API server's answer to a Service with a ClusterIP outside the service range (kubernetes pkg/registry/core/service)."""
    text = (
        f'Service "invalid-svc" is invalid: spec.clusterIPs: Invalid value: []string{{"{_PROBE}"}}: failed to allocate IP {_PROBE}: '
        f"the provided IP ({_PROBE}) is not in the valid range. The range of valid IPs is {valid}"
    )
    return Denial(text, Provenance("kubernetes", f"the API server gives services addresses of {valid}", because=(valid.provenance,)))


@dataclass(frozen=True, slots=True)
class Ranges:
    """What a cluster's pods of Submariner are started with (status.clusterCIDR, .serviceCIDR, .networkPlugin)."""

    plugin: str
    pods: Subnet
    services: Subnet
    everywhere: Subnet | None = None
    """With Globalnet: the cluster's global range, which is all that others hear of."""

    @property
    def advertised(self) -> tuple[Subnet, ...]:
        """What an Endpoint tells the other clusters."""
        return (self.services, self.pods) if self.everywhere is None else (self.everywhere,)


class Operator:
    """One cluster's operator. `look` returns the API server's objects as they are now."""

    def __init__(
        self,
        cluster: str,
        does: Behaviour,
        services: Subnet,
        look: Callable[[], Sequence[ApiObject]],
        log: Callable[[LogLine], None],
        *,
        improved: bool,
    ) -> None:
        self.cluster = cluster
        self._does = does
        self._services = services
        self._look = look
        self._log = log
        self._improved = improved
        self._cached: Discovered | None = None
        self._forced: Look | None = None
        self._joined_at: Place | None = None

    def forget(self) -> None:
        """Restart: what was discovered is gone."""
        self._cached = None

    def force(self, pods: IPv4Network, place: Place | None = None) -> None:
        """Let the next discovery answer this pod range, whatever it would have found."""
        reason = Provenance("scenario", f"event detect: discovery of {self.cluster} answers {pods}", place=place)
        self._forced = Look("the scenario's word", str(pods), pods, reason)
        self._cached = None

    def ranges(self, flags: JoinFlags, place: Place | None = None) -> Ranges | Refusal:
        """Return what the pods are started with; raises InputError where `subctl join` would ask and nobody is there to answer."""
        self._joined_at = place
        discovered = self._discover()
        pods, services = _given(flags)
        if isinstance(discovered, Refusal):
            if pods is None:
                self._say("error", f"Refusing to choose a cluster CIDR: {discovered}")
                return discovered
            discovered = Discovered(discovered.plugin, Finding(()), self._stock().services)
        decided = self._decide(discovered, pods, services)
        if decided is None:
            raise self._would_ask(discovered, pods)
        return decided

    def ranges_again(self, flags: JoinFlags) -> Ranges | None:
        """Return what a restarted operator arrives at, with the flags of the join; None where it finds nothing, and all stays."""
        discovered = self._discover()
        return None if isinstance(discovered, Refusal) else self._decide(discovered, *_given(flags))

    def _decide(self, discovered: Discovered, pods: IPv4Network | None, services: IPv4Network | None) -> Ranges | None:
        chosen_pods = self._choose("Cluster", "--clustercidr", pods, discovered.pods)
        chosen_services = self._choose("Service", "--servicecidr", services, discovered.services)
        return Ranges(discovered.plugin, chosen_pods, chosen_services) if chosen_pods and chosen_services else None

    def _would_ask(self, discovered: Discovered, pods: IPv4Network | None) -> InputError:
        what, flag, finding = ("service", "servicecidr", discovered.services) if pods else ("cluster", "clustercidr", discovered.pods)
        tried = "; ".join(map(str, finding.looks))
        return InputError(
            f"subctl join would ask for the {what} CIDR of {self.cluster}: Submariner {self._does.version} finds none ({tried})",
            hint=f"give the join a `{flag}`, or set `discovery: improved` in the topology",
            place=self._joined_at,
        )

    def _discover(self) -> Discovered | Refusal:
        if self._cached is not None:
            return self._cached
        found = discover_improved(self.cluster, self._look(), self._does, self._answer) if self._improved else self._stock()
        if self._forced is not None:
            services = found.services if isinstance(found, Discovered) else self._stock().services
            found = Discovered(found.plugin, Finding((self._forced,)), services)
            self._forced = None
        if isinstance(found, Discovered):
            self._cached = found
        return found

    def _stock(self) -> Discovered:
        return discover(self._look(), self._does, self._answer)

    @property
    def _answer(self) -> Denial:
        return refusal_of_service(self._services)

    def _choose(self, what: str, flag: str, given: IPv4Network | None, finding: Finding) -> Subnet | None:
        """Prefer what was given; log as the operator does."""
        detected, component = finding.network, f"submariner operator of {self.cluster}"
        if given is not None:
            if detected is not None and detected != given:
                self._say("error", f"The configured CIDR will take precedence, type={what} configured={given} detected={detected}")
            because = Provenance("subctl join", f"{flag} {given} for {self.cluster}", place=self._joined_at)
            return Subnet(given, Provenance(component, f"{what.lower()} CIDR {given} as configured", because=(because,)))
        if detected is None:
            self._say("info", f"No detected CIDR, type={what}")
            return None
        reason = finding.provenance(component)
        self._log(LogLine(self.cluster, "", COMPONENT, "info", f"Using detected CIDR, type={what} CIDR={detected}", reason))
        return Subnet(detected, reason)

    def _say(self, level: str, text: str) -> None:
        self._log(LogLine(self.cluster, "", COMPONENT, level, text, Provenance(f"submariner operator of {self.cluster}", "discovery")))


def _given(flags: JoinFlags) -> tuple[IPv4Network | None, IPv4Network | None]:
    pods, services = flags.clustercidr, flags.servicecidr
    return (v4_network(pods) if pods else None, v4_network(services) if services else None)
