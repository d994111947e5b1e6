"""The ways to build one and the same lab: this project's, and its rivals'. Each takes a sandbox and returns the seconds it took; asked to
`look`, it returns what the namespaces hold instead, so that all of them can be held against one another.

Interpreter start, imports and the making of the state are not counted, for anyone.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.tape import tape
from lab.errors import MachineError
from lab.kernel.engine import Engine
from lab.kernel.plan import plan
from lab.kernel.sandbox import Sandbox
from lab.kernel.syscalls import Namespace, setns
from lab.kernel.sysctl import Procfs, write_sysctls
from lab.state import State, Veth
from lab.state.commands import commands_of

Picture = dict[str, list[str]]
"""What each namespace holds, in the words of ip(8) and bridge(8)."""


class Builder(Protocol):
    """A way to build."""

    def __call__(self, sandbox: Sandbox, *, look: bool = False) -> float | Picture:
        """Build; return the seconds it took, or what was built."""
        ...


_QUESTIONS = (
    "ip -o -4 address",
    "ip -o route show table all",
    "ip -o rule",
    "ip -o neighbour show nud permanent",
    "bridge fdb show",
    "ip -o -d link",
)
_UNDECIDED = re.compile(
    r"^\d+: |@if\d+|@\w+|link-netns(id)? \S+|\\ *link/ether \S+ brd \S+|promiscuity.*|(min|max)mtu \d+"
    r"|qlen \d+|valid_lft.*|link/\S+ \S+ brd \S+|NO-CARRIER,|,LOWER_UP|state (UP|DOWN|UNKNOWN|LOWERLAYERDOWN)"
)
_NOT_COMPARED = re.compile(r"fe80:|ff00::|^33:33|::1|^01:00:5e|dev (br0|p0|port\d+|uplink)|master br0")
_SOURCE = Path(__file__).with_name("floor.c")
_DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"


def lab(state: Callable[[], State]) -> Builder:
    """This project: from the state to links that forward, planning included.

    The state is made in the sandbox, as a lab makes it: made before, its pages would be copied at the first touch.
    """

    def build(sandbox: Sandbox, *, look: bool = False) -> float | Picture:
        target = state()
        begin = time.perf_counter()
        engine = Engine(sandbox)
        engine.apply(target)
        seconds = time.perf_counter() - begin
        return _picture({name: ["ip", "netns", "exec", name] for name in target.namespaces}) if look else seconds

    return build


def floor(program: Path, state: State) -> Builder:
    """One thread of C that sends the bytes of the plan."""
    recorded = tape(plan(State(), state))

    def build(sandbox: Sandbox, *, look: bool = False) -> float | Picture:
        assert not look, "what the program builds ends with it"
        file = sandbox.scratch / "tape"
        file.write_bytes(recorded)
        output = subprocess.run([program, file], check=True, capture_output=True, text=True).stdout
        return int(output) / 1e9

    return build


def compile_floor(folder: Path) -> Path:
    """Compile the C program."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise MachineError("there is no C compiler to measure against", hint="install gcc and libc6-dev")
    program = folder / "floor"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, _SOURCE], check=True)
    return program


def ip_batch(state: State) -> Builder:
    """One `ip -batch` for each namespace, and a `bridge -batch` where there are FDB entries; sysctls without a process, in their favour."""
    scripts = _scripts(state)

    def build(sandbox: Sandbox, *, look: bool = False) -> float | Picture:
        begin = time.perf_counter()
        _feed(["ip", "-batch", "-"], "".join(f"netns add {name}\n" for name in state.namespaces))
        procfs = Procfs()
        for namespace in state:
            if namespace.sysctls:
                with _entered(namespace.name):
                    write_sysctls(procfs.visit(), namespace.sysctls.items(), namespace.name)
        for name, programs in scripts.items():
            for program, script in programs.items():
                _feed([program, "-n", name, "-batch", "-"], script)
        seconds = time.perf_counter() - begin
        return _picture({name: ["ip", "netns", "exec", name] for name in state.namespaces}) if look else seconds

    return build


def mininet(state: State, *, batched: bool = False) -> Builder:
    """Mininet's own nodes and links, and in each node the rest by `Node.cmd`, a command a call as its examples do.

    `batched` gives it, in its favour, what Mininet itself has not: one `ip -batch` and one `bridge -batch` for each node.
    """
    scripts = _scripts(state, without_veth=True)

    def build(sandbox: Sandbox, *, look: bool = False) -> float | Picture:
        from mininet.link import Link
        from mininet.node import Node

        lines: dict[str, list[str]] = {}
        for name, programs in scripts.items():
            for program, script in programs.items():
                if batched:
                    file = sandbox.scratch / f"{name}.{program}"
                    file.write_text(script)
                    lines.setdefault(name, []).append(f"{program} -batch {file}")
                else:
                    lines.setdefault(name, []).extend(f"{program} {line}" for line in script.splitlines())
        begin = time.perf_counter()
        nodes = {name: Node(name) for name in state.namespaces}
        for namespace in state:
            for link in namespace.links:
                if isinstance(link.kind, Veth) and (namespace.name, link.name) < (link.kind.peer_namespace, link.kind.peer_name):
                    Link(nodes[namespace.name], nodes[link.kind.peer_namespace], intfName1=link.name, intfName2=link.kind.peer_name)
        for namespace in state:
            node = nodes[namespace.name]
            if namespace.sysctls:
                node.cmd("sysctl", "-qw", *(f"{path.replace('/', '.')}={value}" for path, value in namespace.sysctls.items()))
            for line in lines.get(namespace.name, ()):
                node.cmd(line)
        seconds = time.perf_counter() - begin
        return _picture({name: ["nsenter", "-t", str(node.pid), "-n"] for name, node in nodes.items()}) if look else seconds

    return build


def why_no_mininet() -> str | None:
    """Why Mininet cannot be measured here, or None. Debian's module is not in a virtual environment, PyPI's has no mnexec."""
    if shutil.which("mnexec") is None:
        return "there is no mnexec (Debian: apt-get install --no-install-recommends mininet)"
    sys.path.append(_DEBIAN_PACKAGES)
    return None if importlib.util.find_spec("mininet") else "there is no Python module mininet"


def _scripts(state: State, *, without_veth: bool = False) -> dict[str, dict[str, str]]:
    """By namespace, what its `ip` and its `bridge` are fed. Every namespace comes after the one that creates its veth ends."""
    found: dict[str, dict[str, str]] = {}

    def feed(namespace: str, program: str, words: Sequence[str]) -> None:
        programs = found.setdefault(namespace, {})
        programs[program] = programs.get(program, "") + " ".join(words) + "\n"

    for command in commands_of(state):
        program, *words = command.argv
        if command.namespace is None or program not in ("ip", "bridge"):
            continue
        if without_veth and "veth" in words:
            near, far = words[words.index("name") : words.index("type")], words[words.index("peer") + 1 : words.index("netns")]
            # What remains to be set of the two ends that Mininet has made.
            for namespace, (_, name, *settings) in ((command.namespace, near), (words[-1], far)):
                feed(namespace, "ip", ("link", "set", "dev", name, *settings))
        else:
            feed(command.namespace, program, words)
    return {name: found[name] for name in state.namespaces if name in found}


def _feed(argv: Sequence[str], script: str) -> None:
    subprocess.run(argv, input=script, text=True, check=True, stdout=subprocess.DEVNULL)


def _picture(prefixes: Mapping[str, Sequence[str]]) -> Picture:
    """What ip and bridge show in each namespace, without what no state decides.

    That is numbers of links, carriers that come a moment later, MAC addresses the kernel chose, IPv6.
    """
    return {
        name: sorted(
            _UNDECIDED.sub("", line).strip()
            for question in _QUESTIONS
            for line in subprocess.run([*prefix, *question.split()], capture_output=True, text=True, check=True).stdout.splitlines()
            if not _NOT_COMPARED.search(line)
        )
        for name, prefix in prefixes.items()
    }


@contextmanager
def _entered(name: str) -> Iterator[None]:
    """Be in a network namespace that `ip netns` has made."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(there, Namespace.NET)
        yield
    finally:
        setns(home, Namespace.NET)
        os.close(home)
        os.close(there)
