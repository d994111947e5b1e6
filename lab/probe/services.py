"""Run what a state says must run: listeners, served by the lab, and programs of the distribution.

`Services.reconcile` starts and stops until what runs is what the state says, and returns when every program is bound to its ports.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lab.errors import InputError, MachineError, did_you_mean
from lab.kernel.sandbox import Sandbox
from lab.probe.responder import Responder
from lab.state import Listener, Namespace, Program, State

Key = tuple[str, str]

READY_WITHIN: Final = 10.0
"""Seconds within which a program must have bound its ports."""
_TCP_LISTEN: Final = "0A"
_POLL: Final = 0.002


@dataclass(slots=True)
class _Running:
    program: Program
    process: subprocess.Popen[bytes]
    scratch: Path


@dataclass(slots=True)
class Services:
    """The running listeners and programs of a lab."""

    sandbox: Sandbox
    responder: Responder
    _programs: dict[Key, _Running] = field(default_factory=dict)
    _stopped: set[Key] = field(default_factory=set)
    _files: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _environment: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def reconcile(self, state: State) -> None:
        """Make what runs equal to what `state` says; unchanged programs keep running.

        Raises MachineError when a program is missing or does not come up, with what it wrote.
        """
        for namespace in state:
            self._furnish(namespace)
        wanted_listeners = {(n.name, listener.name): listener for n in state for listener in n.listeners}
        for key, (listener, _) in list(self.responder.listening.items()):
            if wanted_listeners.get(key) != listener or key in self._stopped:
                self.responder.silence(*key)
        wanted_programs = {(n.name, program.name): program for n in state for program in n.programs}
        for key, running in list(self._programs.items()):
            wanted = wanted_programs.get(key)
            if key in self._stopped or running.process.poll() is not None:
                self._end(key)
            elif wanted is not None and wanted != running.program and _reads_again(running.program, wanted):
                self._tell(running, wanted)
                self._await_ready(key)
            elif wanted != running.program:
                self._end(key)
        for key, listener in wanted_listeners.items():
            if key not in self._stopped:
                self._listen(key[0], listener, ipv6=any(entry.interface.version == 6 for entry in state[key[0]].addresses))
        started = [key for key in wanted_programs if key not in self._programs and key not in self._stopped]
        for key in started:
            self._begin(key, wanted_programs[key])
        for key in started:
            self._await_ready(key)

    def retire(self, state: State) -> bool:
        """End the routing daemons that `state` does not have, and return whether there were any: what they leave is nobody's then."""
        wanted = {(namespace.name, program.name) for namespace in state for program in namespace.programs}
        retired = [key for key, running in self._programs.items() if running.program.speaker is not None and key not in wanted]
        for key in retired:
            self._end(key)
        return bool(retired)

    def is_stopped(self, namespace: str, name: str) -> bool:
        """Whether a listener or program was stopped and not started since."""
        return (namespace, name) in self._stopped

    def stop(self, namespace: str, name: str) -> None:
        """Stop a listener or program; it stays down until `start`. Raises InputError when there is none of that name."""
        key = self._key(namespace, name)
        self._stopped.add(key)
        self.responder.silence(*key)
        self._end(key)

    def start(self, namespace: str, name: str, state: State) -> None:
        """Let a stopped listener or program run again. Raises InputError when it was not stopped."""
        if (namespace, name) not in self._stopped:
            raise InputError(f"{name!r} of {namespace!r} was not stopped")
        self._stopped.discard((namespace, name))
        self.reconcile(state)

    def start_all(self) -> None:
        """Forget what was stopped; the next `reconcile` starts it."""
        self._stopped.clear()

    def read_file(self, namespace: str, program: str, file: str) -> str:
        """Return the text of a file in a program's scratch folder (a log), empty when it is not there."""
        running = self._programs.get((namespace, program))
        path = running.scratch / file if running else None
        return path.read_text(errors="replace") if path is not None and path.exists() else ""

    def close(self) -> None:
        """End every program and listener."""
        for key in list(self._programs):
            self._end(key)
        self.responder.close()

    def _key(self, namespace: str, name: str) -> Key:
        known = [*self._programs, *self.responder.listening, *self._stopped]
        if (namespace, name) not in known:
            here = [n for ns, n in known if ns == namespace]
            raise InputError(f"nothing called {name!r} runs in {namespace!r}", hint=did_you_mean(name, here, "process"))
        return (namespace, name)

    def _furnish(self, namespace: Namespace) -> None:
        name = namespace.name
        if self._files.get(name, {}) != namespace.files:
            for path, text in namespace.files.items():
                self.sandbox.write_etc(name, path.removeprefix("/etc/"), text)
            self._files[name] = dict(namespace.files)
        if self._environment.get(name, {}) != namespace.environment:
            self.sandbox.set_environment(name, namespace.environment)
            self._environment[name] = dict(namespace.environment)

    def _listen(self, namespace: str, listener: Listener, *, ipv6: bool) -> None:
        try:
            self.responder.listen(namespace, listener, ipv6=ipv6)
        except OSError as error:
            port = f"{listener.protocol}/{listener.port}"
            raise InputError(f"{listener.name!r} cannot listen on {port} in {namespace!r}: {error.strerror}") from error

    def _begin(self, key: Key, program: Program) -> None:
        scratch = self.sandbox.scratch / "programs" / key[0] / key[1]
        scratch.mkdir(parents=True, exist_ok=True)
        _write(program, scratch)
        argv = [_filled(word, scratch) for word in program.argv]
        with (scratch / "output").open("wb") as output:
            process = self.sandbox.spawn(key[0], argv, env=program.environment, stdout=output, stderr=subprocess.STDOUT)
        self._programs[key] = _Running(program, process, scratch)

    def _tell(self, running: _Running, program: Program) -> None:
        """Let a program that runs read files that have changed."""
        running.program = program
        _write(program, running.scratch)
        running.process.send_signal(signal.SIGHUP)

    def _await_ready(self, key: Key) -> None:
        running = self._programs[key]
        deadline = time.monotonic() + READY_WITHIN
        with selectors.DefaultSelector() as watcher:
            ended = os.pidfd_open(running.process.pid)
            try:
                watcher.register(ended, selectors.EVENT_READ)
                while not all(self._bound(key[0], table, port) for table, port in _tables(running.program)):
                    if watcher.select(_POLL) or time.monotonic() > deadline:
                        self._fail(key, running)
            finally:
                os.close(ended)

    def _fail(self, key: Key, running: _Running) -> None:
        said = (running.scratch / "output").read_text(errors="replace").strip()
        self._end(key)
        what = f"{running.program.argv[0]} in {key[0]!r} did not come up"
        raise MachineError(f"{what}: {said or 'it said nothing'}", hint="`lab doctor` says which programs are missing")

    def _bound(self, namespace: str, tables: tuple[str, ...], port: int) -> bool:
        """Whether a socket is bound to the port, as one of these files in /proc/net of the namespace says (tcp, tcp6, udp, udp6)."""
        with self.sandbox.enter(namespace):
            for table in tables:
                path = Path(f"/proc/thread-self/net/{table}")
                if not path.exists():
                    continue
                for line in path.read_text().splitlines()[1:]:
                    columns = line.split()
                    bound = int(columns[1].rpartition(":")[2], 16)
                    if bound == port and (table.startswith("udp") or columns[3] == _TCP_LISTEN):
                        return True
        return False

    def _end(self, key: Key) -> None:
        running = self._programs.pop(key, None)
        if running is None:
            return
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()
        shutil.rmtree(running.scratch, ignore_errors=True)


def _tables(program: Program) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each port that a program has to be bound to, with the files that say so: those of one version of IP for a routing daemon."""
    for protocol, port in program.listens:
        both = (protocol, f"{protocol}6")
        yield both if program.speaker is None else (both[program.speaker.version == 6],), port


def _write(program: Program, scratch: Path) -> None:
    for name, text in program.files.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, scratch))


def _filled(text: str, scratch: Path) -> str:
    return text.replace("{scratch}", str(scratch))


def _reads_again(runs: Program, wanted: Program) -> bool:
    """Whether a program becomes another one by reading its files again: a routing daemon does, at SIGHUP."""
    same = replace(runs, files=wanted.files, speaker=wanted.speaker, listens=wanted.listens)
    return runs.speaker is not None and wanted.speaker is not None and same == wanted
