"""Cluster DNS with servers beside it: Lighthouse's own, a resolver upstream, and whether the zone between them takes effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lab.cluster import compile as compile_clusters
from lab.errors import InputErrors
from lab.spec.check import check_topology
from lab.spec.document import Document
from lab.spec.load import validate
from lab.spec.topology import Topology
from lab.spec.yaml import read_yaml
from lab.state import State

TEXT = """
topology: names
segments: {lan: {cidr: 10.1.0.0/24}}
hosts:
  resolver: {segment: lan, address: 10.1.0.53, dns: {records: {a.example.com: [192.0.2.1]}, wildcards: {apps.example.com: 192.0.2.2}}}
  plain: {segment: lan, address: 10.1.0.54}
clusters:
  c:
    pod_cidr: 10.44.0.0/16
    service_cidr: 10.45.0.0/16
    segment: lan
    distribution: DISTRIBUTION
    dns: DNS
    nodes: {n1: {address: 10.1.0.11, gateway: true, pods: {a: {}}}}
submariner: {}
"""


def document(dns: str, distribution: str = "rke2") -> Document:
    return read_yaml(TEXT.replace("DNS", dns).replace("DISTRIBUTION", distribution).encode(), "names.yaml")


def compiled(dns: str, distribution: str = "rke2") -> State:
    loaded = validate(document(dns, distribution), Topology)
    check_topology(loaded)
    return compile_clusters(loaded.model, place=loaded.place)


def configuration(state: State, name: str) -> list[str]:
    (program,) = state[name].programs
    files: Mapping[str, Any] = program.files
    return str(files["dnsmasq.conf"]).splitlines()


def test_without_anything_one_server_answers_for_all_that_exists() -> None:
    lines = configuration(compiled("{}"), "c-dns")
    assert {"local=/cluster.local/", "local=/clusterset.local/", "address=/#/", "host-record=resolver,10.1.0.53"} <= set(lines)
    assert not [line for line in lines if line.startswith("server=")]


@pytest.mark.parametrize(("distribution", "imports", "forwards"), [("rke2", True, True), ("rke2", False, False), ("kubeadm", False, True)])
def test_the_zone_of_lighthouse_takes_effect_where_the_corefile_has_or_imports_it(distribution: str, imports: bool, forwards: bool) -> None:
    state = compiled(f"{{lighthouse: 10.45.0.53, upstream: resolver, imports: {str(imports).lower()}}}", distribution)
    lines = configuration(state, "c-dns")
    assert ("server=/clusterset.local/10.45.0.53" in lines) is forwards
    assert "server=10.1.0.53" in lines
    assert {"local=/clusterset.local/", "address=/#/"} <= set(configuration(state, "c-lighthouse"))


def test_a_resolver_knows_hosts_records_and_wildcards() -> None:
    state = compiled("{upstream: resolver, search: [apps.example.com]}")
    assert "address=/apps.example.com/192.0.2.2" in configuration(state, "resolver")
    (program,) = state["resolver"].programs
    assert "192.0.2.1 a.example.com\n" in program.files["names"]
    assert (
        state["a"]
        .files["/etc/resolv.conf"]
        .startswith("search default.svc.cluster.local svc.cluster.local cluster.local apps.example.com\n")
    )


@pytest.mark.parametrize(
    ("dns", "said"),
    [
        ("{upstream: plain}", "there is no DNS server 'plain'"),
        ("{upstream: resolvr}", "did you mean 'resolver'?"),
        ("{lighthouse: 10.46.0.53}", "10.46.0.53 lies outside the service CIDR 10.45.0.0/16"),
    ],
)
def test_what_leads_nowhere_is_refused(dns: str, said: str) -> None:
    with pytest.raises(InputErrors) as caught:
        compiled(dns)
    assert said in "\n".join(f"{mistake} {mistake.hint}" for mistake in caught.value.errors)
