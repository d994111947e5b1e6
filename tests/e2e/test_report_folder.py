"""`lab run --report`: what is left in the folder, that it plays again, and that nothing of anybody else's is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import pytest

from lab.report.schema import report_schema
from lab.testing import Answer
from tests.e2e.command import command, lab
from tests.e2e.junit import mistakes
from tests.spec.json_schema import valid

pytestmark = [pytest.mark.e2e, pytest.mark.once]

LEFT = {"report.html", "report.json", "junit.xml", "summary.md", "run.zip"}
SMALL = """\
scenario: %s
title: "<script>alert(1)</script> & \\"more\\""
topology: two-single-node-clusters
phases:
  joined:
    events:
      - join: {cluster: cluster-1, clustercidr: 10.46.0.0/16, servicecidr: 10.45.0.0/16}
      - join: {cluster: cluster-2, clustercidr: 10.42.0.0/16, servicecidr: 10.43.0.0/16}
    expect:
      - ping: {from: [c1-a], to: [c2-a]%s}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flagship") / "deep" / "report"


@pytest.fixture(scope="module")
def ran(folder: Path) -> Answer:
    done = lab("run", "calico-24-mismatch", "-q", "--report", str(folder))
    assert done.code == 0, done.err
    return done


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL % ("small", ""))
    return file


def test_the_flagship_leaves_a_whole_report(ran: Answer, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= LEFT | {"run.pcapng"}
    assert f"report: {folder}/report.html" in ran.out
    page = (folder / "report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert len(page.encode()) < 2_000_000
    assert len((folder / "summary.md").read_bytes()) < 1 << 20
    assert list(mistakes(ElementTree.parse(folder / "junit.xml").getroot())) == []


def test_its_report_json_keeps_to_the_published_schema(ran: Answer, folder: Path) -> None:
    schema = report_schema()
    report = json.loads((folder / "report.json").read_text())
    assert valid(report, schema, schema)
    assert [story["name"] for story in report["stories"]][:2] == ["ping c1-w1-a -> c2-w1-a", "ping c2-w1-a -> c1-w1-a"]


def test_what_the_packet_did_stands_beside_what_the_kernel_was_asked(ran: Answer, folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    request = report["stories"][0]["scenes"][1]["packets"][0]
    hops = {hop["namespace"]: hop for hop in request["hops"]}
    assert [sight["device"] for sight in hops["core-router"]["seen"]] == ["core"]
    assert hops["c1-w1"]["lookups"]
    assert "172.18.1.3" in hops["edge-1"]["seen"][0]["packet"]


def test_the_run_plays_again_and_gives_the_same_report(ran: Answer, folder: Path) -> None:
    again = lab("run", "-q", "--replay", str(folder / "run.zip"))
    assert again.code == 0
    assert "the report is the same as the recorded one" in again.err


def test_several_scenarios_have_a_folder_each_and_an_index(small: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(SMALL % ("wrong", ", result: silence"))
    done = lab("run", str(small), str(tmp_path / "wrong.yaml"), "-q", "--report", str(tmp_path / "out"))
    assert done.code == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"small", "wrong", "index.html", "index.json", "summary.md", "junit.xml"}
    assert all({path.name for path in (tmp_path / "out" / name).iterdir()} >= LEFT for name in ("small", "wrong"))
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert {entry["scenario"]: entry["verdict"]["exit_code"] for entry in index["reports"]} == {"small": 0, "wrong": 1}


def test_a_replay_that_comes_out_otherwise_says_where_and_fails(small: Path, tmp_path: Path) -> None:
    assert lab("run", str(small), "-q", "--report", str(tmp_path / "out")).code == 0
    bent = tmp_path / "bent.zip"
    with zipfile.ZipFile(tmp_path / "out" / "run.zip") as good, zipfile.ZipFile(bent, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name).replace(b"ttl=62", b"ttl=1"))
    done = lab("run", "-q", "--replay", str(bent))
    assert done.code == 1
    assert "stories[0].scenes[0].observed" in done.err


def test_a_folder_of_somebody_else_s_is_refused_before_anything_runs(small: Path, tmp_path: Path) -> None:
    done = lab("run", str(small), "--report", str(tmp_path))
    assert done.code == 2
    assert "is not empty, and holds no report" in done.err
    assert "joined" not in done.out
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("words", [(), ("small.yaml", "--replay", "run.zip")], ids=["nothing", "both"])
def test_either_a_scenario_is_named_or_a_bundle(words: tuple[str, ...]) -> None:
    assert lab("run", *words).code == 2


def test_a_kill_leaves_whole_files_or_none(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert lab("run", str(small), "-q", "--report", str(out)).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    words = command("run", str(small), "-q", "--report", str(out))
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")
    assert started.stdout is not None
    started.stdout.read(1)  # the run is over, and the report is being written
    os.kill(started.pid, signal.SIGKILL)
    started.communicate()
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == set(before)
    json.loads((out / "report.json").read_text())
    html5lib.HTMLParser(strict=True).parse((out / "report.html").read_text())
