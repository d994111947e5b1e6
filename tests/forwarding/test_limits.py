"""What the model does not know is written down, and nothing else is unknown to it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from random import Random

import lab.forwarding
from lab.forwarding import Memory, Network, trace
from lab.forwarding.generate import random_flows, random_state


def test_whatever_is_unknown_in_random_networks_is_listed_with_its_reason() -> None:
    listed = tomllib.loads((Path(lab.forwarding.__file__).parent / "limits.toml").read_text())
    says = [entry["says"] for entry in listed["unknown"]]
    for seed in range(60):
        random = Random(seed)
        state = random_state(random, mixed=True)
        network, memory = Network(state), Memory()
        for flow in random_flows(random, state, 10):
            conversation = trace(network, flow, memory=memory)
            memory = conversation.memory
            if conversation.outcome.kind == "unknown":
                assert any(text in conversation.outcome.why for text in says), conversation.outcome.why


def test_every_entry_gives_a_reason() -> None:
    listed = tomllib.loads((Path(lab.forwarding.__file__).parent / "limits.toml").read_text())
    assert all(entry["reason"] for entry in (*listed["unknown"], *listed["difference"]))


def test_the_documents_list_the_same() -> None:
    document = Path(__file__).parents[2] / "docs" / "limits.md"
    listed = tomllib.loads((Path(lab.forwarding.__file__).parent / "limits.toml").read_text())
    rows = [(entry.get("says") or entry["what"], entry["reason"]) for entry in (*listed["unknown"], *listed["difference"])]
    assert all(f"| {what} | {reason} |" in document.read_text() for what, reason in rows)
