"""A Mininet Topo class becomes a topology file; what is hostile in it stays in the sandbox, what is wrong has its line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lab.api.mininet import import_topo
from lab.api.questions import compile_state, trace
from lab.errors import InputError
from lab.importers.mininet import topology_of
from lab.kernel.mininet import importing
from tests.cli.command import lab

needs_mininet = pytest.mark.skipif(shutil.which("mnexec") is None, reason="Mininet is not installed (mnexec)")

CAMPUS = """
from mininet.topo import Topo

class TwoFloors(Topo):
    def build(self, floors=2):
        core = self.addHost('Core_1', ip=None)
        for floor in range(1, floors + 1):
            first, second = self.addSwitch('s%d' % (2 * floor)), self.addSwitch('s%d' % (2 * floor + 1))
            self.addLink(first, second, bw=10)
            self.addLink(core, first, params1={'ip': '10.0.%d.1/24' % floor})
            for number in (2, 3):
                host = self.addHost('h%d%d' % (floor, number), ip='10.0.%d.%d/24' % (floor, number), defaultRoute='via 10.0.%d.1' % floor)
                self.addLink(host, second)
        print('built')

class Minimal(Topo):
    def build(self):
        self.addLink(self.addHost('h1'), self.addSwitch('s1'))
        self.addLink(self.addHost('h2'), 's1')
"""


PROCESSES = """
import os
for pid in range(2, 1 << 16):
    try:
        os.kill(pid, 0)
    except OSError:
        continue
    assert pid < 100, "a process of the machine can be seen: %d" % pid
1 / 0
"""


def written(folder: Path, text: str) -> str:
    path = folder / "topo.py"
    path.write_text(text)
    return str(path)


@needs_mininet
@pytest.mark.kernel
def test_a_class_becomes_a_topology_in_which_packets_travel(tmp_path: Path) -> None:
    file, out = written(tmp_path, CAMPUS), tmp_path / "floors.yaml"
    answer = lab("import", "--mininet", f"{file}:TwoFloors", "-o", str(out))
    assert (answer.code, answer.out) == (0, "")
    assert "note: Core_1 is called core-1" in answer.err
    assert "note: s2 to s3: bw left out" in answer.err
    assert lab("check", str(out)).code == 0
    assert "topology: two-floors" in out.read_text()
    state = compile_state(str(out))
    assert trace(state, "h12", "h23").request.path[::2] == ("h12", "core-1", "h23")
    assert trace(state, "h12", "h23").outcome.kind == "reply"


@needs_mininet
@pytest.mark.kernel
def test_addresses_that_mininet_would_give_are_given(tmp_path: Path) -> None:
    converted = import_topo(f"{written(tmp_path, CAMPUS)}:Minimal")
    assert "h1: {segment: s1, address: 10.0.0.1}" in converted.text
    assert "h2: {segment: s1, address: 10.0.0.2}" in converted.text
    assert "s1: {cidr: 10.0.0.0/8}" in converted.text


@needs_mininet
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class T(:\n", "topo.py:1:9: "),
        ("import nosuch\n", "topo.py:1:1: ModuleNotFoundError: No module named 'nosuch'"),
        ("from mininet.topo import Topo\nclass Tre(Topo):\n    def build(self):\n        self.addLink('h1')\n", "topo.py:4:1: TypeError"),
        ("from mininet.topo import Topo\nclass Tree(Topo): pass\n", "did you mean 'Tree'?"),
        ("import os\nos._exit(0)\n", "ended without building anything"),
        ("while True: pass\n", "was still building after"),
        ("import os\nos.write(1, b'[1]')\nos._exit(0)\n", "built nothing that is a topology"),
        ("open('/etc/owned', 'w')\n", "Read-only file system"),
        ("open('OWNED', 'w')\n", "topo.py:1:1: OSError"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 22), 1)\n", "topo.py:2:1: OSError"),
        (
            PROCESSES,
            "ZeroDivisionError",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_or_hostile_is_told_at_its_line(tmp_path: Path, text: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "SECONDS", 2)
    with pytest.raises(InputError) as caught:
        import_topo(f"{written(tmp_path, text.replace('OWNED', str(tmp_path / 'owned')))}:Tre")
    assert told in str(caught.value).replace(str(tmp_path) + "/", "")
    assert not (tmp_path / "owned").exists()


def link(one: str, other: str, **more: Any) -> dict[str, Any]:
    return {"node1": one, "node2": other, **more}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"hosts": [["a", {"ip": "10.0.1.1/24"}], ["b", {}]], "links": [link("a", "b")]}, "members of a segment share a network"),
        ({"hosts": [["a", {}], ["A", {}]]}, "would both be called a"),
        (
            {"hosts": [["a", {}], ["b", {}], ["c", {}]], "switches": ["s1"], "links": [link("a", "s1"), link("b", "c")]},
            "both have addresses of",
        ),
        (
            {"hosts": [["a", {}], ["b", {}], ["c", {}]], "links": [link("a", "b"), link("b", "c")]},
            "the interface of b on b-c has no address",
        ),
        ({"hosts": [["a", {}], ["b", {}]], "links": []}, "this Topo has no links"),
        ({"hosts": [["a", {}]], "links": [link("a", "x")]}, "neither a host nor a switch"),
    ],
)
def test_what_no_topology_can_say_is_refused(found: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        topology_of(found, "T", "topo.py")
    assert told in str(caught.value)


def test_a_source_is_a_file_and_a_class(tmp_path: Path) -> None:
    for wrong in ("topo.py", ":T", "topo.py:", str(tmp_path / "no.py:T")):
        assert lab("import", "--mininet", wrong).code == 2
