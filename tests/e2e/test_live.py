"""Packets for other tools: pcapng files of a run, and a running lab's packets live."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.command import command, lab

pytestmark = [pytest.mark.e2e, pytest.mark.kernel]


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    name = f"live-{uuid4().hex[:8]}"
    assert lab("up", "three-in-a-row", "--name", name).code == 0
    yield name
    lab("down", name)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[str]:
    """The same with routers that hold packets."""
    name, file = f"live-{uuid4().hex[:8]}", tmp_path / "far.yaml"
    change = "impairment: {on: [r1, r2], device: middle, delay: 400}"
    file.write_text(f"scenario: far\ntopology: three-in-a-row\nphases:\n  far:\n    changes:\n      - {change}\n    expect: []\n")
    assert lab("up", str(file), "--name", name).code == 0
    yield name
    lab("down", name)


def begun(name: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a command that goes on until it is ended."""
    return subprocess.Popen(command(*words[:1], name, *words[1:]), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def interrupted(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """End it as Ctrl-C does; returns what it said last."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.decode(), err.decode()


def test_watch_shows_a_packet_on_its_way_whoever_sent_it(running: str) -> None:
    watching = begun(running, "watch")
    assert watching.stderr is not None
    assert watching.stdout is not None
    assert b"watching" in watching.stderr.readline()
    assert lab("exec", running, "a", "--", "ping", "-c", "1", "192.0.2.130").code == 0
    lines = [watching.stdout.readline().decode() for _ in range(2)]
    assert "ICMP echo request 192.0.2.2 > 192.0.2.130: >a:eth0 r1:left> >r1:middle r2:middle> >r2:right b:eth0>" in lines[0]
    assert "ICMP echo reply 192.0.2.130 > 192.0.2.2: >b:eth0" in lines[1]
    interrupted(watching)


def test_watch_takes_a_packet_that_waits_in_a_link_for_one(far: str) -> None:
    watching = begun(far, "watch")
    assert watching.stderr is not None
    assert watching.stdout is not None
    assert b"watching 4 namespaces" in watching.stderr.readline()
    assert lab("exec", far, "a", "--", "ping", "-c", "1", "-W", "30", "192.0.2.130").code == 0
    lines = [watching.stdout.readline().decode() for _ in range(2)]
    assert lines[0].endswith("request 192.0.2.2 > 192.0.2.130: >a:eth0 r1:left> >r1:middle r2:middle> >r2:right b:eth0>\n")
    assert lines[1].endswith("reply 192.0.2.130 > 192.0.2.2: >b:eth0 r2:right> >r2:middle r1:middle> >r1:left a:eth0>\n")
    interrupted(watching)


def test_capture_feeds_tcpdump_while_it_goes_on(running: str) -> None:
    with (
        begun(running, "capture", "r1", "middle") as capturing,
        subprocess.Popen(
            ["tcpdump", "-lnr", "-", "icmp"], stdin=capturing.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as reading,
    ):
        seen = b""
        while b"echo reply" not in seen:  # until the capture has begun nobody sees a packet
            lab("exec", running, "a", "--", "ping", "-c", "1", "192.0.2.130")
            seen += _what_is_there(reading)
        capturing.send_signal(signal.SIGINT)
        assert capturing.wait(60) == 0
        assert reading.wait(60) == 0
    assert b"192.0.2.2 > 192.0.2.130: ICMP echo request" in seen


def _what_is_there(reading: subprocess.Popen[bytes]) -> bytes:
    assert reading.stdout is not None
    os.set_blocking(reading.stdout.fileno(), False)
    return reading.stdout.read() or b""


def test_a_device_that_is_not_there_is_said_with_the_nearest(running: str) -> None:
    done = lab("capture", running, "r1", "middel")
    assert done.code == 2
    assert "'r1' has no device 'middel'" in done.err
    assert "middle" in done.err


def test_an_observed_trace_of_a_running_lab_says_that_it_went_through_a_copy(running: str) -> None:
    said = lab("trace", running, "a", "b", "--observe")
    assert said.code == 0, said.err
    assert f"The packet went through a copy of what {running} holds" in said.out
    assert f"`lab explain {running} a b`" in said.out


def test_a_fault_typed_by_hand_is_explained_for_a_person_and_for_a_machine(running: str) -> None:
    assert lab("explain", running, "a", "b").code == 0
    assert lab("exec", running, "r1", "--", "ip", "route", "add", "blackhole", "192.0.2.130").code == 0
    done = lab("explain", running, "a", "b", "-v")
    assert done.code == 1
    assert "the request ends at r1:left, input routing: the blackhole route 192.0.2.130/32 takes 192.0.2.130" in done.out
    assert "put by hand, or by a program that the lab does not know" in done.out
    found = lab("explain", running, "a", "192.0.2.130", "--proto", "udp", "--json").json
    assert found["explanation"]["cause"]["object"]["text"] == "blackhole 192.0.2.130/32"
    assert [p["device"] for p in found["journey"]["passages"] if p["part"] == "request"] == ["eth0", "left"]
    assert lab("exec", running, "r1", "--", "ip", "route", "del", "blackhole", "192.0.2.130").code == 0


def test_a_run_is_one_file_that_other_tools_read(tmp_path: Path) -> None:
    scenario, file = tmp_path / "s.yaml", tmp_path / "run.pcapng"
    phases = {
        "healthy": {"expect": [{"ping": {"from": ["a"], "to": ["b"]}}]},
        "broken": {
            "changes": [{"route": {"on": ["r1"], "to": "192.0.2.130/32", "type": "blackhole"}}],
            "expect": [{"ping": {"from": ["a"], "to": ["b"], "result": "silence"}}],
        },
    }
    scenario.write_text(json.dumps({"scenario": "s", "topology": "three-in-a-row", "phases": phases}))
    tmp_path.chmod(0o777)
    assert lab("run", "-q", str(scenario), "--pcap", str(file)).code == 0
    info = subprocess.run(["capinfos", str(file)], capture_output=True, text=True, check=True)
    assert not info.stderr
    assert "Strict time order:   True" in info.stdout
    asked = (
        'frame.comment contains "phase=broken" && frame.comment contains "ping a -> 192.0.2.130" && frame.comment contains "part=request"'
    )
    fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"]
    rows = subprocess.run(["tshark", "-r", str(file), "-Y", asked, *fields], capture_output=True, text=True, check=True).stdout.splitlines()
    first, *_ = rows
    assert first.startswith('a:eth0\tphase=broken probe="ping a -> 192.0.2.130" part=request hop=1 verdict="silence; ')
    assert {row.partition("\t")[0] for row in rows} == {"a:eth0", "r1:left"}
