"""Which names a cluster answers for."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.cluster.api import ApiServer
from lab.cluster.dns import Zones, dns_server, zones
from lab.cluster.objects import EndpointSlice, Service, ServiceImport, ServicePort
from lab.state.provenance import UNKNOWN
from tests.cluster.base_lab import compiled

PORTS = (ServicePort(80, 8080),)
IN_1, IN_2, IN_3 = IPv4Address("10.45.0.100"), IPv4Address("10.43.0.100"), IPv4Address("10.55.0.100")


def imported(*, into: str, **addresses: IPv4Address) -> ApiServer:
    """Return the API server of a cluster that imported `web`, whose address in each cluster is given."""
    api = ApiServer(into, calico_api=True)
    api.create(ServiceImport("web", "default", PORTS))
    for cluster, address in addresses.items():
        name = cluster.replace("_", "-")
        labels = {"multicluster.kubernetes.io/service-name": "web", "multicluster.kubernetes.io/source-cluster": name}
        api.create(EndpointSlice(f"web-{name}", "default", (address,), PORTS, labels))
    return api


def answers(known: Zones, name: str) -> list[IPv4Address]:
    return [address for known_name, address in known.addresses if known_name == name]


class TestNames:
    def test_a_local_service_is_known_by_its_full_name(self) -> None:
        api = ApiServer("cluster-1", calico_api=True)
        api.create(Service("web", "shop", IN_1, PORTS))
        assert answers(zones(api, "cluster.local", ()), "web.shop.svc.cluster.local") == [IN_1]

    def test_a_cluster_that_exports_a_service_itself_prefers_its_own(self) -> None:
        known = zones(imported(into="cluster-1", cluster_1=IN_1, cluster_2=IN_2), "cluster.local", {"cluster-2"})
        assert answers(known, "web.default.svc.clusterset.local") == [IN_1]

    def test_others_get_all_clusters_that_are_connected(self) -> None:
        known = zones(imported(into="cluster-1", cluster_2=IN_2, cluster_3=IN_3), "cluster.local", {"cluster-2"})
        assert answers(known, "web.default.svc.clusterset.local") == [IN_2]

    def test_a_name_whose_clusters_are_all_away_exists_without_an_address(self) -> None:
        known = zones(imported(into="cluster-1", cluster_2=IN_2), "cluster.local", ())
        assert known.empty == ("web.default.svc.clusterset.local",)
        assert answers(known, "web.default.svc.clusterset.local") == []

    def test_a_cluster_asked_for_by_name_answers_whether_connected_or_not(self) -> None:
        known = zones(imported(into="cluster-1", cluster_2=IN_2), "cluster.local", ())
        assert answers(known, "cluster-2.web.default.svc.clusterset.local") == [IN_2]

    def test_an_import_without_slices_is_no_name(self) -> None:
        assert zones(imported(into="cluster-1"), "cluster.local", ()) == Zones((), ())


class TestServer:
    def test_the_server_runs_in_a_pod_and_is_ready_on_udp_and_tcp(self) -> None:
        (program,) = compiled()["cluster-1-dns"].programs
        assert program.listens == (("udp", 53), ("tcp", 53))
        assert "10.45.0.100 web-1.default.svc.cluster.local\n" in program.files["names"]
        assert "host-record=www.example.com,203.0.113.254" in program.files["dnsmasq.conf"].splitlines()

    @pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="dnsmasq is not installed")
    def test_dnsmasq_accepts_its_configuration(self, tmp_path: Path) -> None:
        program = dns_server(
            Zones((("a.svc.cluster.local", IN_1),), ("b.svc.clusterset.local",)), "cluster.local", [("x.y", IN_2)], UNKNOWN
        )
        for name, text in program.files.items():
            (tmp_path / name).write_text(text.replace("{scratch}", str(tmp_path)))
        command = [argument.replace("{scratch}", str(tmp_path)) for argument in program.argv]
        checked = subprocess.run([*command, "--test"], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr.strip()) == (0, "dnsmasq: syntax check OK.")
