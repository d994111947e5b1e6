from __future__ import annotations

from lab.cluster.names import endpoint_chain, felix_chain, service_chain, service_port_name, vtep_mac, workload_device


def test_the_chain_of_the_api_service_is_the_one_every_cluster_has() -> None:
    assert service_chain(service_port_name("default", "kubernetes", "https"), "tcp") == "KUBE-SVC-NPX46M4PTMTKRN6Y"


def test_the_chains_of_cluster_dns_are_the_ones_every_cluster_has() -> None:
    assert service_chain(service_port_name("kube-system", "kube-dns", "dns"), "udp") == "KUBE-SVC-TCOU7JCQXEZGVUNU"
    assert service_chain(service_port_name("kube-system", "kube-dns", "dns-tcp"), "tcp") == "KUBE-SVC-ERIFXISQEP7F7OF4"


def test_the_chain_of_an_endpoint_has_a_name_iptables_can_hold() -> None:
    name = endpoint_chain("default/web-1", "tcp", "10.46.104.194:8080")
    assert name.startswith("KUBE-SEP-")
    assert len(name) <= 28


def test_a_pods_device_is_named_by_the_hash_of_its_namespace_and_name() -> None:
    assert workload_device("default", "nginx") == "calic440f455693"
    assert len(workload_device("default", "a-very-long-name-of-a-pod")) == 15
    assert workload_device("a", "b") != workload_device("b", "a")


def test_a_vteps_mac_begins_with_an_f() -> None:
    assert vtep_mac("c1-w1").startswith("66:")


def test_a_long_policy_name_is_hashed_to_fit() -> None:
    assert felix_chain("cali-pi-", "default.short") == "cali-pi-default.short"
    assert len(felix_chain("cali-pi-", "default.a-policy-with-a-long-name")) == 28
