"""A guest tries to get out: everything that somebody who is root of a node may think of, from inside, and what he needs for his work.

Each test runs in a sandbox of its own and starts its labs there, as root and as an ordinary user.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.kernel.execute import exec_in
from lab.kernel.guest import FOLDER
from lab.kernel.holder import Operation, hold
from lab.kernel.sandbox import Report, Sandbox

pytestmark = pytest.mark.kernel

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)

# What a guest runs: it tries each line, and says by which error it failed, or what came of it.
ATTEMPTS = r"""
import ctypes, errno, fcntl, json, os, signal, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = os.uname().machine == "x86_64"
def call(number, *words):
    result = libc.syscall(number, *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(0, done.stderr.strip().splitlines()[-1:])
    return done.stdout
def written(path, text="x"):
    with open(path, "w") as file:
        file.write(text)
def connected(address, family=socket.AF_INET):
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
tried = {}
def attempt(name, what):
    try:
        tried[name] = what()
    except OSError as error:
        tried[name] = errno.errorcode.get(error.errno, "failed") if error.errno else "failed"
    except subprocess.TimeoutExpired:
        tried[name] = "failed"
given = json.loads(sys.argv[1])
for path in given["secrets"]:
    attempt(f"read {path}", lambda: open(path).read(1))
for path in ("/new", "/usr/new", "/etc/new", "/etc/passwd", "/run/lab/new", "/run/lab/bin/new", "/dev/new", "/sys/new",
             "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"):
    attempt(f"write {path}", lambda: written(path))
attempt("mount", lambda: run("mount", "-t", "tmpfs", "x", "/tmp"))
attempt("remount", lambda: run("mount", "-o", "remount,bind,rw", "/usr"))
attempt("unmount", lambda: run("umount", "-l", "/root"))
attempt("chroot", lambda: os.chroot("/usr"))
attempt("device", lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)))
attempt("user namespace", lambda: run("unshare", "--user", "--map-root-user", "true"))
attempt("mount namespace", lambda: run("unshare", "--mount", "true"))
attempt("network namespace", lambda: run("unshare", "--net", "true"))
attempt("enter", lambda: run("nsenter", "--target", "1", "--net", "--mount", "true"))
attempt("keys", lambda: call(250 if X86 else 219, 0, -4, 0))
attempt("module", lambda: call(175 if X86 else 105, b"", 0, b""))
attempt("host name", lambda: call(170 if X86 else 161, b"mine", 4))
attempt("reboot", lambda: call(169 if X86 else 142, 0xfee1dead, 672274793, 0x89abcdef, 0))
attempt("clock", lambda: call(227 if X86 else 112, 0, b"\0" * 16))
for name, (x86, arm, words) in {
    "trace the first process": (101, 117, (16, 1, 0, 0)),
    "a BPF map": (321, 280, (0, b"\0" * 72, 72)),
    "measure the kernel": (298, 241, (b"\0" * 128, -1, 0, -1, 0)),
    "page faults": (323, 282, (0,)),
    "a ring": (425, 425, (1, b"\0" * 120)),
    "open a file system": (430, 430, (b"proc", 0)),
    "clone a mount": (428, 428, (-100, b"/", 1)),
    "a file by its handle": (304, 265, (-100, b"\x08\0\0\0\x01\0\0\0" + b"\0" * 8, 0)),
    "another kernel": (246, 104, (0, 0, 0, 0)),
    "swap": (167, 224, (b"/dev/sda", 0)),
    "accounting": (163, 89, (b"/tmp/acct",)),
    "the domain's name": (171, 162, (b"mine", 4)),
    "the kernel's log": (103, 116, (3, b"\0" * 64, 64)),
}.items():
    attempt(name, lambda: call(x86 if X86 else arm, *words))
for family in (4, 5, 9, 21, 29, 30, 31, 38, 40, 41, 42, 44):
    attempt(f"a socket of family {family}", lambda: socket.socket(family, socket.SOCK_STREAM).close())
for path in ("/proc/1/root/etc/shadow", "/proc/kcore", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/fuse",
             "/dev/net/tun", "/sys/kernel/debug", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/bpf", "/sys/firmware", "/run/docker.sock",
             "/run/systemd/private", "/var/run/dbus/system_bus_socket"):
    attempt(f"open {path}", lambda: os.close(os.open(path, os.O_RDWR)))
for path in ("/sys/fs/cgroup/mine", "/sys/kernel/mine", "/proc/mine", "/mnt"):
    attempt(f"make {path}", lambda: os.mkdir(path))
attempt("a cgroup's file system", lambda: run("mount", "-t", "cgroup2", "none", "/tmp"))
tried["strangers"] = [line.split()[-1] for line in open("/proc/net/unix") if "outside" in line or "/run/" in line]
attempt("type into the terminal", lambda: fcntl.ioctl(0, 0x5412, b"x"))
for address in given["addresses"]:
    attempt(f"connect {address}", lambda: connected(tuple(address)))
for name in given["abstract"]:
    attempt(f"connect {name}", lambda: connected("\0" + name, socket.AF_UNIX))
attempt("fill the memory", lambda: written("/root/large", "x" * (80 << 20)))
tried["processes"] = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
tried["descriptors"] = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}")]
tried["environment"] = sorted(os.environ)
tried["interfaces"] = sorted(os.listdir("/sys/class/net"))
tried["root"] = sorted(os.listdir("/"))
tried["home"] = sorted(os.listdir("/root"))
tried["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff", "CapBnd"))]
print(json.dumps(tried))
"""
NETWORK_ONLY = f"{sum(1 << number for number in (5, 6, 7, 10, 12, 13)):016x}"

WORK = """
set -e
ip link add new type veth peer other
ip address add 192.0.2.1/24 dev new
sysctl -qw net.ipv4.conf.new.rp_filter=2
nft add table ip mine
ping -c 1 -W 5 192.0.2.1 >/dev/null
echo kept > /tmp/file
ping -i 0.2 192.0.2.1 >/dev/null &
timeout 30 tcpdump -c 1 -i lo icmp >/dev/null 2>&1
kill $!
python3 -IS -c '
import json, socket
door = socket.socket(socket.AF_UNIX)
door.connect("/run/lab/control")
for word in ("hello", "secret"):
    door.sendall(json.dumps({"operation": word, "arguments": {}}).encode() + b"\\n")
    print(door.recv(1000).decode(), end="")'
"""


def lab_for_guests(lab: Sandbox, _report: Report) -> Mapping[str, Operation]:
    lab.add_namespace("node")
    lab.spawn("node", ["ip", "link", "set", "lo", "up"]).wait()
    (FOLDER / "home" / "mark").write_text("mine")
    return {"hello": lambda _arguments, _report: "welcome", "secret": lambda _arguments, _report: "never"}


def said_by_guest(argv: list[str], node: str = "node", lab: str = "trial") -> tuple[int, str]:
    """Run a program as a guest; its exit code, and what it wrote."""
    reading, writing = os.pipe()
    kept = os.dup(1)
    os.dup2(writing, 1)
    os.close(writing)
    try:
        code = exec_in(lab, node, argv, guest=True)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    with os.fdopen(reading) as pipe:
        return code, pipe.read()


@for_everyone
def test_a_guest_does_not_get_out(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = sandbox.scratch / "secret"
    secret.write_text("x")
    monkeypatch.setenv("SECRET", "x")
    leaked = os.open(secret, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    hold("trial", lab_for_guests, guests=["hello"])
    hold("neighbour", lab_for_guests, guests=[])
    doors = socket.create_server(("0.0.0.0", 0)), socket.socket(socket.AF_UNIX)
    doors[1].bind("\0outside")
    doors[1].listen()
    given = {
        "secrets": [str(secret), __file__, str(tmp_path), "/etc/shadow", "/proc/1/root/home", "/proc/kcore", "/dev/kmsg", "/dev/mem"],
        "addresses": [["192.0.2.1", 80], ["127.0.0.1", doors[0].getsockname()[1]]],
        "abstract": [f"lab/{os.geteuid()}/trial", f"lab/{os.geteuid()}/neighbour", "outside"],
    }
    code, said = said_by_guest(["python3", "-IS", "-c", ATTEMPTS, json.dumps(given)])
    os.close(leaked)
    for door in doors:
        door.close()
    assert code == 0
    tried = json.loads(said)
    assert tried.pop("capabilities") == [NETWORK_ONLY] * 3
    assert tried.pop("interfaces") == ["lo"]
    assert tried.pop("descriptors") == []
    assert tried.pop("strangers") == []
    assert "SECRET" not in tried.pop("environment")
    assert len(tried.pop("processes")) <= 1
    assert {"home", "work", "opt", "srv", "mnt", "boot", "var"}.isdisjoint(tried.pop("root"))
    assert set(tried.pop("home")) <= {"mark", "tmp", "large"}
    assert tried.pop("fill the memory") == "ENOSPC"
    refusals = {
        "EPERM",
        "EACCES",
        "EROFS",
        "ENOENT",
        "ENOSYS",
        "ENETUNREACH",
        "ECONNREFUSED",
        "ENODEV",
        "EISDIR",
        "failed",
        "ENOTTY",
        "EINVAL",
        "EAFNOSUPPORT",
    }
    assert {name: came for name, came in tried.items() if came not in refusals} == {}


@for_everyone
def test_a_guest_can_work(sandbox: Sandbox) -> None:
    """With everything a network is looked at with, tcpdump included where there is one user only; and he may ask what guests may ask."""
    hold("trial", lab_for_guests, guests=["hello"])
    code, said = said_by_guest(["bash", "-c", WORK])
    answers = [json.loads(line) for line in said.splitlines()]
    assert answers[0] == {"result": "welcome"}
    assert "knows no 'secret'" in answers[1]["error"]["message"]
    assert code == 0
    assert said_by_guest(["cat", "/tmp/file"]) == (0, "kept\n"), "what one shell leaves in /tmp the next one finds"


@for_everyone
def test_a_guest_ends_as_his_program_ends(sandbox: Sandbox) -> None:
    hold("trial", lab_for_guests, guests=[])
    assert said_by_guest(["bash", "-c", "sleep 1000 & exit 7"]) == (7, "")
    assert said_by_guest(["bash", "-c", "kill -9 $BASHPID"])[0] in (
        0,
        137,
    )  # the first process of a PID namespace is not killed from inside
    assert said_by_guest(["nothing-of-this-name"])[0] == 127
