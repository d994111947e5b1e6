"""`lab validate` as a person and a CI system call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest

from tests.e2e.command import lab
from tests.validate.small import saved, small

pytestmark = pytest.mark.e2e

GOOD = "r1: ip route add blackhole 10.99.0.0/16\n"
BAD = "@h2\nip route del default\nip route add default via 10.2.0.1\nr2: ip route replace blackhole 10.1.0.0/24\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can read, unlike pytest's."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def net(folder: Path) -> str:
    return saved(small().state, folder)


def change(folder: Path, text: str, name: str = "change.txt") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.once
def test_the_exit_code_is_the_verdict_in_every_form(net: str, folder: Path) -> None:
    good, bad = change(folder, GOOD, "good"), change(folder, BAD, "bad")
    ran = lab("validate", net, "--change", good)
    assert (ran.code, ran.err) == (0, "")
    assert "does what is intended, and nothing else" in ran.out
    files = [str(folder / name) for name in ("out.xml", "out.md", "undo.txt")]
    ran = lab("validate", net, "--change", bad, "--steps", "--json", "--junit", files[0], "--markdown", files[1], "--undo", files[2])
    assert ran.code == 1
    assert ran.json["exit_code"] == 1
    assert {check["name"] for check in ran.json["checks"] if check["status"] == "failed"} >= {"nothing-lost"}
    assert [step["node"] for step in ran.json["steps"]] == ["h2", "h2", "r2"]
    assert ran.json["steps"][0]["interrupted"]
    suites = ElementTree.parse(files[0]).getroot()
    assert int(suites.get("failures", 0)) == len(suites.findall(".//failure")) > 1
    assert Path(files[1]).read_text().startswith("## ❌ ")
    back = lab("validate", net, "--change", bad, "--format", "markdown")
    assert (back.code, "| from | to |" in back.out) == (1, True)
    assert "@r2\nip route replace 10.1.0.0/24 via 10.12.0.1" in Path(files[2]).read_text()


@pytest.mark.once
def test_what_is_wrong_is_told_and_no_file_is_trusted(net: str, folder: Path) -> None:
    hostile = "-- $(touch owned) `touch owned`; touch owned \x1b[31m.txt"
    for name, text, told in (
        ("a.txt", "@r1\nip route add 10.0.0.0/33 dev lan\n", "a.txt:2:14: expected the destination of the route"),
        ("b.txt", "@r1\nip route del 10.77.0.0/16\n", "b.txt:2:1: the kernel would refuse this: No such process"),
        (hostile, "@r1\nreboot\n", ":2:1: 'reboot' is none of the programs a change may run"),
        ("c.yaml", "change: x\nchanges:\n  - rout: {}\n", "c.yaml:3:5: unknown key 'rout'"),
        ("d.yaml", "topology: x\n", "this is a file of the format topology, and a change is needed here"),
    ):
        ran = lab("validate", net, "--change", change(folder, text, name), cwd=folder)
        assert (ran.code, ran.out) == (2, "")
        assert told in ran.err
        assert "Traceback" not in ran.err
        assert "\x1b[31m" not in ran.err
    assert not (folder / "owned").exists()
    (folder / "binary").write_bytes(b"@r1\nip \xff")
    assert "binary:2:1: this is not UTF-8 text" in lab("validate", net, "--change", str(folder / "binary")).err
    assert lab("validate", net, "--change", "/nowhere").code == lab("validate", "nowhere", "--change", "/nowhere").code == 2
    assert lab("validate", net, "--change", change(folder, "r1: iptables -A FORWARD -j DROP\n")).code == 2


@pytest.mark.kernel
@pytest.mark.parametrize("who", ["root", "ordinary user"])
def test_real_packets_confirm_what_is_predicted(net: str, folder: Path, who: str) -> None:
    """A command that only the kernel understands is among them: iptables there writes nft rules, which are read back."""
    text = BAD + "r1: nft add table ip x\nr1: nft 'add chain ip x f { type filter hook forward priority 0; policy accept; }'\n"
    text += "r1: nft 'add rule ip x f tcp dport vmap { 80 : drop }'\n"
    path = change(folder, text)
    ran = lab("validate", net, "--change", path, "--emulate", "--json", who=who)
    assert ran.code == 1, ran.err
    assert ran.json["emulated"]["differences"] == []
    assert ran.json["emulated"]["probes"] > 20
    lost = [finding for check in ran.json["checks"] if check["name"] == "nothing-lost" for finding in check["findings"]]
    assert {"from": ["h1"], "to": ["10.2.0.2/32"], "kind": "tcp/80"}.items() <= max(lost, key=lambda one: one["kind"]).items()


@pytest.mark.kernel
@pytest.mark.once
def test_a_command_the_kernel_refuses_is_told_at_its_line(net: str, folder: Path) -> None:
    text = "r1: ip route add blackhole 10.99.0.0/16\nr1: nft 'add rule ip nosuch f drop'\nr1: tc qdisc add dev nosuch root tbf\n"
    ran = lab("validate", net, "--change", change(folder, text.replace("r1: nft 'add rule ip nosuch f drop'\n", "")), "--emulate")
    assert ran.code == 2
    assert "change.txt:2:5: `tc qdisc add dev nosuch root tbf` fails on r1 with code" in ran.err


@pytest.mark.once
def test_a_scenario_s_phase_is_a_change() -> None:
    ran = lab("validate", "calicoctl-2149@broken", "--change", "calicoctl-2149@fixed", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert json.dumps(ran.json["checks"]).count("nothing-opened") == 1
    assert ran.json["steps"]
    assert ran.json["undo"]["proved"]
