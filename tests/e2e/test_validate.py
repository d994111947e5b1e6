"""`lab validate` as a person and a CI system call it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest
import yaml

from lab.state.nft import OpaqueStatement
from tests.e2e.command import LAB, command, lab
from tests.validate.small import saved, small

pytestmark = pytest.mark.e2e

VALIDATING = Path(__file__).parents[2] / "docs" / "validating.md"
TOPOLOGIES = Path(__file__).parents[2] / "topologies"
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


LATER = """@r1
ip route del 10.2.0.0/24 via 10.13.0.2
ip route del 10.2.0.0/24 via 10.12.0.2
ip route add 10.2.0.0/24 via 10.12.0.2
ip route add 10.2.0.0/24 via 10.13.0.2 metric 100
"""
BY_R3 = "r1: ip route replace 10.2.0.0/24 via 10.13.0.2 metric 0\n"


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "options", "code", "told"),
    [
        (GOOD, ["--steps", "--failures", "1"], 0, "does what is intended, and nothing else"),
        ("r3: ip route del 10.2.0.0/24\n", [], 1, "do not make this change: "),
        (LATER, [], 0, "does what is intended, and nothing else"),
        (LATER, ["--steps"], 1, "the end is as intended, but the way there breaks something"),
        ("r1: ip route del 10.2.0.0/24 via 10.13.0.2\n", [], 0, "does what is intended, and nothing else"),
        ("r1: ip route del 10.2.0.0/24 via 10.13.0.2\n", ["--failures", "1"], 1, "something now depends on a single part"),
        ("r1: ip rout del 10.77.0.0/16\n", [], 2, "change.txt:1:5: the kernel would refuse this"),
        (BY_R3, ["--intents", "intents.yaml"], 4, "it could not be found out whether "),
    ],
)
def test_each_verdict_has_its_exit_code(folder: Path, text: str, options: list[str], code: int, told: str) -> None:
    """Where the verdict is that nobody knows, r3 does with packets what a statement decides that the model does not know."""
    wired = small(rp_filter=2)
    net = saved((wired.chain("r3", "forward", OpaqueStatement('{"quota": {}}')) if code == 4 else wired).state, folder)
    intents = "intents: web-stays\ndefaults: [nothing-lost]\nexpect:\n  - {from: [h1], to: [h2], port: 80, protocol: tcp}\n"
    change(folder, intents, "intents.yaml")
    words = ["validate", net, "--change", change(folder, text), *options]
    ran = lab(*words, cwd=folder)
    assert (ran.code, told in ran.out + ran.err) == (code, True), ran.out + ran.err
    if code != 2:
        assert lab(*words, "--json", cwd=folder).json["exit_code"] == code
        suites = ElementTree.fromstring(lab(*words, "--format", "junit", cwd=folder).out)
        assert (bool(suites.findall(".//failure")), bool(suites.findall(".//error"))) == (code == 1, code == 4)


@pytest.mark.once
@pytest.mark.kernel
def test_a_machine_that_makes_no_namespaces_has_an_exit_code_too(net: str, folder: Path) -> None:
    words = command("validate", net, "--change", change(folder, GOOD), "--emulate", who="ordinary user")
    none_left = 'for kind in user net mnt pid; do echo 0 > "/proc/sys/user/max_${kind}_namespaces"; done; exec "$@"'
    ran = subprocess.run(
        [*words[: words.index(LAB[0])], "unshare", "--user", "--map-root-user", "sh", "-c", none_left, "sh", *words[words.index(LAB[0]) :]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert "namespaces" in ran.stderr


@pytest.mark.once
@pytest.mark.parametrize("job", ["GitHub", "GitLab"])
def test_the_documented_job_gates_a_pull_request(folder: Path, job: str) -> None:
    """What the two jobs of the documentation run is run here, in a repository as it is described there."""
    written = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", VALIDATING.read_text(), re.DOTALL)]
    jobs = [document.get("jobs", document).get("validate") for document in written if isinstance(document, dict)]
    if job == "GitLab":
        script = next("\n".join(one["script"]) for one in jobs if one and "script" in one)
    else:
        steps = next(one["steps"] for one in jobs if one and "steps" in one)
        script = next(step["run"] for step in steps if step.get("name") == "validate every change")
    for name in ("network", "changes"):
        (folder / name).mkdir()
    (folder / "network" / "topology.yaml").write_text((TOPOLOGIES / "campus.yaml").read_text())
    change(folder, "intents: as-it-is\nexpect:\n  - {from: [r-office], to: [r-rack], fate: answered}\n", "network/intents.yaml")
    change(folder, "r-office: ip route add blackhole 10.99.0.0/16\n", "changes/1 good.txt")
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PATH": f"{Path(LAB[0]).parent}:{os.environ['PATH']}"}
    script = script.replace("/opt/lab/bin/lab", "lab")

    def run() -> int:
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, check=False)
        return done.returncode

    assert run() == 0
    change(folder, "r-rack: ip route flush table main\n", "changes/2 bad.txt")
    change(folder, "r-rack: ip route add blackhole 10.99.0.0/16\n", "changes/3 good.txt")
    assert run() == 1
    results = [ElementTree.parse(folder / f"result-{name}.txt.xml").getroot() for name in ("1 good", "2 bad", "3 good")]
    assert [int(one.get("failures", "")) > 0 for one in results] == [False, True, False]
    if job == "GitHub":
        headings = [line for line in (folder / "summary.md").read_text().splitlines() if line.startswith("## ")]
        assert [line[3] for line in headings] == ["✅", "✅", "❌", "✅"]


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


SIXES = """@router
ip -6 route add blackhole 2001:db8:99::/48
ip -6 rule add from fd00:0:0:20::/64 to fd00::3 prohibit pref 100
nft -f - <<'END'
add table ip6 mine
add chain ip6 mine forward { type filter hook forward priority 0; policy accept; }
add rule ip6 mine forward ip6 daddr fd00::4 tcp dport 80 reject with icmpv6 type admin-prohibited
END
@k8s-1
ip -6 addr add fd00::77/64 dev eth0
ip -6 route replace fd00:0:0:20::/64 via fd00::1 dev eth0 mtu 1400
@k8s-2
sysctl -w net.ipv6.conf.all.forwarding=0
"""
"""An address is looked for elsewhere before it is taken (DAD), which takes a second."""


@pytest.mark.kernel
@pytest.mark.parametrize("who", ["root", "ordinary user"])
def test_over_ipv6_too_real_packets_confirm_what_is_predicted_and_the_way_back_leads_back(folder: Path, who: str) -> None:
    net, undo = str(TOPOLOGIES / "dual-stack-cluster.yaml"), folder / "undo.txt"
    path = change(folder, SIXES)
    ran = lab("validate", net, "--change", path, "--emulate", "--json", who=who)
    assert (ran.code, ran.json["emulated"]["differences"]) == (1, []), ran.err
    assert ran.json["undo"]["proved"]
    findings = [finding for check in ran.json["checks"] for finding in check["findings"]]
    assert {"from": ["peer"], "to": ["fd00::3/128"], "kind": "icmp"}.items() <= findings[0].items()
    assert not any("." in network for finding in findings for network in finding["to"])
    lab("validate", net, "--change", path, "--undo", str(undo))
    ran = lab("validate", net, "--change", change(folder, SIXES + undo.read_text(), "back.txt"), "--emulate", "--json", who=who)
    assert (ran.code, ran.json["changed"], ran.json["emulated"]["differences"]) == (0, [], []), ran.err


ALL_SORTS = """@r1
ip route replace 10.2.0.0/24 via 10.13.0.2 dev back metric 0
ip rule add fwmark 0x10 table 100 priority 1000
sudo ip route add blackhole 10.98.0.0/16 table 100
ip link set dev back mtu 1400
sysctl -w net.ipv4.conf.all.rp_filter=2
ip neigh add 10.13.0.2 lladdr 02:00:00:00:00:09 dev back
nft -f - <<'END'
add table ip mine
add chain ip mine forward { type filter hook forward priority 0; policy drop; }
add rule ip mine forward ip daddr 10.2.0.0/24 accept
END
@h1
ip addr add 10.1.0.77/24 dev eth0
ip route del default
@r3
bridge fdb add 02:00:00:00:00:01 dev vx dst 10.23.0.1
ip link set vx down
"""


@pytest.mark.kernel
@pytest.mark.once
def test_the_way_back_leads_back_on_a_real_kernel(folder: Path) -> None:
    """The change and then its undo script, as one change: in the model and on the kernel, nothing is different in the end."""
    net = saved(small().vxlan("r3", "vx", 7, "10.23.0.2").state, folder)
    undo = folder / "undo.txt"
    ran = lab("validate", net, "--change", change(folder, ALL_SORTS), "--emulate", "--undo", str(undo), "--json")
    assert (ran.code, ran.json["emulated"]["differences"]) == (1, []), ran.err
    assert ran.json["undo"] | {"commands": []} == {"commands": [], "proved": True, "remark": ""}
    ran = lab("validate", net, "--change", change(folder, ALL_SORTS + undo.read_text(), "there and back.txt"), "--emulate", "--json")
    assert (ran.code, ran.json["changed"], ran.json["emulated"]["differences"]) == (0, [], []), ran.err
    assert ran.json["undo"]["commands"] == [], "nothing is left to undo"


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
