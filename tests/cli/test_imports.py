"""What commands load: nothing heavy, and on the way of a file nothing that only Linux has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "spec" / "golden"
HEAVY = ("asyncio", "dns", "matplotlib", "networkx", "numpy", "pyroute2", "rich", "scapy")
ONLY_LINUX = ("fcntl", "grp", "lab.kernel", "lab.probe", "pty", "pwd", "resource", "termios")
LOADED = """
import json, sys
from lab.cli import main
sys.argv = ["lab", *sys.argv[1:]]
out, sys.stdout = sys.stdout, sys.stderr
try:
    main()
except SystemExit as done:
    json.dump([done.code, sorted(sys.modules)], out)
    out.flush()
"""


def loaded(*arguments: str) -> tuple[int, set[str]]:
    """Return a command's exit code and the modules it loaded."""
    answer = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    code, modules = json.loads(answer.stdout)
    return code, set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["check", "two-clusters"],
        ["check", "calico-24-mismatch"],
        ["check", str(GOLDEN / "empty.yaml")],
        ["show", "two-clusters", "--as", "spec"],
        ["show", "calico-24-mismatch", "--phase", "broken", "--as", "commands"],
        ["show", "calico-24-mismatch", "--as", "state"],
        ["schema", "scenario"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_and_nothing_of_linux_is_loaded(arguments: list[str]) -> None:
    _, modules = loaded(*arguments)
    assert [name for name in (*HEAVY, *ONLY_LINUX) if name in modules] == []


def test_help_loads_no_room_of_the_lab() -> None:
    code, modules = loaded("--help")
    assert code == 0
    own = {"lab", "lab.cli", "lab.cli.app", "lab.cli.common", "lab.cli.plain", "lab.errors"}
    assert {name for name in modules if name.startswith("lab")} == own
    assert "pydantic" not in modules


@pytest.mark.parametrize(
    "arguments", [["check", "calico-24-mismatch"], ["show", "two-clusters"], ["schema", "topology"], ["list"]], ids=" ".join
)
def test_files_are_checked_and_shown_where_there_is_no_linux(arguments: list[str]) -> None:
    without = "import sys\nfor name in ('fcntl', 'grp', 'pty', 'pwd', 'pyroute2', 'resource', 'termios'): sys.modules[name] = None\n"
    answer = subprocess.run([sys.executable, "-c", without + LOADED, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    assert json.loads(answer.stdout)[0] == 0, answer.stderr
