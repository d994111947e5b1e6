"""Which network plug-in a cluster has: Submariner's detectors, asked in its order.

Only the recognition is here: the ranges that other plug-ins than Calico state themselves (net-conf.json, IPALLOC_RANGE, ...) are not
read, except flannel's: Calico's detector asks the generic discovery and nothing else, and others do not run in the lab.
Source: operator:pkg/discovery/network/{network,openshift4,ovnkubernetes,weavenet,canal,calico,flannel,kindnet}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.cluster.submariner.reading import of_kind
from lab.cluster.submariner.versions import Behaviour
from lab.state.control import ApiObject

Objects = Sequence[ApiObject]

GENERIC = "generic"
CALICO = "calico"
FLANNEL = "flannel"


def plugin_of(objects: Objects, does: Behaviour) -> str:
    """Return the first plug-in whose mark is there; ``generic`` where none is."""
    return next((name for name, is_there in _DETECTORS if is_there(objects, does)), GENERIC)


def _openshift(objects: Objects, _: Behaviour) -> bool:
    return any(o.name == "cluster" for o in of_kind(objects, "Network"))


def _labelled_pod(key: str, label: str) -> Callable[[Objects, Behaviour], bool]:
    return lambda objects, _: any(o.labels.get(key) == label for o in of_kind(objects, "Pod"))


def _canal(objects: Objects, does: Behaviour) -> bool:
    """Until 0.17 a ConfigMap says so, later the DaemonSet's label."""
    if does.knows_canal_by_daemonset:
        return any(o.labels.get("k8s-app") == "canal" for o in of_kind(objects, "DaemonSet", "kube-system"))
    return any(o.name == "canal-config" for o in of_kind(objects, "ConfigMap", "kube-system"))


def _calico(objects: Objects, does: Behaviour) -> bool:
    if any(o.name == "calico-config" for o in of_kind(objects, "ConfigMap")):
        return True
    return does.knows_calico_by_daemonset and any(o.name == "calico-node" for o in of_kind(objects, "DaemonSet"))


def _flannel(objects: Objects, _: Behaviour) -> bool:
    return any("flannel" in o.name for o in of_kind(objects, "DaemonSet", "kube-system"))


_DETECTORS: tuple[tuple[str, Callable[[Objects, Behaviour], bool]], ...] = (
    ("OpenShiftSDN", _openshift),
    ("OVNKubernetes", _labelled_pod("app", "ovnkube-node")),
    ("weave-net", _labelled_pod("name", "weave-net")),
    ("canal-flannel", _canal),
    (CALICO, _calico),
    (FLANNEL, _flannel),
    ("kindnet", _labelled_pod("app", "kindnet")),
)
