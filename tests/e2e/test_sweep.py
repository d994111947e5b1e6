"""`lab run --sweep`: what packets find is what the model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import lab

pytestmark = pytest.mark.e2e

SWEEP = ("--sweep", "detected=/16,/24", "--sweep", "side=both,one", "--json")


def works(truth: Any) -> Any:
    return [(row["values"], row["works"]) for row in truth["rows"]]


@pytest.mark.kernel
def test_packets_and_model_agree_on_every_combination(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    tried = lab("run", "calico-24-mismatch", *SWEEP, "--csv", str(table))
    assert (tried.code, tried.err) == (0, "")
    assert tried.json["predicted"] is False
    predicted = lab("run", "calico-24-mismatch", *SWEEP, "--predict")
    assert works(tried.json) == works(predicted.json)
    assert len(table.read_text().splitlines()) == 5


@pytest.mark.once
def test_options_of_a_sweep_belong_to_a_sweep() -> None:
    assert lab("run", "calico-24-mismatch", "--predict").code == 2
    assert lab("run", "a", "b", "--sweep", "mtu=1").code == 2
    wrong = lab("run", "calico-24-mismatch", "--sweep", "rp_filter=9", "--predict")
    assert (wrong.code, "--sweep rp_filter=9:1:1: " in wrong.err) == (2, True)
