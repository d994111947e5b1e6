"""What a learner does at cause level: `subctl` and a little of `kubectl`, as words typed on a node.

They act on the clusters by the same events that scenarios have, and print what the emulated API servers hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml
from pydantic import ValidationError

from lab.cluster.diagnose import STOCK, diagnose
from lab.errors import InputError, did_you_mean, quoted
from lab.spec.events import AgentRestart, Event, FelixResync, Join, OperatorRestart
from lab.spec.topology import Topology
from lab.state import ApiObject, State

SUBCTL_HELP: Final = """\
subctl join --clusterid CLUSTER [--clustercidr CIDR] [--servicecidr CIDR] [--cable-driver vxlan|libreswan]
            [--natt=false] [--air-gapped] [--health-check=false] [--force-udp-encaps]
subctl show networks|endpoints|connections
subctl diagnose all
"""
KUBECTL_HELP: Final = """\
kubectl get KIND [NAME] [-o wide|yaml|json]     kinds: nodes, pods, services, ippools, endpoints.submariner.io, ...
kubectl logs COMPONENT                          for example submariner-routeagent
kubectl rollout restart daemonset/NAME          submariner-routeagent, submariner-gateway, calico-node
The cluster is that of the node you are on, or --context CLUSTER.
"""
_JOIN_FLAGS: Final = {
    "--clusterid": "cluster",
    "--clustercidr": "clustercidr",
    "--servicecidr": "servicecidr",
    "--cable-driver": "cable_driver",
    "--natt": "natt",
    "--air-gapped": "air_gapped",
    "--health-check": "health_check",
    "--force-udp-encaps": "force_udp_encaps",
}
_SWITCHES: Final = frozenset({"natt", "air_gapped", "health_check", "force_udp_encaps"})
_RESTARTS: Final = ("submariner-routeagent", "submariner-gateway", "submariner-operator", "calico-node")
_MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What to print, and what happens then."""

    text: str
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The clusters, seen from a node."""

    topology: Topology
    state: State
    cluster: str | None = None
    """That of the node the words are typed on."""

    def subctl(self, words: Sequence[str]) -> Answer:
        """Answer `subctl WORDS`. Raises InputError."""
        if self.topology.submariner is None:
            raise InputError("subctl: command not found", hint="there is no Submariner here")
        match list(words):
            case ["join", *flags]:
                return self._join(flags)
            case ["show", what] if what in ("networks", "endpoints", "connections"):
                return Answer(self._show(what))
            case ["diagnose", "all"]:
                found = [result for result in diagnose(self.state, self._cluster()) if result.name in STOCK]
                marks = {"pass": "✓", "fail": "✗", "warn": "⚠", "skip": "-"}
                return Answer("".join(f" {marks[result.status]} {result.title}\n" for result in found))
            case [] | ["help" | "--help" | "-h", *_]:
                return Answer(SUBCTL_HELP)
        raise InputError(f"subctl: unknown command {quoted(' '.join(words))}", hint="subctl --help")

    def kubectl(self, words: Sequence[str]) -> Answer:
        """Answer `kubectl WORDS`. Raises InputError."""
        words, cluster = self._context(words)
        match words:
            case ["get", kind, *names]:
                return Answer(self._get(cluster, kind, names))
            case ["logs", component]:
                return Answer(self._logs(cluster, component))
            case ["rollout", "restart", *what] if what:
                return self._restart(cluster, "/".join(what))
            case [] | ["help" | "--help" | "-h", *_]:
                return Answer(KUBECTL_HELP)
        raise InputError(f"kubectl: this lab does not know {quoted(' '.join(words))}", hint="kubectl --help")

    def _join(self, words: Sequence[str]) -> Answer:
        given: dict[str, object] = {}
        rest = list(words)
        while rest:
            name, equals, value = rest.pop(0).partition("=")
            if name == "broker-info.subm":
                continue
            if name not in _JOIN_FLAGS:
                raise InputError(f"subctl join: unknown flag {quoted(name)}", hint=did_you_mean(name, list(_JOIN_FLAGS), "flag"))
            key = _JOIN_FLAGS[name]
            if key in _SWITCHES:
                if value not in ("", "true", "false"):
                    raise InputError(f"subctl join: {name} is true or false, not {quoted(value)}")
                given[key] = value != "false"
            else:
                if not equals and not rest:
                    raise InputError(f"subctl join: {name} needs a value")
                given[key] = value if equals else rest.pop(0)
        cluster = given.setdefault("cluster", self._cluster())
        if cluster not in self.topology.clusters:
            raise InputError(
                f"there is no cluster {quoted(cluster)}", hint=did_you_mean(str(cluster), list(self.topology.clusters), "cluster")
            )
        try:
            event = Join.model_validate(given)
        except ValidationError as error:
            wrong = error.errors()[0]
            raise InputError(f"subctl join: {wrong['loc'][-1]}: {quoted(wrong['input'])}: expected {wrong['msg']}") from None
        return Answer(f" ✓ {cluster} has joined\n", (event,))

    def _show(self, what: str) -> str:
        cluster = self._cluster()
        if what == "networks":
            resource = next(self.state.control.of("Submariner", cluster), None)
            if resource is None:
                return f"{cluster} has not joined\n"
            status = resource.body.get("status")
            lines = [f"  {key}: {value}" for key, value in status.items() if isinstance(value, str)] if isinstance(status, dict) else []
            return "\n".join(["Discovered network details", *lines, ""])
        if what == "connections":
            gateways = self.state.control.of("Gateway", cluster)
            return "---\n".join(_yaml({"gateway": one.name, "status": one.body.get("status")}) for one in gateways) or "no gateway\n"
        endpoints = self.state.control.of("Endpoint", cluster)
        return "---\n".join(_yaml({"endpoint": one.name, "spec": one.body.get("spec")}) for one in endpoints) or "no endpoints\n"

    def _get(self, cluster: str, kind: str, words: Sequence[str]) -> str:
        names, form = [], ""
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "-o" and rest:
                form = rest.pop(0)
            elif word.startswith("-o"):
                form = word.removeprefix("-o").removeprefix("=")
            elif word in ("-A", "--all-namespaces"):
                continue
            elif word in ("-n", "--namespace") and rest:
                rest.pop(0)
            else:
                names.append(word)
        objects = [thing for thing in self.state.control.objects if thing.cluster == cluster]
        kinds = {_plural(thing.kind): thing.kind for thing in objects}
        wanted = re.sub(r"\..*", "", kind.lower())
        found_kind = kinds.get(wanted) or next((k for k in kinds.values() if k.lower() == wanted), None)
        if found_kind is None:
            raise InputError(f"the server doesn't have a resource type {quoted(kind)}", hint=did_you_mean(wanted, sorted(kinds), "kind"))
        found = [thing for thing in objects if thing.kind == found_kind and (not names or thing.name in names)]
        if names and not found:
            known = [thing.name for thing in objects if thing.kind == found_kind]
            raise InputError(f"{wanted} {quoted(names[0])} not found", hint=did_you_mean(names[0], known, "name"))
        if form in ("yaml", "json"):
            dumped = [_whole(thing) for thing in found]
            return json.dumps(dumped, indent=2) + "\n" if form == "json" else "---\n".join(map(_yaml, dumped))
        width = max((len(thing.name) for thing in found), default=4)
        return "".join(
            f"{line}\n" for line in (f"{'NAME':<{width}}  NAMESPACE", *(f"{one.name:<{width}}  {one.namespace}" for one in found))
        )

    def _logs(self, cluster: str, component: str) -> str:
        lines = [line for line in self.state.control.logs if line.cluster == cluster]
        found = [line for line in lines if line.component == component.rpartition("/")[2]]
        if not found:
            hint = did_you_mean(component, sorted({line.component for line in lines}), "component")
            raise InputError(f"{quoted(component)} has written nothing", hint=hint)
        return "".join(f"{line.node or '-'} {line.level.upper()[:1]} {line.text}\n" for line in found[-_MOST_LINES:])

    def _restart(self, cluster: str, what: str) -> Answer:
        name = what.rpartition("/")[2]
        match name:
            case "submariner-routeagent" | "submariner-gateway" if self.topology.submariner is not None:
                return Answer(f"{what} restarted\n", (AgentRestart(cluster=cluster),))
            case "submariner-operator" if self.topology.submariner is not None:
                return Answer(f"{what} restarted\n", (OperatorRestart(cluster=cluster),))
            case "calico-node":
                return Answer(f"{what} restarted\n", (FelixResync(cluster=cluster),))
        raise InputError(f"nothing called {quoted(name)} can be restarted here", hint=did_you_mean(name, _RESTARTS, "name"))

    def _context(self, words: Sequence[str]) -> tuple[list[str], str]:
        rest, cluster = list(words), None
        if "--context" in rest and rest.index("--context") + 1 < len(rest):
            at = rest.index("--context")
            cluster = rest[at + 1]
            del rest[at : at + 2]
        for at, word in enumerate(rest):
            if word.startswith("--context="):
                cluster = rest.pop(at).partition("=")[2]
                break
        if cluster is not None and cluster not in self.topology.clusters:
            raise InputError(f"no context {quoted(cluster)}", hint=did_you_mean(cluster, list(self.topology.clusters), "context"))
        return rest, cluster or self._cluster()

    def _cluster(self) -> str:
        if self.cluster is not None:
            return self.cluster
        if len(self.topology.clusters) == 1:
            return next(iter(self.topology.clusters))
        raise InputError("you are on no cluster's node here", hint="goto a node, or kubectl --context CLUSTER")


def _plural(kind: str) -> str:
    name = kind.lower()
    return name if name.endswith("s") else f"{name[:-1]}ies" if name.endswith("y") and name[-2] not in "aeiou" else f"{name}s"


def _whole(thing: ApiObject) -> dict[str, object]:
    return {"kind": thing.kind, "metadata": {"name": thing.name, "namespace": thing.namespace, "labels": dict(thing.labels)}, **thing.body}


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
