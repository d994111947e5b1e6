"""The words of `subctl` and `kubectl` in a lesson: what they show, what they make happen, and what they say to those who mistype."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network

import pytest

from lab.errors import InputError
from lab.learn.control_plane import ControlPlane
from lab.scenario import compile_stage, find_stage
from lab.spec.events import AgentRestart, FelixResync, Join, OperatorRestart
from lab.spec.lesson_file import open_lesson


@cache
def broken(cluster: str | None = "cluster-1") -> ControlPlane:
    lesson = open_lesson("calico-24")
    state = compile_stage(lesson.topology, lesson.scenario, find_stage(lesson.scenario.model, "task-0"))
    return ControlPlane(lesson.topology.model, state, cluster)


@pytest.mark.parametrize(
    ("words", "event"),
    [
        ("join --clusterid cluster-2 --clustercidr 10.42.0.0/16", Join(cluster="cluster-2", clustercidr=IPv4Network("10.42.0.0/16"))),
        ("join broker-info.subm --clustercidr=10.46.0.0/16", Join(cluster="cluster-1", clustercidr=IPv4Network("10.46.0.0/16"))),
        ("join --natt=false --air-gapped --health-check=true", Join(cluster="cluster-1", natt=False, air_gapped=True, health_check=True)),
        ("join --cable-driver libreswan", Join(cluster="cluster-1", cable_driver="libreswan")),
    ],
)
def test_subctl_join_takes_the_flags_of_the_real_one(words: str, event: Join) -> None:
    assert broken().subctl(words.split()).events == (event,)


@pytest.mark.parametrize(
    ("what", "event"),
    [
        ("daemonset/submariner-routeagent", AgentRestart(cluster="cluster-1")),
        ("ds submariner-gateway", AgentRestart(cluster="cluster-1")),
        ("deployment/submariner-operator", OperatorRestart(cluster="cluster-1")),
        ("daemonset/calico-node", FelixResync(cluster="cluster-1")),
    ],
)
def test_what_is_restarted_is_an_event(what: str, event: object) -> None:
    assert broken().kubectl(["rollout", "restart", *what.split()]).events == (event,)


def test_what_there_is_to_see_leads_to_the_cause_and_does_not_name_it() -> None:
    assert "10.46.0.0/24" in broken().subctl(["show", "networks"]).text
    assert "10.42.0.0/24" in broken().kubectl(["get", "endpoints.submariner.io", "-o", "yaml"]).text
    assert "unable to find CNI Interface" in broken().kubectl(["logs", "submariner-routeagent"]).text
    diagnosed = broken().subctl(["diagnose", "all"]).text
    assert "✗" not in diagnosed
    assert "ranges against" not in diagnosed


def test_a_context_is_another_cluster() -> None:
    assert "c2-gw" in broken().kubectl(["--context", "cluster-2", "get", "nodes"]).text
    assert "c2-gw" in broken().kubectl(["get", "nodes", "--context=cluster-2"]).text
    with pytest.raises(InputError, match="on no cluster's node"):
        broken(None).kubectl(["get", "nodes"])


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("subctl", "join --clustrcidr 10.0.0.0/8", "did you mean '--clustercidr'"),
        ("subctl", "join --clustercidr", "needs a value"),
        ("subctl", "join --clustercidr 10.46.0.1/16", "10.46.0.0/16"),
        ("subctl", "join --clusterid cluster-11", "did you mean 'cluster-1'"),
        ("subctl", "join --natt=maybe", "true or false"),
        ("subctl", "fly", "unknown command"),
        ("kubectl", "get podz", "did you mean 'pods'"),
        ("kubectl", "get pods c1-w1-x", "did you mean 'c1-w1-a'"),
        ("kubectl", "logs submariner-routeagnt", "did you mean 'submariner-routeagent'"),
        ("kubectl", "rollout restart ds/calico-nod", "did you mean 'calico-node'"),
        ("kubectl", "delete node c1-w1", "does not know"),
        ("kubectl", "--context cluster-3 get nodes", "did you mean"),
    ],
)
def test_those_who_mistype_are_told(program: str, words: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        getattr(broken(), program)(words.split())
    assert said in str(refused.value)
