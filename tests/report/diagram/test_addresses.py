"""Which addresses a picture shows where there are two versions of IP."""

from __future__ import annotations

from lab.api.pictures import draw_map, draw_matrix, draw_path, draw_routes
from lab.report.diagram import mermaid
from lab.report.diagram.scene import Box, Label

NETWORK = "dual-stack-cluster"


def labels(*, ipv6: bool) -> list[str]:
    drawn = draw_path(NETWORK, "k8s-1", "k8s-2", ipv6=ipv6)
    return [element.text for element in drawn.scene.shown() if isinstance(element, Label) and element.kind == "address"]


def test_a_namespace_is_known_by_its_address_of_the_packets_version() -> None:
    assert [text.partition(" ")[0] for text in labels(ipv6=True)] == ["fd00::2", "fd00::3"]
    assert [text.partition(" ")[0] for text in labels(ipv6=False)] == ["192.168.0.2", "192.168.0.3"]


def test_so_it_is_in_a_chart() -> None:
    assert "host<br/>fd00::2" in mermaid(draw_path(NETWORK, "k8s-1", "k8s-2", ipv6=True))


def test_whoever_points_at_it_is_told_all_of_them_but_link_local_ones() -> None:
    (host,) = [e for e in draw_path(NETWORK, "k8s-1", "k8s-2").scene.shown() if isinstance(e, Box) and e.id == "ns-k8s-2"]
    assert "192.168.0.3/24 on eth0" in host.title
    assert "fd00::3/64 on eth0" in host.title
    assert "fe80" not in host.title
    assert "::1/128" not in host.title


def test_a_map_tells_a_nodes_and_a_pods_second_address() -> None:
    titles = {e.title for e in draw_map(NETWORK).shown() if isinstance(e, Box | Label) and e.title}
    assert "node k8s-2 192.168.0.3 fd00::3, 1 pods" in titles
    assert [title for title in titles if title.startswith("pod-3 10.244.") and " fd01:" in title]


def test_routes_of_ipv6_have_a_picture_of_their_own() -> None:
    told = draw_routes("dual-stack-fault-kinds", "k8s-1", ipv6=True).ground.description
    assert "fd01::80 - fd01::bf: fd01::80/122 via fd00::3 dev eth0" in told
    assert "fd01::41: fd01::41/128 dev cali" in told
    assert "10." not in told


def test_who_reaches_whom_is_asked_by_either_version() -> None:
    told = draw_matrix("calico-7183@broken", ipv6=True, sources=["pod-1", "k8s-1"], targets=["nginx", "pod-3"]).ground.description
    assert "pod-1 to nginx: arrives, the answer is lost" in told
    assert "pod-1 to pod-3: answered" in told
    assert "k8s-1 to nginx: answered" in told
    hidden = draw_matrix("calico-7183@broken", sources=["pod-1"], targets=["nginx"]).ground.description
    assert "pod-1 to nginx: answered" in hidden
