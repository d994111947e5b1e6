"""A guest: somebody who is root of a node in a lab, and must not get out of it.

`lab learn` gives its learners a root shell. What keeps the shell in, besides the lab's own namespaces:

- It sees a file system of its own (pivot_root(2)): the system's programs read-only, a few files of /etc, the lab's folder for guests, and
  nothing else of the machine's files. What it writes is in memory, and bounded.
- It has a PID namespace of its own: it sees no process that it has not started.
- Of root's capabilities it has those for networks (capabilities(7)), so that it can neither mount nor undo what keeps it in; and no
  program it runs gains any (PR_SET_NO_NEW_PRIVS in prctl(2)).
- It inherits no descriptor but the terminal and none of the caller's variables, and cannot type into the terminal (TIOCSTI).
- It makes no user namespaces, in which it would have all capabilities, and does not reach the kernel's keys, which belong to users and not
  to namespaces (keyctl(2)); nor does it make sockets that belong to no network namespace, as those of AF_VSOCK, which lead to a hypervisor.

In a lab that an ordinary user started, its root is that user to the machine, and the user namespace holds what all this should leave open.
In a lab that root started its root is root, and this is all there is.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from lab.errors import MachineError
from lab.kernel.mounts import SCRATCH
from lab.kernel.syscalls import (
    Mount,
    Namespace,
    drop_from_bounding_set,
    filter_system_calls,
    gain_no_privileges,
    mount,
    pivot_root,
    set_read_only,
)

FOLDER: Final = SCRATCH / "guest"
"""What guests of a lab share: read-only to them at /run/lab, but for their home."""
HOME: Final = "/root"
SHARED: Final = "/run/lab"
ENVIRONMENT: Final = {
    "PATH": f"{SHARED}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "USER": "root",
}
"""What a guest's programs find, besides the terminal's name and the node's own variables."""
_FROM_CALLER: Final = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES")

_PROGRAMS: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_SETTINGS: Final = (
    *("alternatives", "gai.conf", "host.conf", "hosts", "iproute2", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
    *("netconfig", "networks", "nsswitch.conf", "protocols", "resolv.conf", "services", "ssl/certs", "terminfo", "ethertypes"),
)
"""What of /etc the usual tools read."""
_NETWORK_DEVICES: Final = ("/sys/class/net", "/sys/devices/virtual/net")
"""What of /sys belongs to the network namespace; the first holds links into the second."""
_ACCOUNTS: Final = ("root", "nobody", "nogroup", "tcpdump")
_SMALL: Final = "size=64m,mode=755"
_CAREFUL: Final = Mount.NOSUID | Mount.NODEV

_KEPT: Final = frozenset({5, 6, 7, 10, 12, 13})
"""CAP_KILL; CAP_SETGID and CAP_SETUID, for programs that give up root; CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW."""
_LAST_POSSIBLE: Final = 63
_PROCESSES: Final = 1024


def furnish_for_guests() -> None:
    """Make, in a lab, what its guests share. Raises OSError."""
    for folder in (FOLDER / "bin", FOLDER / "home", FOLDER / "root"):
        folder.mkdir(parents=True)
    mount("home", str(FOLDER / "home"), "tmpfs", _CAREFUL, _SMALL)
    (FOLDER / "home" / "tmp").mkdir(mode=0o777)


def enter_as_guest() -> None:
    """Shut the calling process, which is in a node's view, in as a guest; what it executes next is one. Raises OSError.

    It has to be the first process of a new PID namespace.
    """
    one_user = len(Path("/proc/self/uid_map").read_text().splitlines()) == 1 and os.access("/proc/self/setgroups", os.R_OK)
    fake = one_user and Path("/proc/self/setgroups").read_text().strip() == "deny"
    _make_root(FOLDER / "root")
    pivot_root(str(FOLDER / "root"))
    os.chdir(HOME)
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - numbers, not files
        if descriptor > 2:
            with suppress(OSError):  # the one that listed them
                os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, _PROCESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for capability in range(_LAST_POSSIBLE + 1):
        if capability not in _KEPT and not drop_from_bounding_set(capability):
            break
    gain_no_privileges()
    filter_system_calls(_filter(os.uname().machine, pretend=fake))


def guest_environment(caller: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a guest's first program."""
    return {name: caller[name] for name in _FROM_CALLER if name in caller} | ENVIRONMENT | dict(own)


# ---------------------------------------------------------------------------------------------------------------- files


def _make_root(root: Path) -> None:
    """Make what is to be the guest's file system at `root`, in the calling process's mount namespace."""
    mount("guest", str(root), "tmpfs", _CAREFUL, _SMALL)
    for name in _PROGRAMS:
        place = Path("/") / name
        if place.is_symlink():
            (root / name).symlink_to(place.readlink())
        elif place.is_dir():
            _show(place, root / name)
    interpreter = Path(sys.base_prefix)
    if not interpreter.is_relative_to("/usr"):
        _show(interpreter, root / interpreter.relative_to("/"))
    _make_etc(root / "etc")
    _make_dev(root / "dev")
    for place in map(Path, _NETWORK_DEVICES):
        if place.is_dir():
            _show(place, root / place.relative_to("/"))
    (root / "proc").mkdir()
    mount("proc", str(root / "proc"), "proc", _CAREFUL | Mount.NOEXEC)
    _guard_proc(root / "proc")
    _show(FOLDER, root / "run" / "lab", recursive=False)
    for name, source in ((HOME[1:], FOLDER / "home"), ("tmp", FOLDER / "home" / "tmp")):
        (root / name).mkdir()
        mount(str(source), str(root / name), flags=Mount.BIND)
    set_read_only(str(root))


def _guard_proc(proc: Path) -> None:
    """Leave of /proc/sys what belongs to a network namespace to be written, of /proc nothing else.

    Where root is not the machine's, the machine's files are not its own to write.
    """
    if not os.access(proc / "sys/kernel/core_pattern", os.W_OK):
        return
    for name in ("sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "sys"):
        if (proc / name).exists():
            mount(str(proc / name), str(proc / name), flags=Mount.BIND)
    mount(str(proc / "sys/net"), str(proc / "sys/net"), flags=Mount.BIND)
    for name in ("sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "sys"):
        if (proc / name).exists():
            set_read_only(str(proc / name))


def _make_etc(etc: Path) -> None:
    etc.mkdir()
    for name in _SETTINGS:
        there = Path("/etc") / name
        if there.exists():
            _show(there.resolve() if there.is_symlink() and name != "alternatives" else there, etc / name)
    for name in ("passwd", "group"):
        lines = (Path("/etc") / name).read_text(errors="replace").splitlines()
        (etc / name).write_text("".join(f"{line}\n" for line in lines if line.split(":")[0] in _ACCOUNTS))
    (etc / "hostname").write_text(f"{os.uname().nodename}\n")
    (etc / "mtab").symlink_to("../proc/mounts")


def _make_dev(dev: Path) -> None:
    dev.mkdir()
    for name in _DEVICES:
        (dev / name).touch()
        mount(f"/dev/{name}", str(dev / name), flags=Mount.BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("shm", str(dev / "shm"), "tmpfs", _CAREFUL, "size=16m,mode=1777")
    with suppress(OSError):  # programs that want a terminal of their own do without
        mount("devpts", str(dev / "pts"), "devpts", Mount.NOSUID | Mount.NOEXEC, "newinstance,ptmxmode=0666,mode=620")
        (dev / "ptmx").symlink_to("pts/ptmx")


def _show(place: Path, there: Path, *, recursive: bool = True) -> None:
    """Let a file or folder be seen, not written, at another place."""
    if place.is_dir():
        there.mkdir(parents=True)
    else:
        there.parent.mkdir(parents=True, exist_ok=True)
        there.touch()
    mount(str(place), str(there), flags=Mount.BIND | Mount.RECURSIVE if recursive else Mount.BIND)
    set_read_only(str(there), recursive=recursive)


# --------------------------------------------------------------------------------------------------------- system calls

_CALLS: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = {
    "x86_64": (
        0xC000003E,
        {
            "ioctl": 16,
            "socket": 41,
            "clone": 56,
            "setuid": 105,
            "setgid": 106,
            "setreuid": 113,
            "setregid": 114,
            "setgroups": 116,
            "setresuid": 117,
            "setresgid": 119,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "bpf": 321,
            "userfaultfd": 323,
            "io_uring_setup": 425,
            "clone3": 435,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "ioctl": 29,
            "unshare": 97,
            "setregid": 143,
            "setgid": 144,
            "setreuid": 145,
            "setuid": 146,
            "setresuid": 147,
            "setresgid": 149,
            "setgroups": 159,
            "socket": 198,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "clone": 220,
            "perf_event_open": 241,
            "bpf": 280,
            "userfaultfd": 282,
            "io_uring_setup": 425,
            "clone3": 435,
        },
    ),
}
"""What seccomp(2) calls each architecture (AUDIT_ARCH_* in include/uapi/linux/audit.h), and the numbers of system calls on it."""
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JSET|BPF_K, BPF_RET|BPF_K (linux/bpf_common.h)."""
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where in struct seccomp_data the call's number, the architecture and the low half of the arguments stand (linux/seccomp.h)."""
_ALLOW: Final = 0x7FFF_0000
_FAIL: Final = 0x0005_0000
_X32: Final = 0x4000_0000
_FAMILIES: Final = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
"""Sockets of these belong to a network namespace. Others do not (AF_VSOCK leads to the hypervisor), or have the kernel load modules."""
_TERMINAL: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: both let a program type into its terminal, to be read by whoever reads there next."""


def _filter(machine: str, *, pretend: bool) -> bytes:
    """Return the filter of a guest's system calls.

    With `pretend`, programs that want to become another user are told they did: where the user namespace knows one user, they would
    refuse to work, as tcpdump does, though there is nothing left for them to give up.
    """
    if machine not in _CALLS:
        raise MachineError(f"no guests on {machine}: the numbers of its system calls are not known here", hint="use lab shell")
    architecture, number = _CALLS[machine]
    code = [*_unless(_ARCHITECTURE, architecture, errno.EPERM)]
    if machine == "x86_64":
        code += [(_LOAD, 0, 0, _NUMBER), (_ANY_BIT, 0, 1, _X32), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    for name in ("add_key", "request_key", "keyctl"):
        code += _answer(number[name], errno.EPERM)
    for name in ("bpf", "perf_event_open", "userfaultfd"):  # of no use here, and where mistakes of the kernel were found most
        code += _answer(number[name], errno.EPERM)
    code += _answer(number["io_uring_setup"], errno.ENOSYS)  # it makes sockets without the call that is filtered below
    code += _unless_argument(number["socket"], _FIRST, _FAMILIES, errno.EAFNOSUPPORT)
    code += _answer(number["clone3"], errno.ENOSYS)  # its flags are out of a filter's sight; libc then takes clone
    for name in ("unshare", "clone"):
        code += _if_argument(number[name], _FIRST, _ANY_BIT, int(Namespace.USER))
    for request in _TERMINAL:
        code += _if_argument(number["ioctl"], _SECOND, _EQUAL, request)
    if pretend:
        for name in ("setgroups", "setgid", "setregid", "setresgid", "setuid", "setreuid", "setresuid"):
            code += _answer(number[name], 0)
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("@HBBI", *instruction) for instruction in code)


Instruction = tuple[int, int, int, int]
"""What to do, how far to jump when a condition holds and when not, and a value (struct sock_filter)."""


def _unless(offset: int, value: int, error: int) -> Iterator[Instruction]:
    yield from ((_LOAD, 0, 0, offset), (_EQUAL, 1, 0, value), (_RETURN, 0, 0, _FAIL | error))


def _answer(call: int, error: int) -> Iterator[Instruction]:
    """Answer a call with an error, or with success that is none (0)."""
    yield from ((_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, 1, call), (_RETURN, 0, 0, _FAIL | error))


def _if_argument(call: int, offset: int, condition: int, value: int) -> Iterator[Instruction]:
    """Refuse a call whose argument meets a condition."""
    yield from ((_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, 3, call), (_LOAD, 0, 0, offset), (condition, 0, 1, value))
    yield (_RETURN, 0, 0, _FAIL | errno.EPERM)


def _unless_argument(call: int, offset: int, values: Sequence[int], error: int) -> Iterator[Instruction]:
    """Refuse a call whose argument is none of some values."""
    yield from ((_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, len(values) + 2, call), (_LOAD, 0, 0, offset))
    yield from ((_EQUAL, len(values) - place, 0, int(value)) for place, value in enumerate(values))
    yield (_RETURN, 0, 0, _FAIL | error)
