"""A sandbox from within: its namespaces, its processes, and what it does not let out."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InconclusiveError, InputError, InputErrors, MachineError, Place
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.kernel.syscalls import detached_procfs

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)


def here() -> str:
    """The network namespace of the calling thread."""
    return str(Path("/proc/thread-self/ns/net").readlink())


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def links_of(ip_output: str) -> list[str]:
    return [line.split(": ")[1].split("@")[0] for line in ip_output.splitlines() if line[:1].isdigit()]


def test_a_descriptor_beyond_what_the_process_may_open_is_no_hindrance() -> None:
    """Whoever calls the lab may hold files with numbers that a later `ulimit -n` no longer allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = len(list(Path("/proc/self/fd").iterdir())) + 200
    beyond = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, allowed + 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        assert run_in_sandbox(lambda _sandbox, _report: (os.getpid(), Path(f"/proc/self/fd/{beyond}").exists())) == (2, False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(beyond)


# What comes back


def test_the_result_of_the_work_comes_back() -> None:
    assert run_in_sandbox(lambda _sandbox, _report: {"answer": 42}) == {"answer": 42}


def test_reports_arrive_in_order_and_before_the_result() -> None:
    heard: list[object] = []

    def work(_sandbox: Sandbox, report: Report) -> int:
        for number in range(1000):
            report(number)
        return len(heard)

    assert run_in_sandbox(work, on_report=heard.append) == 0, "the work ran in this process"
    assert heard == list(range(1000))


def test_a_large_result_comes_back_whole() -> None:
    assert run_in_sandbox(lambda _sandbox, _report: b"x" * 10_000_000) == b"x" * 10_000_000


def test_an_error_for_people_comes_back_with_its_place_and_hint() -> None:
    def work(_sandbox: Sandbox, _report: Report) -> None:
        raise MachineError("no veth", place=Place("lab.yaml", 3, 7), hint="use another kernel")

    with pytest.raises(MachineError) as caught:
        run_in_sandbox(work)
    assert str(caught.value) == "lab.yaml:3:7: no veth\n  hint: use another kernel"


def test_several_mistakes_come_back_as_several() -> None:
    def work(_sandbox: Sandbox, _report: Report) -> None:
        raise InputErrors([InputError("one"), InputError("two")])

    with pytest.raises(InputErrors) as caught:
        run_in_sandbox(work)
    assert [error.message for error in caught.value.errors] == ["one", "two"]


def test_a_bug_comes_back_with_its_traceback() -> None:
    def bug_in_the_work(_sandbox: Sandbox, _report: Report) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError) as caught:
        run_in_sandbox(bug_in_the_work)
    assert any("bug_in_the_work" in note for note in caught.value.__notes__)


def test_the_kernels_error_comes_back_with_its_number_and_file() -> None:
    def work(_sandbox: Sandbox, _report: Report) -> None:
        Path("/no/such/file").read_text()

    with pytest.raises(FileNotFoundError) as caught:
        run_in_sandbox(work)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "/no/such/file")


def test_an_exception_that_cannot_travel_comes_back_as_its_text() -> None:
    class Unknown(Exception):
        pass

    def work(_sandbox: Sandbox, _report: Report) -> None:
        raise Unknown("known only inside")

    with pytest.raises(RuntimeError, match="Unknown: known only inside"):
        run_in_sandbox(work)


def test_a_worker_that_is_killed_is_no_result() -> None:
    def work(_sandbox: Sandbox, _report: Report) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InconclusiveError, match="ended before"):
        run_in_sandbox(work)


# Namespaces


@for_everyone
def test_a_new_namespace_has_only_lo_and_ip_finds_it_by_name(sandbox: Sandbox) -> None:
    sandbox.add_namespace("worker-1")
    assert sandbox.namespaces == ("worker-1",)
    assert output("ip", "netns", "list").split() == ["worker-1"]
    assert links_of(output("ip", "-n", "worker-1", "link")) == ["lo"]


@for_everyone
def test_a_link_between_two_namespaces_is_seen_at_both_ends_and_nowhere_else(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    sandbox.add_namespace("b")
    output("ip", "link", "add", "to-b", "netns", "a", "type", "veth", "peer", "to-a", "netns", "b")
    assert links_of(output("ip", "-n", "a", "link")) == ["lo", "to-b"]
    assert links_of(output("ip", "netns", "exec", "b", "ip", "link")) == ["lo", "to-a"]
    assert links_of(output("ip", "link")) == ["lo"]


@for_everyone
def test_adding_a_namespace_leaves_the_thread_where_it_was(sandbox: Sandbox) -> None:
    home = here()
    sandbox.add_namespace("a")
    assert here() == home
    with sandbox.enter("a"):
        inside = here()
        sandbox.add_namespace("b")
        assert here() == inside


@for_everyone
def test_entering_nests(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    sandbox.add_namespace("b")
    home = here()
    with sandbox.enter("a"):
        in_a = here()
        with sandbox.enter("b"):
            assert here() not in {home, in_a}
        assert here() == in_a
    assert here() == home


def test_an_error_inside_leads_out(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    home = here()
    with pytest.raises(KeyError), sandbox.enter("a"):
        raise KeyError
    assert here() == home


def test_entering_moves_one_thread_only(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    home, entered, leave = here(), threading.Event(), threading.Event()

    def stay_inside() -> None:
        with sandbox.enter("a"):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay_inside)
    thread.start()
    entered.wait()
    assert here() == home
    leave.set()
    thread.join()


def test_a_socket_stays_in_its_namespace(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    output("ip", "-n", "a", "link", "set", "lo", "up")
    with sandbox.socket_in("a", socket.AF_INET, socket.SOCK_DGRAM) as inside, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        inside.connect(("127.0.0.1", 9))
        with pytest.raises(OSError, match="unreachable"):
            outside.connect(("127.0.0.1", 9))


@for_everyone
def test_a_removed_namespace_is_gone_and_its_name_is_free(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    sandbox.add_namespace("b")
    output("ip", "link", "add", "to-b", "netns", "a", "type", "veth", "peer", "to-a", "netns", "b")
    sandbox.remove_namespace("a")
    assert sandbox.namespaces == ("b",)
    assert output("ip", "netns", "list").split() == ["b"]
    sandbox.add_namespace("a")
    assert links_of(output("ip", "-n", "a", "link")) == ["lo"]


def test_a_removed_namespace_takes_its_links_with_it(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    sandbox.add_namespace("a")
    sandbox.add_namespace("b")
    output("ip", "link", "add", "to-b", "netns", "a", "type", "veth", "peer", "to-a", "netns", "b")
    sandbox.remove_namespace("a")
    eventually(lambda: links_of(output("ip", "-n", "b", "link")) == ["lo"], "b's end of the link is gone")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256])
def test_a_name_that_no_file_can_have_is_refused(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a node"):
        sandbox.add_namespace(name)


@pytest.mark.parametrize("name", ["knoten-ü", "a b", "-x", "x" * 255, "a\nb"])
def test_any_other_name_will_do(sandbox: Sandbox, name: str) -> None:
    sandbox.add_namespace(name)
    with sandbox.enter(name):
        assert links_of(output("ip", "link")) == ["lo"]
    sandbox.remove_namespace(name)


def test_a_name_that_is_taken_is_refused(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with pytest.raises(InputError, match="has a node 'a' already"):
        sandbox.add_namespace("a")


def test_a_limit_of_the_machine_that_is_reached_is_named(sandbox: Sandbox) -> None:
    already_open = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (already_open + 5, already_open + 5))
    home = here()

    def add_many() -> None:
        for number in range(10):
            sandbox.add_namespace(str(number))

    with pytest.raises(MachineError, match="Too many open files") as caught:
        add_many()
    assert "ulimit -n" in str(caught.value.hint)
    assert here() == home


def test_an_unknown_name_gets_the_nearest(sandbox: Sandbox) -> None:
    sandbox.add_namespace("cluster-1-worker-1")
    with pytest.raises(InputError) as caught, sandbox.enter("cluster-1-worker-l"):
        pass
    assert caught.value.hint == "did you mean 'cluster-1-worker-1'?"


@for_everyone
def test_sysctls_are_written_through_a_private_procfs(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    sandbox.add_namespace("b")
    proc = detached_procfs()
    with sandbox.enter("a"):
        descriptor = os.open("sys/net/ipv4/ip_forward", os.O_WRONLY, dir_fd=proc)
        os.write(descriptor, b"1")
        os.close(descriptor)
    os.close(proc)
    assert [output("ip", "netns", "exec", name, "cat", "/proc/sys/net/ipv4/ip_forward").strip() for name in "ab"] == ["1", "0"]


# Processes


@for_everyone
def test_a_process_sees_its_node(sandbox: Sandbox) -> None:
    sandbox.add_namespace("pod")
    output("ip", "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "eth1")
    sandbox.write_etc("pod", "resolv.conf", "nameserver 10.96.0.10\n")
    sandbox.set_environment("pod", {"https_proxy": "http://proxy:3128"})
    said = answer_of(sandbox, "pod", "cat /etc/resolv.conf; echo $https_proxy $EXTRA; ls /sys/class/net", env={"EXTRA": "more"})
    assert said.split("\n") == ["nameserver 10.96.0.10", "http://proxy:3128 more", "eth0", "eth1", "lo", ""]


@for_everyone
def test_a_node_without_files_of_its_own_asks_no_name_server_of_the_machine(sandbox: Sandbox) -> None:
    sandbox.add_namespace("pod")
    assert answer_of(sandbox, "pod", "cat /etc/resolv.conf") == ""


@for_everyone
def test_ip_netns_exec_shows_the_same_files(sandbox: Sandbox) -> None:
    sandbox.add_namespace("pod")
    sandbox.write_etc("pod", "resolv.conf", "nameserver 10.96.0.10\n")
    sandbox.write_etc("pod", "a-file-that-no-machine-has", "here\n")
    assert (
        output("ip", "netns", "exec", "pod", "cat", "/etc/resolv.conf", "/etc/a-file-that-no-machine-has")
        == "nameserver 10.96.0.10\nhere\n"
    )


def test_a_process_gets_none_of_the_callers_variables(sandbox: Sandbox) -> None:
    os.environ["HTTP_PROXY"] = "http://the-machine's:3128"
    sandbox.add_namespace("pod")
    assert "HTTP_PROXY" not in answer_of(sandbox, "pod", "env")


def test_a_namespace_added_later_is_seen_by_processes_that_run(sandbox: Sandbox) -> None:
    sandbox.add_namespace("early")
    process = sandbox.spawn("early", ["sh", "-c", "read line; ip netns list"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sandbox.add_namespace("late")
    listed, _ = process.communicate(b"go\n")
    assert sorted(listed.decode().split()) == ["early", "late"]


def test_a_program_that_is_not_installed_is_named_with_its_package(sandbox: Sandbox) -> None:
    sandbox.add_namespace("pod")
    os.environ["PATH"] = "/nowhere"
    with pytest.raises(MachineError) as caught:
        sandbox.spawn("pod", ["no-such-program"])
    assert caught.value.message == "no-such-program is not installed"


def test_orphans_are_taken_in(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    sandbox.add_namespace("pod")
    orphan = int(answer_of(sandbox, "pod", "sleep 0 >/dev/null & echo $!"))
    eventually(lambda: not Path(f"/proc/{orphan}").exists(), "nobody collected the orphan")


def answer_of(sandbox: Sandbox, node: str, script: str, **options: Any) -> str:
    process = sandbox.spawn(node, ["sh", "-c", script], stdout=subprocess.PIPE, **options)
    answer, _ = process.communicate()
    assert process.returncode == 0
    return answer.decode()


# What stays inside, and outside


@for_everyone
def test_the_worker_is_in_a_network_without_links(sandbox: Sandbox) -> None:
    assert links_of(output("ip", "link")) == ["lo"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray, pytest.raises(OSError, match="unreachable"):
        stray.connect(("127.0.0.1", 53))
    assert [entry.name for entry in Path("/sys/class/net").iterdir()] == ["lo"]


@for_everyone
def test_no_socket_of_the_machine_is_in_reach(sandbox: Sandbox) -> None:
    assert sorted(entry.name for entry in Path("/run").iterdir()) == ["lab", "netns"]
    assert Path("/proc/net/unix").read_text().count("\n") == 1, "only its heading"


@for_everyone
def test_only_the_labs_processes_are_in_sight(sandbox: Sandbox) -> None:
    assert sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()) == [1, os.getpid()]


@for_everyone
def test_files_are_the_labs_own(sandbox: Sandbox) -> None:
    Path("/etc/netns/trial").mkdir()
    Path("/etc/made-inside").write_text("x")
    assert sandbox.scratch.is_dir()
    assert Path(os.environ["TMPDIR"]).is_relative_to(sandbox.scratch)


def test_two_sandboxes_do_not_meet(host_unchanged: Any) -> None:
    def outer(sandbox: Sandbox, _report: Report) -> tuple[str, ...]:
        sandbox.add_namespace("node")
        output("ip", "-n", "node", "link", "add", "here", "type", "veth", "peer", "there")

        def inner(second: Sandbox, _report: Report) -> list[str]:
            second.add_namespace("node")
            return links_of(output("ip", "-n", "node", "link"))

        assert run_in_sandbox(inner) == ["lo"]
        return tuple(links_of(output("ip", "-n", "node", "link")))

    assert sorted(run_in_sandbox(outer)) == ["here", "lo", "there"]


def test_the_machine_is_as_before_while_a_lab_runs_and_afterwards(host_unchanged: Any) -> None:
    def work(sandbox: Sandbox, report: Report) -> None:
        for name in ("a", "b"):
            sandbox.add_namespace(name)
        output("ip", "link", "add", "to-b", "netns", "a", "type", "veth", "peer", "to-a", "netns", "b")
        output(
            "ip",
            "netns",
            "exec",
            "a",
            "sh",
            "-c",
            "echo 1 > /proc/sys/net/ipv4/ip_forward; nft add table ip trial; ip rule add prio 7 table 7",
        )
        Path("/etc/netns/a").mkdir()
        Path("/etc/made-inside").write_text("x")
        sandbox.spawn("a", ["sleep", "1000"])
        report("built")

    moments: list[object] = []
    run_in_sandbox(work, on_report=lambda message: (host_unchanged.check(), moments.append(message)))
    assert moments == ["built"]


def test_descriptors_of_the_caller_do_not_follow_into_the_sandbox() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as kept, os.fdopen(reading, "rb"):

        def work(_sandbox: Sandbox, _report: Report) -> str:
            return str(Path(f"/proc/self/fd/{kept.fileno()}").readlink())

        assert run_in_sandbox(work) == "/dev/null"


def test_closing_an_object_of_the_caller_inside_closes_nothing_else() -> None:
    with Path(os.devnull).open() as inherited:

        def work(sandbox: Sandbox, _report: Report) -> list[str]:
            for number in range(10):
                sandbox.add_namespace(str(number))
            inherited.close()
            return [answer_of(sandbox, str(number), "echo here") for number in range(10)]

        assert run_in_sandbox(work) == ["here\n"] * 10


# What a program in a node may do to the machine


def complaint_of(sandbox: Sandbox, script: str, **options: Any) -> str:
    """What a script in a node says on standard error; it must fail."""
    process = sandbox.spawn("pod", ["sh", "-c", script], stderr=subprocess.PIPE, **options)
    _, said = process.communicate()
    assert process.returncode != 0, f"the machine let it: {script}"
    return said.decode()


@pytest.mark.root
@pytest.mark.parametrize("file", ["sys/kernel/core_pattern", "sys/vm/drop_caches", "sys/fs/suid_dumpable"])
def test_no_node_writes_what_is_the_machines_own(sandbox: Sandbox, file: str) -> None:
    sandbox.add_namespace("pod")
    assert "Read-only" in complaint_of(sandbox, f": >>/proc/{file}")


@for_everyone
@pytest.mark.parametrize("confined", [False, True])
def test_every_node_writes_sysctls_of_its_own_network(sandbox: Sandbox, confined: bool) -> None:
    for name in ("pod", "other"):
        sandbox.add_namespace(name)
    answer_of(sandbox, "pod", "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2", confined=confined)
    assert answer_of(sandbox, "pod", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter") == "1\n2\n"
    assert answer_of(sandbox, "other", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter") == "0\n0\n"


@for_everyone
def test_a_confined_program_writes_no_file_but_the_labs(sandbox: Sandbox) -> None:
    sandbox.add_namespace("pod")
    for folder in ("/tmp", "/var/tmp", "/etc", "/dev/shm", ""):
        assert "cannot create" in complaint_of(sandbox, f": >{folder}/no-file-of-a-lab", confined=True)
    assert answer_of(sandbox, "pod", "echo yes >$TMPDIR/x; cat $TMPDIR/x; : >/dev/null", confined=True) == "yes\n"


@for_everyone
@pytest.mark.parametrize("script", ["mount -o remount,rw /", "mount -t tmpfs tmpfs /mnt", "nsenter -t 1 -m true", "ip netns exec pod true"])
def test_a_confined_program_cannot_let_itself_out(sandbox: Sandbox, script: str) -> None:
    sandbox.add_namespace("pod")
    complaint_of(sandbox, script, confined=True)


@for_everyone
def test_a_confined_program_configures_its_network(sandbox: Sandbox) -> None:
    sandbox.add_namespace("pod")
    answer_of(
        sandbox,
        "pod",
        "ip link add a type veth peer b; ip link set a up; ip route add blackhole 10.0.0.0/8; nft add table ip t; conntrack -F 2>&1",
        confined=True,
    )
    assert "blackhole 10.0.0.0/8" in answer_of(sandbox, "pod", "ip route; nft list tables")
