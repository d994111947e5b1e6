"""Sweeps: keys are read, laid over the topology, and refused where they mean nothing; the model's truth table says what works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.api.inputs import joined, open_input
from lab.api.sweeping import sweep_file
from lab.errors import InputError
from lab.forwarding import Flow
from lab.forwarding.watched import WatchedNetwork
from lab.report.truth import truth_csv, truth_json
from lab.scenario.phases import find_stage
from lab.scenario.predictor import Predictor
from lab.scenario.sweep import Combination, Swept, combinations, read_axes
from lab.scenario.truth import Count, Row, Truth


def swept_of(file: str) -> Swept:
    name, _, phase = file.partition("@")
    given = open_input(name, phase or None)
    if given.scenario is None:
        return Swept(given.topology, joined(given.topology.model))
    return Swept.of_stage(given.scenario, given.topology, find_stage(given.scenario.model, given.phase))


def test_values_are_listed_or_ranged_and_multiplied() -> None:
    axes = read_axes(["detected=/16../18,/24", "side=both,one", "segments.core.mtu=1400"])
    assert [axis.values for axis in axes] == [("/16", "/17", "/18", "/24"), ("both", "one"), ("1400",)]
    found = [str(one) for one in combinations(axes)]
    assert len(found) == 8
    assert found[1] == "detected=/16, side=one, segments.core.mtu=1400"


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        (["mtu"], "expected KEY=V1,V2"),
        (["mtu=1,,2"], "expected KEY=V1,V2"),
        (["cabel=vxlan"], "did you mean 'cable'?"),
        (["cable=vxlan", "cable=libreswan"], "cable is swept twice"),
        (["side=one"], "add --sweep detected="),
        (["detected=/26../16"], "is no range"),
        (["detected=/16", "side=cluster-11"], "did you mean 'cluster-1'?"),
        (["detected=/99"], "expected a prefix length"),
        (["cable=vxla"], "did you mean 'vxlan'?"),
        (["segments.*.mtu=9"], "at least 576"),
        (["submariner.cabel=x"], "did you mean 'cable'?"),
        (["routers.edge-11.sysctls.rp_filter=1"], "did you mean 'edge-1'?"),
        (["mtu=1..999999"], "has 999999 values, and at most 10000"),
        (["mtu=1..9000", "rp_filter=0..2"], "at most 10000"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_means_nothing_is_refused_before_anything_runs(sweep: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        sweep_file("two-clusters", sweep, predict=True)
    assert told in str(caught.value)


def test_the_model_says_what_works_with_which_detected_range() -> None:
    truth = sweep_file("calico-24-mismatch", ["detected=/16,/24", "side=both,one"], predict=True, at_once=1)
    words = {str(row.combination): {kind: str(count) for kind, count in row.counts.items()} for row in truth.rows}
    assert set(words["detected=/16, side=both"].values()) == set(words["detected=/16, side=one"].values()) == {"yes"}
    there, back = words["detected=/24, side=both"], words["detected=/24, side=one"]
    assert {kind for kind, word in there.items() if word == "yes"} == {"within cluster-1: pods", "within cluster-2: pods"}
    assert {kind for kind, word in back.items() if word == "yes"} == {
        *(k for k in there if "within" in k),
        "cluster-2 to cluster-1: services",
    }


@pytest.mark.parametrize("file", ["calico-24-mismatch@broken", "three-in-a-row", "twins-with-globalnet"])
def test_what_is_kept_of_one_combination_is_what_asking_again_would_give(file: str) -> None:
    axes = ["rp_filter=1,2", "mtu=1400,1500"] if file == "three-in-a-row" else ["detected=/16,/18,/19,/24", "side=both,one", "rp_filter=1"]
    axes = [axis.replace("rp_filter", "routers.*.sysctls.rp_filter") if file == "three-in-a-row" else axis for axis in axes]
    swept, todo = swept_of(file), combinations(read_axes(axes))
    predictor = Predictor(swept)
    assert [one for one in todo if predictor.row(one) != Predictor(swept).row(one)] == []


def test_what_combinations_share_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Flow] = []
    watched = WatchedNetwork.watched
    monkeypatch.setattr(WatchedNetwork, "watched", lambda network, flow: asked.append(flow) or watched(network, flow))
    predictor = Predictor(swept_of("calico-24-mismatch"))
    for combination in combinations(read_axes(["detected=/21../24"])):
        assert predictor.row(combination).counts
    assert len(asked) == len(set(asked))


def test_two_processes_find_what_one_finds() -> None:
    axes = ["detected=/16,/24", "mtu=1400,1500"]
    one, two = (sweep_file("calico-24-mismatch", axes, predict=True, at_once=workers) for workers in (1, 2))
    assert one.rows == two.rows


def test_no_cell_of_a_csv_is_a_formula() -> None:
    row = Row(Combination({"=cmd|' /C calc'!A0": "@SUM(1)"}), {"+kind": Count(1, 2)}, "-refused")
    truth = Truth((replace(read_axes(["mtu=1500"])[0], key="=cmd|' /C calc'!A0"),), (row,), predicted=True, seconds=0)
    cells = [cell.strip('"') for line in truth_csv(truth).splitlines() for cell in line.split(",")]
    assert cells == ["'=cmd|' /C calc'!A0", "'+kind", "refused", "'@SUM(1)", "1 of 2", "'-refused"]
    assert truth_json(truth)["rows"][0]["works"] == {"+kind": {"works": 1, "tried": 2, "unknown": 0}}
