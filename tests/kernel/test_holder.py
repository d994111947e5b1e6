"""A lab in the background: found, asked, ended; by its owner and by nobody else.

Each test runs in a sandbox of its own, so that no lab of this machine's users is in sight, nor its own in theirs.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ExitCode, InconclusiveError, InputError, LabError, MachineError
from lab.kernel import registry
from lab.kernel.control import Lines, address_of, send_line
from lab.kernel.holder import Operation, hold
from lab.kernel.registry import LabEntry, connect, running_labs, stop
from lab.kernel.sandbox import Report, Sandbox

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)


def two_nodes(lab: Sandbox, _report: Report) -> Mapping[str, Operation]:
    """A lab of two nodes that offers some operations."""
    lab.add_namespace("a")
    lab.add_namespace("b")
    lab.spawn("a", ["sleep", "1000"])

    def count(arguments: Mapping[str, Any], report: Report) -> list[int]:
        for number in range(arguments["to"]):
            report(number)
        return list(range(arguments["to"]))

    def refuse(_arguments: Mapping[str, Any], _report: Report) -> None:
        raise MachineError("not here", hint="elsewhere")

    def stumble(_arguments: Mapping[str, Any], _report: Report) -> None:
        raise ZeroDivisionError

    return {
        "nodes": lambda _arguments, _report: list(lab.namespaces),
        "echo": lambda arguments, _report: dict(arguments),
        "unspeakable": lambda _arguments, _report: object(),
        "add": lambda arguments, _report: lab.add_namespace(arguments["name"]),
        "count": count,
        "refuse": refuse,
        "stumble": stumble,
    }


def in_another_process(body: Callable[[], object]) -> int:
    """Run `body` in a process of its own, such as another command would be; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            body()
            code = 0
        except LabError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@for_everyone
def test_a_lab_outlives_the_command_that_started_it_and_is_found(sandbox: Sandbox, eventually: Any, other_processes: Any) -> None:
    assert in_another_process(lambda: hold("trial", two_nodes)) == 0
    (entry,) = running_labs()
    assert (entry.name, entry.uid) == ("trial", os.geteuid())
    assert entry.pid in other_processes()
    with connect("trial") as lab:
        assert lab.entry == entry
        assert lab.request("nodes") == ["a", "b"]
    stop("trial")
    assert running_labs() == ()
    assert other_processes() == set(), "stop waits for its processes"


def test_nothing_is_running_where_nothing_was_started(sandbox: Sandbox) -> None:
    assert running_labs() == ()


@for_everyone
def test_requests_are_answered_with_reports_results_and_errors(sandbox: Sandbox) -> None:
    hold("trial", two_nodes)
    reports: list[object] = []
    with connect("trial") as lab:
        assert lab.request("count", to=3, on_report=reports.append) == [0, 1, 2]
        assert reports == [0, 1, 2]
        assert lab.request("echo", text="ü\n", list=[1, None]) == {"text": "ü\n", "list": [1, None]}
        with pytest.raises(MachineError) as refused:
            lab.request("refuse")
        assert str(refused.value) == "not here\n  hint: elsewhere"
        with pytest.raises(InputError) as unknown:
            lab.request("node")
        assert str(unknown.value) == "this lab knows no 'node'\n  hint: did you mean 'nodes'?"


@pytest.mark.parametrize("operation", ["stumble", "unspeakable"])
def test_a_mistake_in_an_operation_is_told_and_the_lab_stays(sandbox: Sandbox, operation: str) -> None:
    hold("trial", two_nodes)
    with connect("trial") as lab:
        with pytest.raises(LabError, match=f"{operation} failed inside the lab"):
            lab.request(operation)
        assert lab.request("nodes") == ["a", "b"]


def test_a_megabyte_goes_there_and_back(sandbox: Sandbox) -> None:
    hold("trial", two_nodes)
    with connect("trial") as lab:
        assert lab.request("echo", text="x" * 1_000_000) == {"text": "x" * 1_000_000}


def test_several_clients_are_served(sandbox: Sandbox) -> None:
    hold("trial", two_nodes)
    with connect("trial") as first, connect("trial") as second:
        first.request("add", name="c")
        assert second.request("nodes") == first.request("nodes") == ["a", "b", "c"]


def test_a_client_that_hangs_up_in_the_middle_does_not_disturb(sandbox: Sandbox) -> None:
    hold("trial", two_nodes)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as rude:
        rude.connect(address_of(os.geteuid(), "trial"))
        rude.sendall(b'{"operation": "count", "arguments": {"to": 100000}}\n{"operation"')
    with connect("trial") as lab:
        assert lab.request("nodes") == ["a", "b"]


@pytest.mark.parametrize("line", [b"not json", b"[]", b"{}", b"\xff", b'{"operation": "echo", "arguments": 3}', b'{"operation": []}'])
def test_what_is_no_request_is_refused(sandbox: Sandbox, line: bytes) -> None:
    hold("trial", two_nodes)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(address_of(os.geteuid(), "trial"))
        client.sendall(line + b"\n")
        (answer,) = Lines(client).read() or []
        assert b"not a request" in answer


@for_everyone
def test_a_name_is_given_once(sandbox: Sandbox) -> None:
    hold("trial", two_nodes)
    with pytest.raises(InputError, match="'trial' is running already"):
        hold("trial", two_nodes)
    hold("trial-2", two_nodes)
    assert [entry.name for entry in running_labs()] == ["trial", "trial-2"]
    stop("trial")
    hold("trial", two_nodes)
    assert [entry.name for entry in running_labs()] == ["trial", "trial-2"]


def test_an_unknown_lab_gets_the_nearest_name(sandbox: Sandbox) -> None:
    hold("two-clusters", two_nodes)
    with pytest.raises(InputError) as caught, connect("two-cluster"):
        pass
    assert str(caught.value) == "no lab 'two-cluster' is running\n  hint: did you mean 'two-clusters'?"


@for_everyone
def test_a_lab_that_cannot_be_built_is_not_there(sandbox: Sandbox, eventually: Any, other_processes: Any) -> None:
    def fail(lab: Sandbox, report: Report) -> Mapping[str, Operation]:
        two_nodes(lab, report)
        raise MachineError("no veth", hint="another kernel")

    with pytest.raises(MachineError, match="no veth"):
        hold("trial", fail)
    assert running_labs() == ()
    assert other_processes() == set()


@for_everyone
def test_reports_are_heard_while_it_is_built(sandbox: Sandbox) -> None:
    def build(_lab: Sandbox, report: Report) -> Mapping[str, Operation]:
        report("one")
        report({"two": 2})
        return {}

    heard: list[object] = []
    hold("trial", build, on_report=heard.append)
    assert heard == ["one", {"two": 2}]


@for_everyone
def test_a_command_that_is_killed_while_it_builds_leaves_nothing(sandbox: Sandbox, eventually: Any, other_processes: Any) -> None:
    def never_ready(lab: Sandbox, report: Report) -> Mapping[str, Operation]:
        two_nodes(lab, report)
        report("built")
        signal.pause()
        return {}

    code = in_another_process(lambda: hold("trial", never_ready, on_report=lambda _: os.kill(os.getpid(), signal.SIGKILL)))
    assert code == -signal.SIGKILL
    eventually(lambda: other_processes() == set(), "processes have ended")
    assert running_labs() == ()


@for_everyone
@pytest.mark.parametrize("victim", ["init", "worker"])
def test_a_background_lab_ends_with_either_of_its_first_two_processes(
    sandbox: Sandbox, victim: str, eventually: Any, watch_namespaces: Any, other_processes: Any
) -> None:
    hold("trial", two_nodes)
    (entry,) = running_labs()
    worker = int(Path(f"/proc/{entry.pid}/task/{entry.pid}/children").read_text().split()[0])
    if os.geteuid() == 0:
        watch = watch_namespaces()
        watch.follow(f"/proc/{worker}/root/run/netns/a")
    os.kill(entry.pid if victim == "init" else worker, signal.SIGKILL)
    eventually(lambda: other_processes() == set(), "processes have ended")
    assert running_labs() == ()
    if os.geteuid() == 0:
        watch.wait_until_all_are_gone()


def test_a_lab_that_is_killed_while_it_answers_is_no_answer(sandbox: Sandbox) -> None:
    def deadly(_lab: Sandbox, _report: Report) -> Mapping[str, Operation]:
        return {"die": lambda _arguments, _report: os.kill(os.getpid(), signal.SIGKILL)}

    hold("trial", deadly)
    with connect("trial") as lab, pytest.raises(InconclusiveError, match="ended before it answered"):
        lab.request("die")


def test_a_lab_that_is_busy_can_be_stopped(sandbox: Sandbox) -> None:
    def stuck(_lab: Sandbox, _report: Report) -> Mapping[str, Operation]:
        return {"hang": lambda _arguments, _report: signal.pause()}

    hold("trial", stuck)
    with connect("trial") as lab:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(address_of(os.geteuid(), "trial"))
        send_line(client, {"operation": "hang", "arguments": {}})
        assert not select.select([lab.pidfd], [], [], 0)[0]
        stop("trial")
        assert select.select([lab.pidfd], [], [], 0)[0], "stop waits until PID 1 has ended"
        client.close()


@for_everyone
def test_a_background_lab_keeps_no_terminal_pipe_or_directory_descriptor_of_its_starter(sandbox: Sandbox) -> None:
    reading, writing = os.pipe()

    def start() -> None:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        hold("trial", two_nodes)

    assert in_another_process(start) == 0
    os.close(writing)
    assert os.read(reading, 1) == b"", "the pipe is at its end although the lab runs"
    os.close(reading)
    assert [entry.name for entry in running_labs()] == ["trial"]


def test_a_lab_starts_from_a_process_without_standard_descriptors(sandbox: Sandbox) -> None:
    def start() -> None:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]
        hold("trial", two_nodes)

    assert in_another_process(start) == 0
    with connect("trial") as lab:
        assert lab.request("nodes") == ["a", "b"]


def test_the_hint_to_somebody_without_an_account_is_a_command_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a shell an unquoted # begins a comment."""
    monkeypatch.setattr(registry, "running_labs", lambda: [LabEntry("trial-of-nobody", 4242424, 1)])
    with pytest.raises(InputError) as caught, connect("trial-of-nobody"):
        pass
    assert caught.value.hint == "only #4242424 reaches it: sudo -u '#4242424' lab ..."


@pytest.mark.root
def test_another_users_lab_is_seen_but_not_reached(sandbox: Sandbox, give_up_root: Any) -> None:
    hold("roots-own", two_nodes)

    def as_another() -> None:
        give_up_root()
        assert [(entry.name, entry.uid) for entry in running_labs()] == [("roots-own", 0)]
        with pytest.raises(InputError) as caught, connect("roots-own"):
            pass
        assert caught.value.message == "the lab 'roots-own' is root's"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.connect(address_of(0, "roots-own"))
            with suppress(BrokenPipeError):
                send_line(stranger, {"operation": "nodes", "arguments": {}})
            assert Lines(stranger).read() is None, "a stranger gets no answer"
        hold("roots-own", two_nodes)
        with connect("roots-own") as lab:
            assert lab.entry.uid == os.geteuid()

    assert in_another_process(as_another) == 0
    assert len(running_labs()) == 2
    stop("roots-own")
    assert [entry.uid for entry in running_labs()] != [0]


@pytest.mark.root
def test_nobody_is_believed_who_takes_anothers_name(sandbox: Sandbox, give_up_root: Any) -> None:
    def impostor() -> None:
        give_up_root()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fake:
            fake.bind(address_of(0, "trap"))
            fake.listen()
            os.write(told, b"x")
            signal.pause()

    listening, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            impostor()
        finally:
            os._exit(1)
    os.read(listening, 1)
    assert running_labs() == ()
    with pytest.raises(InputError, match="no lab 'trap' is running"), connect("trap"):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_exit_codes_of_a_failed_start_are_the_errors(sandbox: Sandbox) -> None:
    assert in_another_process(lambda: hold("not a name", two_nodes)) == ExitCode.INPUT
