"""Flags of Kubernetes components, as discovery looks for them in the containers of their pods.

Source: operator:pkg/discovery/network/pods.go. Only the first pod with the label is looked at; a flag counts if a word of the
container's `command` begins with it; since operator PR 3219 `args` counts as well. Of a dual-stack cluster's two ranges the gateway goes on
with the IPv4 one (submariner PR 2294).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.cluster.submariner.discovery.findings import Look
from lab.cluster.submariner.reading import members, networks, of_kind, part
from lab.state.control import ApiObject, Json
from lab.state.provenance import Provenance

CONTROLLER_MANAGER = "kube-controller-manager"
PROXY = "kube-proxy"
API_SERVER = "kube-apiserver"

POD_FLAG = "--cluster-cidr"
SERVICE_FLAG = "--service-cluster-ip-range"


def look_for_flag(objects: Sequence[ApiObject], component: str, flag: str, *, args: bool) -> Look:
    """Look for a component's flag; the remark says why it was not seen, where it was not."""
    source = f"{flag} of pod component={component}"
    pod = next((o for o in of_kind(objects, "Pod") if o.labels.get("component") == component), None)
    if pod is None:
        return Look(source, "there is no such pod")
    fields = ("command", "args") if args else ("command",)
    for field in fields:
        for word in _words(pod, field):
            if word.startswith(flag) and "=" in word:
                written = word.split("=")[1]
                reason = Provenance("kubernetes", f"pod {pod.name} has {flag}={written} in {field}", because=(pod.provenance,))
                return Look(source, f"{written}, in {field}", next(iter(networks(written.split(","))), None), reason)
    unread = "" if args or not any(word.startswith(flag) for word in _words(pod, "args")) else "; it is in args, which are not read"
    return Look(source, f"not in {' or '.join(fields)} of {pod.name}{unread}")


def _words(pod: ApiObject, field: str) -> Iterator[str]:
    for container in members(pod, "spec", "containers"):
        written: Json = part(container, field)
        for argument in written if isinstance(written, list) else []:
            if isinstance(argument, str):
                yield from argument.split(" ")
