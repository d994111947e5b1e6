"""Probes of a dual-stack cluster: which of its addresses a name stands for, and what is compared between phases."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import compile
from lab.errors import InputError
from lab.probe import DnsRequest, HttpRequest
from lab.scenario.cast import Cast
from lab.scenario.compare import flows
from lab.scenario.lookup import find_address
from lab.scenario.questions import probe_in_words, questions
from lab.scenario.truth import kinds_of_flows
from lab.scenario.words import in_words
from lab.spec.events import History
from lab.spec.expectations import Expectation
from lab.spec.load import load_topology
from lab.state import State

TOPOLOGY = load_topology(Path(__file__).parents[2] / "topologies" / "dual-stack-cluster.yaml").model


@cache
def cast() -> Cast:
    return Cast.of(compile(TOPOLOGY, History()), TOPOLOGY)


def state() -> State:
    return cast().state


def asked(**kind: Any) -> list[Any]:
    """The requests that an expectation comes to."""
    return [question.request for question in questions(Expectation.model_validate(kind).body, cast())]


class TestNames:
    def test_a_service_stands_for_its_ipv4_address_unless_ipv6_is_asked_for(self) -> None:
        assert (str(find_address(state(), "service/web")), str(find_address(state(), "service/web", 6))) == ("10.96.0.100", "fd02::64")

    @pytest.mark.parametrize(
        ("service", "version", "message"),
        [("six", 4, "the service 'six' has no IPv4 address"), ("four", 6, "the service 'four' has no IPv6 address")],
    )
    def test_one_that_it_has_not_is_a_mistake(self, service: str, version: int, message: str) -> None:
        with pytest.raises(InputError, match=message):
            find_address(state(), f"service/{service}", version)

    def test_a_pod_is_reached_at_its_own_address_not_at_a_link_local_one(self) -> None:
        assert str(find_address(state(), "pod-1", 6)).startswith("fd01:")
        assert str(find_address(state(), "k8s-1", 6)) == "fd00::2"


class TestQuestions:
    def test_a_probe_over_ipv6_goes_to_ipv6_addresses(self) -> None:
        (request,) = asked(tcp={"from": ["pod-1"], "to": ["service/web"], "port": 80, "ipv6": True})
        assert str(request.target) == "fd02::64"

    def test_curl_is_told_which_addresses_to_ask_for(self) -> None:
        urls = [("http://web/", {}), ("http://web/", {"ipv6": True}), ("http://[fd02::64]/", {})]
        requests = [request for url, more in urls for request in asked(http={"from": ["pod-1"], "url": url, **more})]
        assert requests == [
            HttpRequest("pod-1", "http://web/"),
            HttpRequest("pod-1", "http://web/", ipv6=True),
            HttpRequest("pod-1", "http://[fd02::64]/", ipv6=True),
        ]

    def test_a_name_is_asked_for_by_type(self) -> None:
        assert asked(dns={"from": ["pod-1"], "name": "web", "type": "AAAA"}) == [DnsRequest("pod-1", "web", "AAAA")]

    def test_reports_say_so(self) -> None:
        expectation = Expectation.model_validate({"dns": {"from": ["pod-1"], "name": "web", "type": "AAAA"}})
        assert in_words(expectation.body) == "pod-1 asks for AAAA of web: NOERROR"
        assert probe_in_words(DnsRequest("pod-1", "web", "AAAA")) == "dns AAAA pod-1 asks for web"
        assert probe_in_words(HttpRequest("pod-1", "http://web/", ipv6=True)) == "http over IPv6 pod-1 -> http://web/"


class TestComparison:
    def test_phases_are_compared_by_both_versions(self) -> None:
        names = {flow.name for flow in flows(cast())}
        assert {
            "ping pod-1 -> pod-3",
            "ping over IPv6 pod-1 -> pod-3",
            "tcp pod-1 -> service/web",
            "tcp over IPv6 pod-1 -> service/web",
        } < names
        assert {name for name in names if "pod-2 -> service" in name} == {
            "tcp pod-2 -> service/web",
            "tcp over IPv6 pod-2 -> service/web",
            "tcp pod-2 -> service/four",
            "tcp over IPv6 pod-2 -> service/six",
        }

    def test_so_are_combinations_of_a_sweep(self) -> None:
        kinds = [kind for kind, _ in kinds_of_flows(state())]
        assert sorted(kinds) == ["within cluster: pods"] * 2 + ["within cluster: pods over IPv6"] * 2
