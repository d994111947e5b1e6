"""Running programs in a node of a lab in the background, with and without a terminal.

Each test runs in a sandbox of its own and starts its lab there.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError, LabError
from lab.kernel.execute import exec_in, shell_in
from lab.kernel.holder import Operation, hold
from lab.kernel.registry import running_labs, stop
from lab.kernel.sandbox import Report, Sandbox

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)


def one_pod(lab: Sandbox, _report: Report) -> Mapping[str, Operation]:
    """A lab with a pod and a node that has nothing of its own."""
    lab.add_namespace("pod-1")
    lab.add_namespace("bare")
    lab.write_etc("pod-1", "resolv.conf", "nameserver 10.96.0.10\n")
    lab.set_environment("pod-1", {"http_proxy": "http://10.0.0.1:3128"})
    lab.spawn("pod-1", ["ip", "link", "add", "eth0", "type", "veth", "peer", "eth1"]).wait()
    return {}


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is written to standard output and standard error meanwhile, one string each."""
    said: list[str] = []
    kept = [os.dup(1), os.dup(2)]
    pipes = [os.pipe(), os.pipe()]
    try:
        for descriptor, (_, writing) in enumerate(pipes, start=1):
            os.dup2(writing, descriptor)
            os.close(writing)
        yield said
    finally:
        for descriptor, keep in enumerate(kept, start=1):
            os.dup2(keep, descriptor)
            os.close(keep)
        for reading, _ in pipes:
            with os.fdopen(reading) as pipe:
                said.append(pipe.read())


@for_everyone
def test_a_program_sees_the_node_and_nothing_else(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    script = "hostname; cat /etc/resolv.conf; ls /sys/class/net; echo $http_proxy; ip netns list | sort; ip -n bare link | wc -l"
    with heard() as said:
        assert exec_in("trial", "pod-1", ["sh", "-c", script]) == 0
    expected = ["pod-1", "nameserver 10.96.0.10", "eth0", "eth1", "lo", "http://10.0.0.1:3128", "bare", "pod-1", "2"]
    assert said == ["\n".join(expected) + "\n", ""]


@for_everyone
@pytest.mark.parametrize(
    ("argv", "code", "complaint"),
    [
        (["true"], 0, ""),
        (["false"], 1, ""),
        (["sh", "-c", "exit 42"], 42, ""),
        (["sh", "-c", "kill -TERM $$"], 128 + 15, ""),
        (["sh", "-c", "kill -KILL $$"], 128 + 9, ""),
        (["no-such-program"], 127, "no-such-program: not found\n"),
        (["/no/such/program"], 127, "/no/such/program: No such file or directory\n"),
        (["/etc/passwd"], 126, "/etc/passwd: Permission denied\n"),
    ],
)
def test_exit_codes_are_a_shells(sandbox: Sandbox, argv: list[str], code: int, complaint: str) -> None:
    hold("trial", one_pod)
    with heard() as said:
        assert exec_in("trial", "pod-1", argv) == code
    assert said == ["", complaint]


def test_the_callers_variables_are_there_but_not_its_proxies(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    os.environ |= {"HTTPS_PROXY": "http://the-machine's:1", "no_proxy": "*", "COLOUR": "red", "SIZE": "large"}
    with heard() as said:
        exec_in("trial", "bare", ["sh", "-c", "echo $HTTPS_PROXY $no_proxy $COLOUR $SIZE"], env={"SIZE": "small"})
    assert said[0] == "red small\n"


def test_the_working_directory_is_the_callers_where_the_lab_has_it(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    os.chdir("/usr/share")
    with heard() as said:
        exec_in("trial", "bare", ["pwd"])
    Path("/run/only-outside").mkdir()
    os.chdir("/run/only-outside")
    with heard() as said_elsewhere:
        exec_in("trial", "bare", ["pwd"])
    assert (said[0], said_elsewhere[0]) == ("/usr/share\n", "/\n")


def test_a_program_runs_although_the_callers_directory_was_removed(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    gone = Path("/run/soon-removed")
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with heard() as said:
        assert exec_in("trial", "bare", ["pwd"]) == 0
    assert said[0] == "/\n"


def test_standard_input_reaches_the_program(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    os.dup2(reading, 0)
    with heard() as said:
        assert exec_in("trial", "bare", ["wc", "-l"]) == 0
    assert said[0] == "2\n"


def test_unknown_labs_and_nodes_get_the_nearest_name(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    with pytest.raises(InputError) as unknown_lab:
        exec_in("trail", "pod-1", ["true"])
    with pytest.raises(InputError) as unknown_node:
        exec_in("trial", "pod-2", ["true"])
    assert (unknown_lab.value.hint, unknown_node.value.hint) == ("did you mean 'trial'?", "did you mean 'pod-1'?")


@pytest.mark.parametrize("node", ["", ".", "..", "../lab", "a/b", "a\0b"])
def test_a_name_that_is_none_leads_nowhere(sandbox: Sandbox, node: str) -> None:
    hold("trial", one_pod)
    with pytest.raises(InputError, match="has no node"):
        exec_in("trial", node, ["true"])


@for_everyone
def test_a_busy_lab_can_be_entered(sandbox: Sandbox) -> None:
    def busy(lab: Sandbox, report: Report) -> Mapping[str, Operation]:
        one_pod(lab, report)
        report("built")
        return {}

    hold("trial", busy)
    worker = Path(f"/proc/{running_labs()[0].pid}/task/{running_labs()[0].pid}/children").read_text().split()[0]
    os.kill(int(worker), signal.SIGSTOP)
    assert exec_in("trial", "pod-1", ["true"]) == 0


# Lifetime


def entered(
    node: str, argv: list[str], other_processes: Callable[[], set[int]], eventually: Callable[..., None], comm: str = ""
) -> tuple[int, set[int]]:
    """Run a program in a process of its own; its pid, and the processes that has brought: itself, the joiner, the keeper, the program."""
    before = other_processes()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = exec_in("trial", node, argv)
        except LabError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    eventually(lambda: len(other_processes() - before) == 4 and any_runs(other_processes() - before, comm or argv[0]), "the program runs")
    return pid, other_processes() - before


def any_runs(pids: set[int], program: str) -> bool:
    names = set()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            names.add(Path(f"/proc/{pid}/comm").read_text().strip())
    return program in names


@for_everyone
def test_a_program_ends_with_its_lab(sandbox: Sandbox, other_processes: Any, eventually: Any, watch_namespaces: Any) -> None:
    hold("trial", one_pod)
    watch = watch_namespaces()
    watch.follow(f"/proc/{running_labs()[0].pid}/root/run/netns/pod-1")
    pid, _ = entered("pod-1", ["sleep", "1000"], other_processes, eventually)
    stop("trial")
    watch.wait_until_all_are_gone()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGKILL
    assert other_processes() == set()


@for_everyone
def test_a_program_ends_with_the_command_that_ran_it(sandbox: Sandbox, other_processes: Any, eventually: Any) -> None:
    hold("trial", one_pod)
    before = other_processes()
    pid, _ = entered("pod-1", ["sleep", "1000"], other_processes, eventually)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    eventually(lambda: other_processes() == before, "joiner and program have ended")


@for_everyone
def test_so_does_one_that_changed_its_user(sandbox: Sandbox, other_processes: Any, eventually: Any) -> None:
    """As if: what the kernel forgets of such a program, this one forgets by itself."""
    hold("trial", one_pod)
    before = other_processes()
    forget = "import ctypes, os; ctypes.CDLL(None).prctl(1, 0, 0, 0, 0); os.execvp('sleep', ['sleep', '1000'])"
    pid, _ = entered("pod-1", [sys.executable, "-c", forget], other_processes, eventually, comm="sleep")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    eventually(lambda: other_processes() == before, "joiner and program have ended")


def test_the_command_that_waits_holds_no_namespace_of_the_node(sandbox: Sandbox, other_processes: Any, eventually: Any) -> None:
    hold("trial", one_pod)
    home = {kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt")}
    pid, new = entered("pod-1", ["sleep", "1000"], other_processes, eventually)
    outside = [process for process in new if all(str(Path(f"/proc/{process}/ns/{kind}").readlink()) == home[kind] for kind in home)]
    assert len(outside) == 3, "the caller, the joiner and the keeper have not moved"
    for process in outside:
        open_files = [str(entry.readlink()) for entry in Path(f"/proc/{process}/fd").iterdir()]
        assert {name for name in open_files if name.startswith(("net:", "mnt:"))} <= set(home.values())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


# Terminal


class Terminal:
    """A person at a terminal: types, and reads what is shown."""

    def __init__(self, run: Callable[[], int]) -> None:
        self._shown = b""
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            code = 99
            try:
                code = run()
                ours = os.tcgetpgrp(0) == os.getpgrp()
                canonical = bool(termios.tcgetattr(0)[3] & termios.ICANON)
                os.write(1, f"back with {code}, in the foreground: {ours}, by lines: {canonical}\n".encode())
            finally:
                os._exit(code)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> None:
        """Read on until this is shown; what was before is forgotten."""
        deadline = time.monotonic() + 60
        while text.encode() not in self._shown:
            ready, _, _ = select.select([self._descriptor], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"waited for {text!r}, saw {self._shown!r}"
            try:
                self._shown += os.read(self._descriptor, 4096)
            except OSError:  # how a terminal says that nobody is there any more
                raise AssertionError(f"waited for {text!r}, the terminal closed after {self._shown!r}") from None
        self._shown = self._shown.partition(text.encode())[2]

    def close(self) -> None:
        os.close(self._descriptor)
        os.waitpid(self._pid, 0)


PROMPT = "pod-1# "


@for_everyone
def test_a_shell_has_the_nodes_name_as_prompt_and_the_terminals_size(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    terminal = Terminal(lambda: shell_in("trial", "pod-1"))
    terminal.wait_for(PROMPT)
    terminal.resize(33, 77)
    terminal.type("stty size\n")
    terminal.wait_for("33 77")
    terminal.wait_for(PROMPT)
    terminal.type("exit 7\n")
    terminal.wait_for("back with 7, in the foreground: True, by lines: True")
    terminal.close()


def test_what_is_typed_in_a_shell_is_remembered_in_the_lab_and_not_at_home(sandbox: Sandbox) -> None:
    home = Path("/run/home")
    home.mkdir()
    os.environ["HOME"] = str(home)
    hold("trial", one_pod)
    terminal = Terminal(lambda: shell_in("trial", "pod-1"))
    terminal.wait_for(PROMPT)
    terminal.type("echo something to remember\n")
    terminal.wait_for(PROMPT)
    terminal.type("exit\n")
    terminal.wait_for("back with 0")
    terminal.close()
    assert list(home.iterdir()) == []
    with heard() as said:
        exec_in("trial", "pod-1", ["cat", "/run/lab/history"])
    assert said[0] == "echo something to remember\nexit\n"


@for_everyone
def test_a_shell_has_job_control(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    terminal = Terminal(lambda: shell_in("trial", "pod-1"))
    terminal.wait_for(PROMPT)
    for key, status in (("\x03", 128 + signal.SIGINT), ("\x1a", 128 + signal.SIGTSTP)):
        terminal.type("sh -c 'echo now; exec sleep 1000'\n")
        terminal.wait_for("now\r\n")
        terminal.type(key)
        terminal.wait_for(PROMPT)
        terminal.type("echo status $?\n")
        terminal.wait_for(f"\rstatus {status}")
        terminal.wait_for(PROMPT)
    terminal.type("kill %1; fg\n")
    terminal.wait_for("Terminated")
    terminal.type("exit\n")
    terminal.wait_for("back with")
    terminal.close()


def test_ctrl_c_ends_a_program_and_not_the_command_that_ran_it(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    terminal = Terminal(lambda: exec_in("trial", "pod-1", ["sh", "-c", "echo now; exec sleep 1000"]))
    terminal.wait_for("now")
    terminal.type("\x03")
    terminal.wait_for("back with 130, in the foreground: True")
    terminal.close()


def test_a_program_run_in_the_background_does_not_take_the_terminal(sandbox: Sandbox) -> None:
    hold("trial", one_pod)

    def in_the_background() -> int:
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os._exit(exec_in("trial", "pod-1", ["true"]))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    terminal = Terminal(in_the_background)
    terminal.wait_for("back with 0, in the foreground: True")
    terminal.close()


@for_everyone
def test_the_terminal_comes_back_from_a_shell_whose_lab_was_stopped(sandbox: Sandbox) -> None:
    hold("trial", one_pod)
    terminal = Terminal(lambda: shell_in("trial", "pod-1"))
    terminal.wait_for(PROMPT)
    stop("trial")
    terminal.wait_for("back with 137, in the foreground: True, by lines: True")
    terminal.close()


def test_closing_the_terminal_ends_the_shell(sandbox: Sandbox, other_processes: Any, eventually: Any) -> None:
    hold("trial", one_pod)
    before = other_processes()
    terminal = Terminal(lambda: shell_in("trial", "pod-1"))
    terminal.wait_for(PROMPT)
    terminal.close()
    eventually(lambda: other_processes() == before, "the shell has ended")
