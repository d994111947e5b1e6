"""kube-proxy's chains: from a service's address to one of its endpoints."""

from __future__ import annotations

from typing import Any

from lab.cluster.names import endpoint_chain, service_chain
from lab.spec.events import NodeAdded
from lab.state import Namespace, State
from tests.cluster.base_lab import chain, chains, compiled

WEB = service_chain("default/web-1", "tcp")
DNS = service_chain("kube-system/kube-dns:dns", "udp")


def pod(state: State, name: str) -> str:
    return str(state[name].addresses_of("eth0")[0].interface.ip)


def endpoint(state: State, name: str) -> str:
    return endpoint_chain("default/web-1", "tcp", f"{pod(state, name)}:8080")


def jumps(namespace: Namespace, name: str) -> list[str]:
    return [rule.rsplit("jump ", 1)[1] for rule in chain(namespace, "nat", name) if "jump KUBE-SEP" in rule]


class TestServices:
    def test_every_port_of_every_service_has_a_rule(self) -> None:
        assert chain(compiled()["c1-w1"], "nat", "KUBE-SERVICES") == [
            "ip daddr 10.45.0.1 tcp dport 443 jump KUBE-SVC-NPX46M4PTMTKRN6Y",
            "ip daddr 10.45.0.10 udp dport 53 jump KUBE-SVC-TCOU7JCQXEZGVUNU",
            "ip daddr 10.45.0.10 tcp dport 53 jump KUBE-SVC-ERIFXISQEP7F7OF4",
            f"ip daddr 10.45.0.100 tcp dport 80 jump {WEB}",
        ]

    def test_each_endpoint_is_chosen_with_the_same_probability(self) -> None:
        rules = chain(compiled()["c1-w1"], "nat", WEB)[1:]
        assert [rule.split(" jump")[0] for rule in rules[:2]] == ["numgen random mod 3 == 0", "numgen random mod 2 == 0"]
        assert rules[2].startswith("jump KUBE-SEP-")

    def test_clients_from_elsewhere_are_marked_for_masquerading(self) -> None:
        first = chain(compiled()["c1-w1"], "nat", WEB)[0]
        assert first == "ip saddr != 10.46.0.0/16 ip daddr 10.45.0.100 tcp dport 80 jump KUBE-MARK-MASQ"

    def test_a_pod_that_reaches_itself_is_masqueraded(self) -> None:
        state = compiled()
        address = pod(state, "c1-w1-a")
        assert chain(state["c1-w1"], "nat", endpoint(state, "c1-w1-a")) == [
            f"ip saddr {address} jump KUBE-MARK-MASQ",
            f"meta l4proto tcp dnat to {address}:8080",
        ]

    def test_the_mark_is_taken_off_before_a_tunnel_can_inherit_it(self) -> None:
        assert chain(compiled()["c1-w1"], "nat", "KUBE-POSTROUTING") == [
            "meta mark & 0x4000 == 0x0 return",
            "meta mark set meta mark ^ 0x4000",
            "masquerade fully-random",
        ]

    def test_all_nodes_of_a_cluster_know_the_same_services_and_none_of_another(self) -> None:
        state = compiled()
        assert chain(state["c1-gw"], "nat", "KUBE-SERVICES") == chain(state["c1-w2"], "nat", "KUBE-SERVICES")
        assert not [rule for rule in chain(state["c1-gw"], "nat", "KUBE-SERVICES") if "10.43." in rule]


class TestEndpoints:
    def test_pods_of_absent_nodes_are_no_endpoints(self) -> None:
        state = compiled(None, absent=("c1-w1", "c1-w2"))
        assert jumps(state["c1-gw"], WEB) == [endpoint(state, "c1-gw-a")]

    def test_pods_of_a_node_that_joins_become_endpoints_on_every_node(self) -> None:
        state = compiled(None, NodeAdded(node="c1-w1"), absent=("c1-w1", "c1-w2"))
        for node in ("c1-gw", "c1-w1"):
            assert set(jumps(state[node], WEB)) == {endpoint(state, "c1-gw-a"), endpoint(state, "c1-w1-a")}

    def test_a_service_without_endpoints_is_refused(self) -> None:
        state = compiled(None, absent=("c1-gw",))
        assert DNS not in chains(state["c1-w1"], "nat")
        assert "ip daddr 10.45.0.10 udp dport 53 reject" in chain(state["c1-w1"], "filter", "KUBE-SERVICES")

    def test_names_resolve_through_the_service_to_the_dns_pod(self) -> None:
        state = compiled()
        address = pod(state, "cluster-1-dns")
        assert chain(state["c1-w2"], "nat", endpoint_chain("kube-system/kube-dns:dns", "udp", f"{address}:53"))[1] == (
            f"meta l4proto udp dnat to {address}:53"
        )


def _slices(state: State) -> dict[str, Any]:
    return {o.name: o.body["endpoints"] for o in state.control.of("EndpointSlice", "cluster-1")}


def test_the_api_is_served_by_the_first_node_that_is_there() -> None:
    state = compiled(None, absent=("c1-gw",))
    assert _slices(state)["kubernetes"][0]["addresses"] == ["172.18.1.3"]
    assert [listener.port for listener in state["c1-w1"].listeners] == [6443]
