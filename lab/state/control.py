"""What the control planes know and say: their objects, their log lines. The kernel room ignores all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.state.provenance import UNKNOWN, Provenance

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A JSON value."""


@dataclass(frozen=True, slots=True)
class ApiObject:
    """An object of a cluster's API server (IPPool, Endpoint, ServiceImport, Node, ...), as `kubectl get -o json` shows it.

    `body` holds `spec` and `status` (JSON values); the object is named by cluster, kind, namespace and name.
    """

    cluster: str
    kind: str
    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Json] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a component wrote while it acted; lines of a state are in the order they were written."""

    cluster: str
    node: str
    component: str
    level: str
    text: str
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)
