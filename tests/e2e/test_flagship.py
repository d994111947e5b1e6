"""The flagship, from the file to the verdict, as its users run it."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.spec.yaml import read_yaml
from lab.testing import Answer
from tests.e2e.command import FLAGSHIP, SCENARIOS, VARIANTS, command, differently, expectations, lab
from tests.e2e.inversion import entries, inverted, most_aspects
from tests.sandboxed import Machine

pytestmark = pytest.mark.e2e


def read(file: Path) -> Any:
    return read_yaml(file.read_bytes(), str(file)).root.plain()


@cache
def run(who: str, *options: str) -> Answer:
    return lab("run", "calico-24-mismatch", "--json", *options, who=who)


@cache
def printed() -> Answer:
    """What the README tells to type."""
    return lab("run", "scenarios/calico-24-mismatch.yaml", who="ordinary user", cwd=SCENARIOS.parent)


WITNESSES = [
    pytest.param("root", (), id="root, with BPF", marks=pytest.mark.root),
    pytest.param("root", ("--no-bpf",), id="root, without BPF", marks=pytest.mark.root),
    pytest.param("ordinary user", (), id="ordinary user"),
]


class TestAsItIsShipped:
    @pytest.mark.parametrize(("who", "options"), WITNESSES)
    def test_all_expectations_hold(self, who: str, options: tuple[str, ...]) -> None:
        done = run(who, *options)
        assert done.code == 0, done.err[-2000:] + "\n".join(differently(done.json) if done.out else [])
        assert done.json["conclusion"] == "all expectations hold"
        assert done.json["same"]["differences"] == []
        assert done.json["rootless"] is (who == "ordinary user")
        assert [phase["name"] for phase in done.json["phases"]] == ["healthy", "broken", "routes-only", "fixed"]

    @pytest.mark.root
    def test_whoever_runs_it_sees_the_same(self) -> None:
        def seen(who: str, *options: str) -> list[Any]:
            return [
                (e["kind"], e["expected"], e["status"], [f["subject"] for f in e["findings"]])
                for e in expectations(run(who, *options).json)
            ]

        assert seen("root") == seen("ordinary user")
        assert seen("root") == seen("root", "--no-bpf")

    @pytest.mark.root
    def test_only_bpf_hears_the_kernel_tell_of_drops(self) -> None:
        assert run("root").json["kernel_reports_drops"]
        assert not run("root", "--no-bpf").json["kernel_reports_drops"]

    def test_it_says_where_worker_pods_packets_die_once_routes_are_corrected(self) -> None:
        phase = next(phase for phase in run("ordinary user").json["phases"] if phase["name"] == "routes-only")
        finding = next(f for e in phase["expectations"] for f in e["findings"] if f["subject"] == "c1-w1-a -> c2-w1-a")
        assert finding["probe"]["lost"]["at"] == "c2-w1:vxlan.calico"

    def test_it_lists_the_commands_that_correct_it(self) -> None:
        commands = {(c["node"], c["command"]) for c in run("ordinary user").json["commands"]["commands"]}
        assert ("c1-w1", "ip route replace 10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static") in commands
        assert ("c1-w1", "sysctl -w net/ipv4/conf/vxlan.calico/rp_filter=2") in commands

    def test_a_person_reads_what_held_and_what_came_out(self) -> None:
        done = printed()
        assert done.code == 0
        assert "✓ broken  Joined without flags while each cluster had one node  63 expectations hold\n" in done.out
        assert "says 10.128.11.126" in done.out
        assert len(done.out.splitlines()) < 80
        assert "fixed behaves as healthy does" in done.out
        assert "all expectations hold" in done.out.splitlines()[-1]

    def test_who_wants_all_of_it_gets_it(self) -> None:
        done = lab("run", "calico-24-mismatch", "--verbose", who="ordinary user")
        assert "  ✓ ping c1-*-a -> c2-*-a: host-unreachable from 10.128.11.126" in done.out
        assert "    ip route replace 10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static\n" in done.out

    def test_two_runs_at_once_do_not_meet(self) -> None:
        started = [subprocess.Popen(command("run", "-q", str(FLAGSHIP)), stdout=subprocess.PIPE, text=True, cwd="/") for _ in range(2)]
        ended = [(process.communicate()[0].splitlines()[-1], process.returncode) for process in started]
        assert [code for _, code in ended] == [0, 0], ended

    def test_the_machine_is_as_it_was(self, host_unchanged: Machine) -> None:
        process = subprocess.Popen(command("run", "-q", str(FLAGSHIP)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
        host_unchanged.check()  # while it runs
        process.communicate()
        assert process.returncode == 0

    def test_the_variants_hold_as_well(self) -> None:
        done = lab("run", "flagship-variants", "--json", who="ordinary user")
        runs = {run["scenario"].removeprefix("flagship-variants-"): run for run in done.json}
        assert {name: differently(run) for name, run in runs.items() if run["exit_code"]} == {}
        assert list(runs) == list(read(VARIANTS)["variants"])
        assert done.code == 0


FLAGSHIP_ENTRIES = list(entries(read(FLAGSHIP)))


@pytest.mark.once
class TestUpsideDown:
    """Whatever one expectation states, the run fails when it is stated otherwise, and nothing else fails with it."""

    @pytest.mark.parametrize("number", range(most_aspects(read(FLAGSHIP))))
    def test_everything_stated_otherwise_fails_and_nothing_else(self, number: int, tmp_path: Path) -> None:
        turned, which = inverted(read(FLAGSHIP), number)
        done = _run_written(tmp_path, turned)
        statuses = [e["status"] for e in expectations(done.json)]
        wrong = [
            f"{entry}: {status}: {expectation['expected']}: {[f['detail'] for f in expectation['findings']]}"
            for entry, status, turn, expectation in zip(FLAGSHIP_ENTRIES, statuses, which, expectations(done.json), strict=True)
            if status != ("failed" if turn else "held")
        ]
        assert not wrong, "\n".join(wrong)
        assert done.code == 1

    def test_so_does_every_variant(self, tmp_path: Path) -> None:
        shipped = read(VARIANTS)
        turned = {name: inverted(variant, 0) for name, variant in shipped["variants"].items()}
        done = _run_written(tmp_path, {**shipped, "variants": {name: variant for name, (variant, _) in turned.items()}})
        wrong = [
            f"{name}: {expectation['expected']}"
            for (name, (_, which)), run in zip(turned.items(), done.json, strict=True)
            for expectation, turn in zip(expectations(run), which, strict=True)
            if (expectation["status"] == "failed") is not turn
        ]
        assert not wrong, "\n".join(wrong)

    @pytest.mark.parametrize(
        ("written", "otherwise"),
        [
            ("result: unreachable\n          icmp: host-unreachable", "result: silence\n          icmp: host-unreachable"),
            ("icmp_source: 10.128.11.126\n          seen_as: node", "icmp_source: 10.128.11.127\n          seen_as: node"),
            ("node: c1-w1, name: IPReversePathFilter, change: 1", "node: c1-w1, name: IPReversePathFilter, change: 2"),
            (
                "component: submariner-routeagent, contains: unable to find CNI Interface, present: false",
                "contains: unable to find CNI Interface",
            ),
        ],
        ids=["result", "ICMP source", "counter", "log"],
    )
    def test_a_single_one_is_named_with_its_line(self, written: str, otherwise: str, tmp_path: Path) -> None:
        text = FLAGSHIP.read_text()
        assert written in text
        file = tmp_path / "turned.yaml"
        file.write_text(text.replace(written, otherwise, 1))
        line = text[: text.index(written)].rstrip("\n").count("\n") + 1
        while not text.splitlines()[line - 1].startswith("      - "):
            line -= 1
        done = lab("run", str(file), "--junit", str(tmp_path / "junit.xml"))
        assert done.code == 1
        failures = [said for said in done.out.splitlines() if f"{file}:{line}:" in said]
        assert failures, done.out
        assert done.out.count("\n  ✗ ") == 1
        assert f"expected at {file}:{line}:" in (tmp_path / "junit.xml").read_text()

    def test_a_fix_that_fails_is_called_that(self, tmp_path: Path) -> None:
        scenario = read(FLAGSHIP)
        scenario["phases"]["fixed"]["events"].pop()  # only cluster-1 is joined again
        done = _run_written(tmp_path, scenario)
        assert done.code == 1
        assert done.json["conclusion"] == "the fix failed: fixed is not as expected"
        assert any(d["flow"] == "ping c1-w1-a -> c2-w1-a" for d in done.json["same"]["differences"])

    def test_a_symptom_that_does_not_show_is_called_that(self, tmp_path: Path) -> None:
        scenario = read(FLAGSHIP)
        scenario["phases"]["broken"] |= {"events": scenario["phases"]["healthy"]["events"], "absent": []}
        done = _run_written(tmp_path, scenario)
        assert done.code == 1
        assert done.json["conclusion"] == "the symptom was not reproduced: broken is not as expected"


def _run_written(folder: Path, scenario: Any) -> Answer:
    file = folder / "turned.yaml"
    file.write_text(json.dumps(scenario, indent=1))
    return lab("run", str(file), "--json")


def test_every_scenario_that_is_shipped_can_be_checked_without_privileges() -> None:
    for file in SCENARIOS.glob("*.yaml"):
        done = lab("check", str(file), who="ordinary user")
        assert done.code == 0, done.err


def test_the_run_recorded_in_the_readme_looks_like_a_run() -> None:
    """What a run prints at the margin; explanations, times, numbers of probes and who ran it may differ.

    `sudo scripts/record-run` records it anew.
    """
    readme = (SCENARIOS.parent / "README.md").read_text()
    begin = "<!-- recorded run: begin -->\n```console\n$ sudo lab run scenarios/calico-24-mismatch.yaml\n"
    recorded = readme.partition(begin)[2].partition("```\n")[0]
    assert re.findall(r"\(/[^)]*", recorded) == [], "a file is named by its place on the machine that recorded it"
    assert _at_the_margin(recorded) == _at_the_margin(printed().out)


def _at_the_margin(text: str) -> list[str]:
    return [re.sub(r"\(\d+ probes, .*", "", line).rstrip() for line in text.splitlines() if line.strip() and not line.startswith("    ")]
