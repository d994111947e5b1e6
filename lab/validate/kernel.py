"""A real kernel for what the model does not know: commands carried out in a sandbox, and packets sent to see whether predictions hold."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Final

from lab.errors import InputError
from lab.explain.prediction import expected_result
from lab.forwarding import Reason, trace
from lab.kernel.engine import Engine
from lab.kernel.recognition import without_learned
from lab.kernel.sandbox import Sandbox, finish
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.stage import RunningLab
from lab.state import Namespace, State, difference_of_namespaces, without_bare_ipv6
from lab.validate.change import Step, Typed, make
from lab.validate.fates import Asked, Key, Kind, Survey
from lab.validate.result import Emulated

SECONDS: Final = 10
"""How long a command may take."""
MOST_PROBES: Final = 240
"""How many flows are sent for real, in each of the two states."""
_PARTS: Final = ("links", "addresses", "nexthops", "routes", "rules", "neighbours", "fdb", "tables")


class KernelCarrier:
    """Carries out steps on a kernel that is first brought to the state before, and reads back what came of it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._engine = Engine(sandbox)

    def __call__(self, state: State, step: Step) -> State:
        """Return the state after a step. Raises InputError where the kernel refuses it."""
        self._engine.apply(state)
        before = self._engine.read_back()
        assert isinstance(step.does, Typed)
        assert step.node is not None
        run_typed(self.sandbox, step.node, step)
        self._engine.settle(step.node)
        after = self._engine.refresh()
        return replace(state, namespaces={name: _moved(state[name], before[name], after[name]) for name in state.namespaces})

    def clear(self) -> None:
        """Remove everything that was built."""
        self._engine.apply(State())


def _moved(stated: Namespace, before: Namespace, after: Namespace) -> Namespace:
    """Return a namespace as it is stated, with what was seen to change changed."""
    if before == after:
        return stated
    moved = {path: value for path, value in after.sysctls.items() if before.sysctls.get(path) != value}
    read = without_learned(without_bare_ipv6(after), stated)
    return replace(stated, sysctls={**stated.sysctls, **moved}, **{part: getattr(read, part) for part in _PARTS})


def run_typed(sandbox: Sandbox, node: str, step: Step) -> None:
    """Run a typed command in a node: no shell, no file, nothing but the node's own network. Raises InputError when it fails."""
    assert isinstance(step.does, Typed)
    argv = [word.text for word in step.does.words]
    if argv[0] == "echo":
        return
    text = "".join(f"{line.text}\n" for line in step.does.script)
    process = sandbox.spawn(node, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, confined=True)
    try:
        output, _ = finish(process, text, SECONDS)
    except subprocess.TimeoutExpired:
        raise InputError(f"`{' '.join(argv)}` was still running on {node} after {SECONDS} s", place=step.place) from None
    if process.returncode:
        said = output.decode(errors="replace").strip()
        raise InputError(f"`{' '.join(argv)}` fails on {node} with code {process.returncode}: {said}", place=step.place)


# -- packets -------------------------------------------------------------------------------------------------------


def emulate(kernel: KernelCarrier, survey: Survey, before: Asked, after: Asked, steps: Sequence[Step]) -> Emulated:
    """Build the state before, send packets, make the change for real, send them again, and compare everything with what was predicted."""
    began = time.monotonic()
    keys = list(_chosen(survey, before, after))
    differences: list[str] = []
    kernel.clear()
    with RunningLab(kernel.sandbox) as lab:
        lab.reach(before.state)
        differences += _send(lab, survey, before, keys, "before")
        lab.engine.flush()  # what was learned from packets is no part of a state
        held = before.state
        for step in steps:
            held = _step(lab, held, step)
        differences += _kernel_differs(lab.read_back(), after.state)
        lab.reach(after.state)
        differences += _send(lab, survey, after, keys, "after")
    return Emulated(2 * len(keys), tuple(differences), time.monotonic() - began)


def _step(lab: RunningLab, held: State, step: Step) -> State:
    """Make a step as it would be made: a command is run, what is data is applied."""
    if isinstance(step.does, Typed) and step.does.words[0].text != "echo":
        assert step.node is not None
        run_typed(lab.sandbox, step.node, step)
        lab.engine.settle(step.node)
        lab.engine.refresh()
        return make(held, step, lambda state, _: state)
    then = make(held, step)
    lab.engine.apply(then)
    return then


def _kernel_differs(read: State, wanted: State) -> Iterator[str]:
    """Yield where the kernel holds something else than was predicted, of all that the state speaks about."""
    for namespace in wanted:
        was = without_learned(without_bare_ipv6(read[namespace.name]), namespace)
        spoken = replace(was, sysctls={path: value for path, value in was.sysctls.items() if path in namespace.sysctls})
        found = difference_of_namespaces(spoken, namespace)
        parts = [part.name for part in fields(found) if part.name in (*_PARTS, "sysctls") and getattr(found, part.name)]
        if parts:
            yield f"{namespace.name}: after the commands the kernel's {' and '.join(parts)} are not as predicted"


def _chosen(survey: Survey, before: Asked, after: Asked) -> Iterator[Key]:
    """Yield what is worth a packet: what changes first, then the rest, as far as somebody has the address; evenly over the senders.

    Programs of the distribution answer those who speak as they do, and nobody else.
    """
    owned = {entry.interface.ip for namespace in after.state for entry in namespace.addresses}
    programs = {Kind(*port) for namespace in after.state for program in namespace.programs for port in program.listens}
    there = [
        key for key in after.fates if key.source in before.state.namespaces and survey.address(key) in owned and key.kind not in programs
    ]
    sure = [
        key
        for key in there
        if "unknown" not in (before[key].answer, after[key].answer) and "depends" not in (before[key].answer, after[key].answer)
    ]
    moved = [key for key in sure if before[key] != after[key]]
    same = [key for key in sure if before[key] == after[key]]
    room = max(MOST_PROBES - len(moved[:MOST_PROBES]), MOST_PROBES // 4)
    yield from moved[:MOST_PROBES]
    yield from same[:: max(1, len(same) // room)][:room]


def _send(lab: RunningLab, survey: Survey, asked: Asked, keys: Sequence[Key], when: str) -> Iterator[str]:
    requests = [_request(survey, key) for key in keys]
    for key, outcome in zip(keys, lab.probe(requests), strict=True):
        expected = expected_result(trace(asked.network, survey.flow(key)))
        withheld = outcome.result == "silence" and (outcome.rate_limited or _rationed(asked, key))
        if expected is not None and expected != outcome.result and not withheld:
            yield f"{when} the change: {key.kind} from {key.source} to {survey.address(key)}: predicted {expected}, seen {outcome.result}"


def _rationed(asked: Asked, key: Key) -> bool:
    """Whether the error that a sender gets is one of IPv4 routing's: they run dry by client, and nothing counts that (`ip_error`)."""
    return key.version == 4 and asked[key].notices == "error" and asked[key].cause in (Reason.NO_ROUTE, Reason.UNREACHABLE, Reason.PROHIBIT)


def _request(survey: Survey, key: Key) -> Request:
    address = survey.address(key)
    if key.kind.protocol == "icmp":
        return PingRequest(key.source, address)
    return (TcpRequest if key.kind.protocol == "tcp" else UdpRequest)(key.source, address, key.kind.port)
