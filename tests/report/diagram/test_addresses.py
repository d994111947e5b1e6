"""Which addresses a picture shows where there are two versions of IP."""

from __future__ import annotations

from lab.api.pictures import draw_map, draw_path
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
