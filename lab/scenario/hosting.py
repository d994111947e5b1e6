"""A lab that stays: what it answers while it runs in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.errors import InputError
from lab.explain.as_json import explanation_json, journey_json
from lab.kernel.control import JSON
from lab.kernel.holder import Operation
from lab.kernel.sandbox import Report, Sandbox
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.changes import Live
from lab.scenario.inquiry import inquire
from lab.scenario.lookup import find_address, find_namespace
from lab.scenario.questions import seen_in_words
from lab.scenario.stage import EngineName, RunningLab
from lab.state import State
from lab.state.codec import dump_state


def host(sandbox: Sandbox, state: State, actions: Sequence[Live] = (), *, engine: EngineName = "lab") -> Mapping[str, Operation]:
    """Build a state in a sandbox, and return the operations its lab answers until it ends."""
    lab = RunningLab(sandbox, engine=engine)
    lab.__enter__()  # for as long as the sandbox is: its end is the lab's
    lab.reach(state, actions)

    def read_state(arguments: Mapping[str, JSON], report: Report) -> JSON:
        return dump_state(lab.refresh())

    def explain(arguments: Mapping[str, JSON], report: Report) -> JSON:
        """Send a probe (`request_of`) and say what came of it, why, and where its packets went."""
        found = inquire(lab, request_of(lab.target, arguments))
        return {
            "from": found.outcome.request.source,
            "to": str(arguments["to"]),
            "result": found.outcome.result,
            "seen": seen_in_words(found.outcome),
            "kernel_reports_drops": lab.sees_drops,
            "explanation": found.explanation and explanation_json(found.explanation),
            "journey": journey_json(found.journey),
        }

    def describe(arguments: Mapping[str, JSON], report: Report) -> JSON:
        return {"nodes": [namespace.name for namespace in lab.target if namespace.role != "switch"], "waits_ms": lab.waits_ms}

    return {"state": read_state, "describe": describe, "explain": explain}


def request_of(state: State, arguments: Mapping[str, JSON]) -> Request:
    """Return the probe that somebody asks for: ``from``, ``to``, ``protocol``, ``port``, ``size`` of the payload, ``df``, ``ipv6``.

    Raises InputError for a name that nobody has, and for what such a probe cannot say.
    """
    source = find_namespace(state, str(arguments["from"]))
    target = find_address(state, str(arguments["to"]), 6 if arguments.get("ipv6") else 4)
    protocol, port, size, df = (arguments.get(key) for key in ("protocol", "port", "size", "df"))
    if protocol == "icmp":
        return PingRequest(source, target, 56 if size is None else int(size), bool(df))
    if protocol == "udp":
        return UdpRequest(source, target, int(port or 53), 32 if size is None else int(size), bool(df))
    if size is not None or df:
        raise InputError("a TCP connection has neither a size nor a say in fragmentation", hint="leave out --size and --df")
    return TcpRequest(source, target, int(port or 80))
