"""Both engines give the same verdicts; Mininet's command line works in a pipe and on a terminal, and leaves nothing."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.command import SCENARIOS, command, lab

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("mnexec") is None, reason="Mininet is not installed (mnexec)"),
]

LIBRARY = ("calico-2457", "calico-3246", "calicoctl-2149", "kops-710", "moby-37823")
"""Five scenarios of the library; with the flagship they show both engines."""


@pytest.mark.once
def test_the_flagship_and_five_of_the_library_hold_with_mininet_as_well() -> None:
    ran = lab("run", "calico-24-mismatch", *LIBRARY, "--engine", "mininet", "--json")
    assert ran.code == 0, ran.out[-2000:] + ran.err
    assert [result["conclusion"] for result in ran.json] == ["all expectations hold"] * 6


def mn(topology: str, folder: Path, *options: str) -> str:
    """Run `mn` itself on a topology's file, and return what it says.

    In namespaces of its own: it makes bridges where it runs, and raises limits of the machine if it may, which a user may not.
    """
    shown = lab("show", str(SCENARIOS.parent / "topologies" / f"{topology}.yaml"), "--as", "mininet")
    assert shown.code == 0, shown.err
    file = folder / f"{topology}.py"
    file.write_text(shown.out)
    inside = 'mount -t sysfs sys /sys && mount -t tmpfs run /run && ip link set lo up && exec "$@" 2>&1'
    program = ["mn", "--custom", str(file), "--topo", topology, *options, "--controller", "none"]
    apart = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    ran = subprocess.run([*apart, "sh", "-c", inside, "sh", *program], capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.once
@pytest.mark.parametrize("switch", [("--switch", "lxbr"), ()], ids=["lxbr", "any switch"])
def test_every_host_hears_every_other_when_mn_builds_the_file(tmp_path: Path, switch: tuple[str, ...]) -> None:
    said = mn("campus", tmp_path, *switch, "--test", "pingall")
    assert "Results: 0% dropped (42/42 received)" in said, said


@pytest.mark.once
@pytest.mark.parametrize("topology", ["two-clusters", "dual-stack-cluster"])
def test_mn_makes_tunnels_rules_and_both_versions_of_ip(tmp_path: Path, topology: str) -> None:
    said = mn(topology, tmp_path, "--test", "none")
    assert ("*** Done" in said, "Exception" in said) == (True, False), said


def test_mininets_command_line_reads_commands_from_a_pipe() -> None:
    ran = subprocess.run(
        command("mininet", "calicoctl-2149@fixed"),
        input="nodes\nnet\npod-1 ping -c1 -W5 pod-2\nnode-1 ip -o route get 10.14.0.1\nexit\n",
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert ran.returncode == 0, ran.stderr
    assert "sw-servers router:servers node-1:eth0 node-2:eth0 node-3:eth0" in ran.stderr
    assert "1 received" in ran.stderr, "Mininet says it there"


@pytest.mark.once
def test_mininets_command_line_is_a_terminal_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C interrupts what runs in it, and not the lab; leaving it ends everything, and nothing is remembered at home."""
    pid, terminal = pty.fork()
    if pid == 0:
        argv = command("mininet", "calicoctl-2149@fixed")
        os.execvpe(argv[0], argv, {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"})
    seen = b""

    def wait_for(text: bytes, *, again: bytes = b"") -> None:
        """Read until a text comes. `again` is typed whenever nothing comes: Python's readline may miss a Ctrl-C just after its prompt."""
        nonlocal seen
        end = time.monotonic() + 120
        while text not in seen:
            assert time.monotonic() < end, f"never seen: {text!r} in {seen[-500:]!r}"
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096)
            else:
                os.write(terminal, again)
        seen = seen.partition(text)[2]

    wait_for(b"mininet> ")
    os.write(terminal, b"node-1 ping 192.168.10.12\r")
    wait_for(b"64 bytes from 192.168.10.12")
    os.write(terminal, b"\x03")
    wait_for(b"ping statistics")
    wait_for(b"mininet> ")
    os.write(terminal, b"\x03")
    wait_for(b"Interrupt", again=b"\x03")
    wait_for(b"mininet> ")
    os.write(terminal, b"exit\r")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    os.close(terminal)
    assert list(tmp_path.iterdir()) == []
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if re.search(rb"mininet:(node|pod)-", _read(path))]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""
