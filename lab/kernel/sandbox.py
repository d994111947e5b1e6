"""A sandbox: the place where a lab lives, with its network namespaces, and from which nothing escapes.

`run_in_sandbox(work)` runs a function in a sandbox of its own, as root or as an ordinary user. Inside, a `Sandbox` makes network
namespaces, enters them and starts processes in them. How a sandbox ends, and why it always does, stands in `lab.kernel.launch`; what its
processes find in the file system stands in `lab.kernel.mounts`.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Final, TypeAlias, TypeVar, cast

from lab.errors import InputError, LabError, MachineError, did_you_mean
from lab.kernel import mounts
from lab.kernel.confine import confine
from lab.kernel.launch import Front, launch
from lab.kernel.messages import Returned, Said
from lab.kernel.syscalls import Mount, Namespace, mount, setns, unmount, unshare
from lab.kernel.tools import find_tool, search_path

T = TypeVar("T")
Report: TypeAlias = Callable[[object], None]
"""Tells the front something on the way: any message that can be pickled."""
Stream: TypeAlias = int | IO[bytes]

_HERE: Final = "/proc/thread-self/ns/net"


def ignore(_message: object) -> None:
    """Take no notice of a report."""


def ignore_all(number: int, message: object) -> None:
    """Take no notice of any work's report."""


def run_in_sandbox(work: Callable[[Sandbox, Report], T], *, on_report: Report = ignore) -> T:
    """Run `work` in a sandbox of its own; its result or its exception comes back as if it had been called here.

    `work` runs in a forked process: it sees all that was there before the call, and only its result, its exception and what it reports
    come back (by pickling). `on_report` is called here, in order, with every message. When this returns, every process of the sandbox is
    gone; the kernel frees the network namespaces soon after. So it does when this process ends in whatever way.

    Raises, besides what `work` raises, MachineError when the machine allows no sandbox, and InconclusiveError when the sandbox was killed.
    Call it before starting threads: a fork copies the locks that they hold.
    """
    front = launch(lambda messages, rootless: _work_inside(work, messages, rootless=rootless))
    try:
        return cast(T, front.receive(on_report))
    finally:
        front.close()


def run_in_sandboxes(
    works: Sequence[Callable[[Sandbox, Report], T]], *, at_once: int, on_report: Callable[[int, object], None] = ignore_all
) -> Iterator[tuple[int, T]]:
    """Run each of several works in a sandbox of its own, `at_once` of them at a time; yield each's index and result as they end.

    `on_report` is called with the index of the work that reports. What a work raises is raised here, and ends the others. Otherwise as
    `run_in_sandbox`.
    """
    waiting = deque(enumerate(works))
    running: dict[Connection, tuple[int, Front]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, work = waiting.popleft()
                front = launch(partial(_work_inside_as, work))
                running[front.messages] = (number, front)
            for messages in cast("list[Connection]", wait(list(running))):
                number, front = running[messages]
                message = front.take()
                if isinstance(message, Said):
                    on_report(number, message.message)
                    continue
                del running[messages]
                front.close()
                yield number, cast(T, message.value)
    finally:
        for _, front in running.values():
            front.close()


def _work_inside_as(work: Callable[[Sandbox, Report], object], messages: Connection, rootless: bool) -> None:
    _work_inside(work, messages, rootless=rootless)


def _work_inside(work: Callable[[Sandbox, Report], object], messages: Connection, *, rootless: bool) -> None:
    sandbox = open_sandbox(rootless=rootless)
    messages.send(Returned(work(sandbox, lambda message: messages.send(Said(message)))))


def finish(process: subprocess.Popen[bytes], text: str, seconds: float) -> tuple[bytes, bytes]:
    """Give a program of `Sandbox.spawn` its `text` and return all that it says, up to its end (of what is no pipe: nothing).

    Raises subprocess.TimeoutExpired when it takes longer than `seconds`; it is killed then, with whatever it started.
    """
    try:
        out, err = process.communicate(text.encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return out or b"", err or b""


def open_sandbox(*, rootless: bool) -> Sandbox:
    """Furnish the sandbox that the calling process, a worker of `lab.kernel.launch`, is in."""
    try:
        mounts.furnish()
    except OSError as error:
        raise MachineError(
            f"the lab cannot mount {error.filename}: {error.strerror}",
            hint="run it as root (sudo)" if rootless else "a container needs the capability CAP_SYS_ADMIN and an unmasked /proc",
        ) from error
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    home = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    return Sandbox(home, rootless=rootless, usual_files=soft)


class Sandbox:
    """The lab from within: its network namespaces by name, and processes in them. Use it from one thread, except for `enter`.

    The worker that owns it is in a network namespace without links, so that a message sent from the wrong place reaches nothing.
    """

    def __init__(self, home: int, *, rootless: bool, usual_files: int) -> None:
        self.rootless = rootless
        """Whether the sandbox has its own user namespace: then the kernel allows no BPF program and no tun device."""
        self.scratch: Path = mounts.SCRATCH
        """For files of the lab's own; it goes with the lab."""
        self._home = home
        self._usual_files = usual_files
        self._descriptors: dict[str, int] = {}
        self._thread = threading.local()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names of the network namespaces, in the order they were added."""
        return tuple(self._descriptors)

    def add_namespace(self, name: str) -> int:
        """Make a network namespace (about 0.5 ms); returns its descriptor, which stays the sandbox's.

        It is bound at /run/netns/NAME, so that `ip -n NAME` and `ip netns exec NAME` work inside. Its only link is lo, which is down.
        Raises InputError when the name cannot be a file's or is taken, and MachineError when a limit of this machine is reached.
        """
        self._check_new(name)
        try:
            self._descriptors[name] = self._new_namespace(mounts.NAMES / name)
        except OSError as error:
            raise MachineError(
                f"no network namespace beyond {len(self._descriptors)}: {error.strerror}",
                hint="raise the limit that was reached: ulimit -n, or the sysctls user.max_net_namespaces and fs.mount-max",
            ) from error
        return self._descriptors[name]

    def _new_namespace(self, place: Path) -> int:
        unshare(Namespace.NET)
        try:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            mount(_HERE, str(place), flags=Mount.BIND)
            return os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(self._current, Namespace.NET)

    def adopt_namespace(self, name: str, path: str) -> int:
        """Take a network namespace that another program made here, such as /proc/PID/ns/net, for one of the sandbox's own.

        Raises InputError as `add_namespace` does.
        """
        self._check_new(name)
        place = mounts.NAMES / name
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
        mount(path, str(place), flags=Mount.BIND)
        self._descriptors[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptors[name]

    def remove_namespace(self, name: str) -> None:
        """Let go of a network namespace. It ends with the last process and socket in it, and its links with it."""
        descriptor = self.descriptor(name)
        place = mounts.NAMES / name
        unmount(str(place))
        place.unlink()
        os.close(descriptor)
        del self._descriptors[name]

    def descriptor(self, name: str) -> int:
        """The descriptor of a network namespace, as netlink takes it (IFLA_NET_NS_FD). Raises InputError when there is none."""
        try:
            return self._descriptors[name]
        except KeyError:
            raise InputError(f"this lab has no node {name!r}", hint=did_you_mean(name, self.namespaces, "node")) from None

    @contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Be in a network namespace, with this thread only, for as long as the block lasts. Takes some microseconds.

        Blocks nest. A thread or process started inside a block starts there; the thread's own first block then ends in the empty namespace.
        """
        before, there = self._current, self.descriptor(name)
        setns(there, Namespace.NET)
        self._thread.current = there
        try:
            yield
        finally:
            setns(before, Namespace.NET)
            self._thread.current = before

    @property
    def _current(self) -> int:
        """The descriptor of the network namespace this thread is in."""
        return cast(int, getattr(self._thread, "current", self._home))

    def socket_in(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a socket in a network namespace. It stays there, wherever it is used from."""
        with self.enter(name):
            return socket.socket(family, kind, protocol)

    def write_etc(self, name: str, file: str, text: str) -> None:
        """Give the processes of a node their own /etc/`file` (resolv.conf, hosts), as files in /etc/netns/NAME do for `ip netns exec`."""
        self.descriptor(name)
        mounts.write_etc(name, file, text)

    def set_environment(self, name: str, variables: Mapping[str, str]) -> None:
        """Give every process that is started in a node from now on these environment variables, and no longer the former ones."""
        self.descriptor(name)
        mounts.write_environment(name, variables)

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        confined: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a node's view: its network, its files in /etc, its variables and `env`; none of the caller's variables.

        With `confined` it can configure networks and do nothing else to the machine. It leads a session of its own. Raises MachineError,
        naming the package, when the program is not installed.
        """
        namespace = self.descriptor(name)
        variables = {"PATH": search_path(), "HOME": str(self.scratch), "TMPDIR": os.environ["TMPDIR"], "LANG": "C.UTF-8"}
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        def become_part_of_node() -> None:
            # Programs that close every descriptor they might have, up to the limit, start slowly where it is high.
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._usual_files, hard))
            mounts.view_as(name, namespace)
            if confined:
                confine()

        return subprocess.Popen(
            [find_tool(argv[0]), *argv[1:]],
            env=variables | mounts.read_environment(name) | dict(env or {}),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=become_part_of_node,
        )

    def run(
        self, name: str, argv: Sequence[str], *, seconds: float, text: str = "", confined: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a node's view to its end, with `text` to read. Raises LabError when it takes longer than `seconds`.

        It is killed then, with whatever it started.
        """
        process = self.spawn(name, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, confined=confined)
        try:
            out, err = finish(process, text, seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"`{shlex.join(argv)}` was still running in {name!r} after {seconds:g} s") from None
        return subprocess.CompletedProcess(argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def _check_new(self, name: str) -> None:
        if not mounts.can_be_named(name):
            raise InputError(f"{name!r} cannot name a node", hint="it has to be a file name: not empty, at most 255 bytes, without a slash")
        if name in self._descriptors:
            raise InputError(f"this lab has a node {name!r} already")
