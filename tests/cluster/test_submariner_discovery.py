"""How an operator arrives at the ranges of its cluster, version by version and source by source."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from lab.cluster.submariner.discovery import Discovered, Refusal, discover, discover_improved
from lab.cluster.submariner.objects import Subnet
from lab.cluster.submariner.operator import refusal_of_service
from lab.cluster.submariner.versions import behaviour
from lab.errors import Place
from lab.state import ApiObject, Provenance

ANSWER = refusal_of_service(Subnet(IPv4Network("10.45.0.0/16")))


def node(name: str, pod_cidr: str, tunnel: str = "") -> ApiObject:
    written = Provenance("topology", f"node {name}", place=Place("two-clusters.yaml", 90))
    body = {"spec": {"podCIDR": pod_cidr}, "metadata": {"annotations": {"projectcalico.org/IPv4VXLANTunnelAddr": tunnel} if tunnel else {}}}
    return ApiObject("cluster-1", "Node", name, body=body, provenance=written)  # type: ignore[arg-type]


def component(name: str, *, command: tuple[str, ...] = (), args: tuple[str, ...] = ()) -> ApiObject:
    container = {"name": name, "command": list(command), "args": list(args)}
    return ApiObject("cluster-1", "Pod", f"{name}-c1-gw", "kube-system", {"component": name}, {"spec": {"containers": [container]}})  # type: ignore[arg-type]


def pool(cidr: str, name: str = "default-ipv4-ippool", **spec: object) -> ApiObject:
    labels = {"submariner.io/ippool": "true"} if name.startswith("submariner-") else {}
    return ApiObject("cluster-1", "IPPool", name, "", labels, {"spec": {"cidr": cidr, **spec}})  # type: ignore[arg-type]


def block(cidr: str, owner: str = "c1-gw") -> ApiObject:
    return ApiObject(
        "cluster-1", "IPAMBlock", cidr.replace(".", "-").replace("/", "-"), body={"spec": {"cidr": cidr, "affinity": f"host:{owner}"}}
    )


CALICO = ApiObject("cluster-1", "DaemonSet", "calico-node", "calico-system")
OLD_CALICO = ApiObject("cluster-1", "ConfigMap", "calico-config", "kube-system")
POOL = pool("10.46.0.0/16")
ONE_NODE = (node("c1-gw", "10.46.0.0/24"),)
THREE_NODES = (*ONE_NODE, node("c1-w1", "10.46.1.0/24"), node("c1-w2", "10.46.2.0/24"))
IN_COMMAND = component("kube-controller-manager", command=("kube-controller-manager", "--cluster-cidr=10.46.0.0/16"))
IN_ARGS = component("kube-controller-manager", args=("--cluster-cidr=10.46.0.0/16",))
PROXY_IN_COMMAND = component("kube-proxy", command=("/bin/sh", "-c", "exec kube-proxy --cluster-cidr=10.46.0.0/16 --v=2"))
PROXY_IN_ARGS = component("kube-proxy", args=("--cluster-cidr=10.46.0.0/16",))

RANGE, FIRST_NODE, NOTHING = "10.46.0.0/16", "10.46.0.0/24", None


@pytest.mark.parametrize(
    ("there", "v0_15", "v0_17", "v0_19"),
    [
        pytest.param((*ONE_NODE, IN_COMMAND), RANGE, RANGE, RANGE, id="kubeadm: flags in command"),
        pytest.param((*THREE_NODES, IN_COMMAND), RANGE, RANGE, RANGE, id="kubeadm, three nodes"),
        pytest.param((*ONE_NODE, IN_ARGS), FIRST_NODE, FIRST_NODE, RANGE, id="rke2 with one node: flags in args"),
        pytest.param((*THREE_NODES, IN_ARGS), FIRST_NODE, NOTHING, RANGE, id="rke2 with three nodes"),
        pytest.param(ONE_NODE, FIRST_NODE, FIRST_NODE, FIRST_NODE, id="k3s with one node: no such pods"),
        pytest.param(THREE_NODES, FIRST_NODE, NOTHING, NOTHING, id="k3s with three nodes"),
        pytest.param((*THREE_NODES, PROXY_IN_COMMAND), RANGE, RANGE, RANGE, id="only kube-proxy, inside a shell's command"),
        pytest.param((*THREE_NODES, PROXY_IN_ARGS), FIRST_NODE, NOTHING, RANGE, id="only kube-proxy, in args"),
        pytest.param((*ONE_NODE, POOL, CALICO), FIRST_NODE, FIRST_NODE, FIRST_NODE, id="an IPPool is never read"),
    ],
)
def test_pod_range(there: tuple[ApiObject, ...], v0_15: str | None, v0_17: str | None, v0_19: str | None) -> None:
    for version, expected in (("0.15.0", v0_15), ("0.17.0", v0_17), ("0.19.0", v0_19)):
        found = discover(there, behaviour(version), ANSWER).pods.network
        assert found == (IPv4Network(expected) if expected else None), version


def test_the_looks_say_why_0_17_ends_at_the_only_node() -> None:
    found = discover((*ONE_NODE, IN_ARGS, PROXY_IN_ARGS), behaviour("0.17.0"), ANSWER).pods
    assert [look.source for look in found.looks] == [
        "--cluster-cidr of pod component=kube-controller-manager",
        "--cluster-cidr of pod component=kube-proxy",
        "node.spec.podCIDR of the only node",
    ]
    assert "it is in args, which are not read" in found.looks[0].remark
    reason = found.provenance("submariner operator of cluster-1")
    assert "discovered 10.46.0.0/24 by step “node.spec.podCIDR of the only node”" in reason.reason
    assert reason.places() == (Place("two-clusters.yaml", 90),)


def test_the_looks_say_why_0_17_finds_nothing_in_three_nodes() -> None:
    found = discover(THREE_NODES, behaviour("0.17.0"), ANSWER).pods
    assert found.network is None
    assert found.looks[-1].remark == "the cluster has 3 nodes"


@pytest.mark.parametrize(
    ("version", "there", "plugin"),
    [
        ("0.15.0", (CALICO,), "generic"),
        ("0.15.0", (OLD_CALICO,), "calico"),
        ("0.17.0", (CALICO,), "calico"),
        ("0.17.0", (), "generic"),
        ("0.17.0", (CALICO, ApiObject("cluster-1", "ConfigMap", "canal-config", "kube-system")), "canal-flannel"),
        ("0.19.0", (CALICO, ApiObject("cluster-1", "Pod", "ovnkube-node-x", "ovn", {"app": "ovnkube-node"})), "OVNKubernetes"),
        ("0.19.0", (ApiObject("cluster-1", "DaemonSet", "kube-flannel-ds", "kube-system"),), "flannel"),
    ],
)
def test_plugins_are_asked_in_order(version: str, there: tuple[ApiObject, ...], plugin: str) -> None:
    assert discover(there, behaviour(version), ANSWER).plugin == plugin


def test_the_service_range_is_read_from_a_refusal_where_no_flag_shows_it() -> None:
    found = discover(ONE_NODE, behaviour("0.17.0"), ANSWER).services
    assert found.network == IPv4Network("10.45.0.0/16")
    assert [look.found is None for look in found.looks] == [True, False]


def test_a_flag_of_the_api_server_comes_before_its_refusal() -> None:
    flag = component("kube-apiserver", command=("--service-cluster-ip-range=10.99.0.0/16",))
    assert discover((flag,), behaviour("0.17.0"), ANSWER).services.network == IPv4Network("10.99.0.0/16")


REAL = (
    CALICO,
    POOL,
    pool("10.42.0.0/24", "submariner-cluster-2-10.42.0.0-24", disabled=True),
    block("10.46.10.0/26"),
    block("10.46.104.192/26", "c1-w1"),
    node("c1-gw", "10.46.0.0/24", tunnel="10.46.10.0"),
    node("c1-w1", "10.46.1.0/24", tunnel="10.46.104.192"),
    IN_ARGS,
)


def improved(*there: ApiObject) -> Discovered | Refusal:
    return discover_improved("cluster-1", there, behaviour("0.17.0"), ANSWER)


def test_improved_discovery_takes_the_enabled_pool() -> None:
    found = improved(*REAL)
    assert isinstance(found, Discovered)
    assert found.pods.network == IPv4Network("10.46.0.0/16")
    assert found.plugin == "calico"


def test_improved_discovery_needs_only_the_pool() -> None:
    found = improved(CALICO, POOL, *ONE_NODE)
    assert isinstance(found, Discovered)
    assert found.pods.network == IPv4Network("10.46.0.0/16")


def test_improved_discovery_falls_back_to_flags_in_args() -> None:
    found = improved(*THREE_NODES, IN_ARGS)
    assert isinstance(found, Discovered)
    assert found.pods.network == IPv4Network("10.46.0.0/16")


@pytest.mark.parametrize(
    ("intruder", "named"),
    [
        pytest.param(block("10.50.0.64/26", "c1-w9"), "block of node c1-w9 says 10.50.0.64/26, outside IPPool", id="a block"),
        pytest.param(node("c1-w9", "10.46.9.0/24", tunnel="10.50.0.1"), "tunnel address of node c1-w9", id="a tunnel address"),
        pytest.param(
            component("kube-proxy", args=("--cluster-cidr=10.50.0.0/16",)), "--cluster-cidr of kube-proxy says 10.50.0.0/16", id="a flag"
        ),
        pytest.param(node("c1-w9", "10.50.9.0/24"), "podCIDR of node c1-w9 says 10.50.9.0/24", id="a podCIDR"),
        pytest.param(pool("10.60.0.0/16", "second"), "IPPool second says 10.60.0.0/16", id="a second pool"),
    ],
)
def test_improved_discovery_refuses_and_names_who_disagrees(intruder: ApiObject, named: str) -> None:
    found = improved(*REAL, intruder)
    assert isinstance(found, Refusal)
    assert named in str(found)


def test_improved_discovery_does_not_guess_from_podcidrs_alone() -> None:
    assert isinstance(improved(*THREE_NODES), Refusal)


def test_two_pools_that_join_into_one_range_are_one_answer() -> None:
    found = improved(pool("10.46.0.0/17", "low"), pool("10.46.128.0/17", "high"))
    assert isinstance(found, Discovered)
    assert found.pods.network == IPv4Network("10.46.0.0/16")
