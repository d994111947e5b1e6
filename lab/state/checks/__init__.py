"""What cannot be in a state: what the kernel would refuse, or what refers to something that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import InputError, InputErrors, did_you_mean
from lab.state.checks.devices import address_mistakes, link_mistakes, name_mistake
from lab.state.checks.mistake import Mistake
from lab.state.checks.routing import fdb_mistakes, neighbour_mistakes, nexthop_mistakes, route_mistakes, rule_mistakes
from lab.state.checks.rulesets import table_mistakes
from lab.state.checks.services import listener_mistakes, program_mistakes, sysctl_mistakes
from lab.state.network import Namespace, State

__all__ = ["check", "mistakes"]


def check(state: State) -> None:
    """Raise InputErrors with every mistake of a state, in the order of their places; return when there is none."""
    found = list(mistakes(state))
    if found:
        raise InputErrors(found)


def mistakes(state: State) -> Iterator[InputError]:
    """Yield every mistake of a state, each with the place its provenance leads to."""
    for key, namespace in state.namespaces.items():
        for mistake in (*_own_mistakes(state, key, namespace), *_mistakes(state, namespace)):
            places = mistake.provenance.places()
            yield InputError(f"namespace {namespace.name}: {mistake.message}", place=places[0] if places else None, hint=mistake.hint)


def _own_mistakes(state: State, key: str, namespace: Namespace) -> Iterator[Mistake]:
    why = namespace.provenance
    if key != namespace.name:
        yield Mistake(f"it is filed under the name {key}", why)
    problem = name_mistake(namespace.name, longest=255)
    if problem is not None:
        yield Mistake(f"its name {problem}: ip-netns(8) makes a file of it", why)
    if namespace.parent is not None and namespace.parent not in state.namespaces:
        yield Mistake(
            f"its parent {namespace.parent} is not there", why, did_you_mean(namespace.parent, list(state.namespaces), "namespace")
        )


def _mistakes(state: State, namespace: Namespace) -> Iterator[Mistake]:
    yield from link_mistakes(state, namespace)
    yield from address_mistakes(namespace)
    yield from nexthop_mistakes(namespace)
    yield from route_mistakes(namespace)
    yield from rule_mistakes(namespace)
    yield from neighbour_mistakes(namespace)
    yield from fdb_mistakes(namespace)
    yield from table_mistakes(namespace)
    yield from sysctl_mistakes(namespace)
    yield from listener_mistakes(namespace)
    yield from program_mistakes(namespace)
