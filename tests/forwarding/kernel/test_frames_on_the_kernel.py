"""Rules that see frames and impaired cables, row by row on this kernel: it says what the model says.

What asks for a bridge by its name is left to the model: not every kernel has it (CONFIG_NFT_BRIDGE_META).
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from lab.explain.agreement.judge import predicted
from lab.explain.agreement.observe import Ears
from lab.forwarding import Flow, Network, trace
from lab.forwarding.generate.shape import PORT
from lab.kernel.engine import Engine
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.state import State, difference
from tests.forwarding.kernel.test_causes_on_the_kernel import quick
from tests.forwarding.test_frames import ROWS, lan


@pytest.mark.kernel
@pytest.mark.root
def test_the_kernel_does_what_the_model_says(sandbox: Sandbox) -> None:
    flows = [
        (row, Flow(row.source, IPv4Address(row.target))) for row in ROWS if "ibrname" not in repr(row.change(lan()).state["sw"].tables)
    ]
    with Engine(sandbox) as engine:
        told = {}
        for row, flow in flows:
            state = quick(row.change(lan()))
            engine.apply(state)
            engine.flush()
            assert differs(engine.read_back(), state) == "", row.name
            with Ears(sandbox, state.namespaces, PORT) as ears:
                told[row.name] = (str(ears.ask(flow)), str(predicted(trace(Network(state), flow))))
        assert {name: pair for name, pair in told.items() if pair[0] != pair[1]} == {}


def differs(read: State, state: State) -> str:
    found = difference(state, as_stated(read, state))
    return str(found) if found else ""
