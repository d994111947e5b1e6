"""Outcomes of probes as they might have come, without any kernel."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from typing import Any

from lab.probe import (
    DnsRequest,
    Grade,
    HttpRequest,
    IcmpError,
    Loss,
    Outcome,
    Part,
    PingRequest,
    Request,
    Sighting,
    TcpRequest,
    TracerouteRequest,
)
from lab.probe.frame import Frame
from lab.scenario.cast import Cast
from lab.scenario.phases import compile_stage, find_stage
from lab.scenario.questions import Memory, Question, answer, questions
from lab.scenario.result import Finding, Status
from lab.spec import open_scenario
from lab.spec.expectations import Expectation

STRANGER = ip_address("10.128.11.126")


@cache
def cast(phase: str = "broken") -> Cast:
    """Who is who in a phase of the flagship."""
    scenario, topology = open_scenario("calico-24-mismatch")
    return Cast.of(compile_stage(topology, scenario, find_stage(scenario.model, phase)), topology.model)


def expectation(**entry: Any) -> Expectation:
    """An entry of `expect`, as a file would have it."""
    return Expectation.model_validate(entry)


def the_question(**entry: Any) -> Question:
    """The one probe that an entry asks for."""
    (question,) = questions(expectation(**entry).body, cast())
    return question


def sighting(interface: str, part: Part = "request", direction: str = "out", source: str = "10.46.247.65", time: int = 0) -> Sighting:
    namespace, _, device = interface.partition(":")
    return Sighting(time, namespace, device, direction, part, Frame(b""), False, ip_address(source), ip_address("10.42.185.1"))  # type: ignore[arg-type]


def seen_at(*interfaces: str, part: Part = "request") -> tuple[Sighting, ...]:
    return tuple(sighting(interface, part, time=number) for number, interface in enumerate(interfaces))


def ping(result: str = "reply", **more: Any) -> Outcome:
    """The outcome of a ping from c1-w1-a, which was seen to leave it."""
    request = PingRequest("c1-w1-a", cast().address("c2-w1-a"))
    return _outcome(request, result, {"sightings": seen_at("c1-w1-a:eth0"), **more})


def tcp(result: str = "reply", **more: Any) -> Outcome:
    return _outcome(TcpRequest("c1-w1-a", cast().address("c2-w1-a"), 8080), result, {"sightings": seen_at("c1-w1-a:eth0"), **more})


def http(result: str = "reply", **more: Any) -> Outcome:
    return _outcome(HttpRequest("c1-w1-a", "http://www.example.com/"), result, {"sightings": seen_at("c1-w1-a:eth0"), **more})


def dns(result: str = "reply", **more: Any) -> Outcome:
    return _outcome(DnsRequest("c1-w1-a", "nginx.default.svc.clusterset.local"), result, more)


def traceroute(*hops: str) -> Outcome:
    request = TracerouteRequest("c1-w1-a", cast().address("c2-w1-a"))
    return _outcome(request, "unreachable", {"hops": tuple(None if hop == "*" else ip_address(hop) for hop in hops)})


def _outcome(request: Request, result: str, more: dict[str, Any]) -> Outcome:
    return replace(Outcome(request, "silence", 1_000_000), result=result, **more)


def unreachable(source: str = str(STRANGER), code: int = 1) -> dict[str, Any]:
    """What an ICMP error makes of an outcome."""
    return {"icmp": IcmpError(3, code, ip_address(source))}


def lost_at(interface: str, part: Part = "request") -> dict[str, Any]:
    namespace, _, device = interface.partition(":")
    return {"loss": Loss(namespace, device, part, Grade.LAST_SEEN)}


def judged(outcome: Outcome, *, memory: Memory | None = None, moved: dict[str, int] | None = None, **entry: Any) -> Finding:
    """What becomes of an entry whose one probe comes out like this."""
    return answer(the_question(**entry), outcome, cast(), memory or Memory(), moved)


def status(outcome: Outcome, **entry: Any) -> Status:
    return judged(outcome, **entry).status
