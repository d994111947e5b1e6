"""A near miss is a promise: with exactly that edit, and no other, the decision would have been another one."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.forwarding import Network, trace
from lab.forwarding.fib import Lookup
from lab.forwarding.generate import random_flows, random_state
from lab.forwarding.why import NearMiss, near_misses
from lab.state import Route, State


def lookups(conversation: Any) -> list[tuple[str, Lookup]]:
    found = []
    for traced in conversation.traces:
        for hop, step in traced.steps:
            answer = getattr(step.decision, "lookup", None)
            if isinstance(answer, Lookup):
                found.append((hop.namespace, answer))
    return found


def edited(state: State, namespace: str, miss: NearMiss) -> State:
    """The state with the one edit a near miss speaks of."""
    old = state[namespace]
    if isinstance(miss.subject, Route):
        new = replace(old, routes=tuple(miss.edited if route is miss.subject else route for route in old.routes))
    else:
        new = replace(old, rules=tuple(miss.edited if rule is miss.subject else rule for rule in old.rules))
    return replace(state, namespaces={**state.namespaces, namespace: new})


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_every_near_miss_of_a_random_network_flips_its_decision(seed: int) -> None:
    random = Random(seed)
    state = random_state(random)
    network = Network(state)
    for flow in random_flows(random, state, 5):
        for namespace, answer in lookups(trace(network, flow)):
            for miss in near_misses(answer):
                after = Network(edited(state, namespace, miss)).node(namespace).fib.lookup(answer.query)
                assert (after.rule, after.route, after.error) != (answer.rule, answer.route, answer.error), miss.text


def test_the_sentence_says_by_how_many_bits_and_where_the_packet_falls_instead(row: Any) -> None:
    row.route("r", "10.42.0.0/24 via 10.2.0.2 dev right", "default via 10.1.0.2 dev left")
    conversation = row.trace("a", "10.42.1.7")
    texts = [detail.text for hop, step in conversation.request.steps if hop.namespace == "r" for detail in step.details]
    assert (
        "10.42.1.7 misses 10.42.0.0/24 via 10.2.0.2 dev right by 1 bit: as 10.42.0.0/23 it would take the packet;"
        " it falls to default via 10.1.0.2 dev left"
    ) in texts


def test_a_rule_that_fails_by_one_selector_is_named_with_it(row: Any) -> None:
    row.route("r", "default via 10.2.0.2 dev right table 7").rule("r", "100: from 10.1.0.0/24 fwmark 0x1 lookup 7")
    conversation = row.trace("a", "10.9.0.9")
    texts = [detail.text for hop, step in conversation.request.steps if hop.namespace == "r" for detail in step.details]
    assert any("misses by its fwmark only (mark 0x0 is not 0x1)" in text for text in texts), texts
