"""The system calls a sandbox is made of that Python 3.11 does not offer, thinly: arguments as in the manual page, failure as OSError.

Sources: unshare(2), setns(2), mount(2), umount2(2), prctl(2), namespaces(7). fsopen, fsconfig and fsmount have a manual page only in
recent distributions: fs/fsopen.c and include/uapi/linux/mount.h. System calls from number 424 on have the same number on every
architecture (include/uapi/asm-generic/unistd.h and the tables beside it), so the numbers below need no table.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from enum import IntFlag
from typing import Final


class Namespace(IntFlag):
    """The kinds of namespace, as CLONE_NEW* (include/uapi/linux/sched.h)."""

    MOUNT = 0x0002_0000
    UTS = 0x0400_0000
    IPC = 0x0800_0000
    USER = 0x1000_0000
    PID = 0x2000_0000
    NET = 0x4000_0000


class Mount(IntFlag):
    """What mount(2) is told (include/uapi/linux/mount.h, MS_*)."""

    NONE = 0
    READ_ONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18
    SLAVE = 1 << 19
    SHARED = 1 << 20


_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_MOUNT_SETATTR: Final = 442
_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_MOUNT_ATTR_RDONLY: Final = 1
_MOUNT_ATTR: Final = struct.Struct("=QQQQ")
"""What to set, what to clear, propagation, a user namespace's descriptor (struct mount_attr)."""
_FSOPEN_CLOEXEC: Final = 1
_FSMOUNT_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6

_libc = ctypes.CDLL(None, use_errno=True)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.syscall.restype = ctypes.c_long


def unshare(kinds: Namespace) -> None:
    """Give the calling thread new namespaces of these `kinds`; a new PID namespace begins with its next child."""
    _check(_libc.unshare(int(kinds)))


def setns(descriptor: int, kinds: Namespace | int = 0) -> None:
    """Move the calling thread into a namespace, given its descriptor, or into these `kinds` of namespace of a process, given a pidfd."""
    _check(_libc.setns(descriptor, int(kinds)))


def mount(source: str | None, target: str, kind: str | None = None, flags: Mount = Mount.NONE, data: str | None = None) -> None:
    """Mount `source` on `target`, as mount(2)."""
    _check(_libc.mount(_bytes(source), os.fsencode(target), _bytes(kind), int(flags), _bytes(data)), target)


def unmount(target: str) -> None:
    """Take the topmost mount off `target`, now for everyone who looks there and later for those who still use it (MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), target)


def set_read_only(place: str, *, recursive: bool = False, writable: bool = False) -> None:
    """Make the mount at `place`, and with `recursive` all below it, read-only, or `writable` again (mount_setattr(2), Linux 5.12)."""
    to_set, to_clear = (0, _MOUNT_ATTR_RDONLY) if writable else (_MOUNT_ATTR_RDONLY, 0)
    attributes = _MOUNT_ATTR.pack(to_set, to_clear, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(place), flags, attributes, len(attributes)), place)


def drop_from_bounding_set(capability: int) -> bool:
    """Let no program that this process executes get a capability; whether the kernel has one of this number (capabilities(7))."""
    try:
        _check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def gain_no_privileges() -> None:
    """Let no program that this process executes gain privileges by being executed (PR_SET_NO_NEW_PRIVS in prctl(2))."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def filter_system_calls(program: bytes) -> None:
    """Let a classic BPF program, of 8 bytes an instruction, decide about every system call from now on (seccomp(2))."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0))


def pivot_root(place: str) -> None:
    """Make the mount at `place` the root of the calling process's mount namespace, and let go of the former one (pivot_root(2)).

    The former root is laid over the new one first, as the manual page advises, so that it needs no folder; then it is taken off.
    """
    os.chdir(place)
    _check(_libc.syscall(_SYS_PIVOT_ROOT[os.uname().machine], b".", b"."), place)
    unmount(".")
    os.chdir("/")


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that forked it ends.

    A change of credentials (a new user namespace, setuid, executing a file with capabilities) forgets the wish, so say it again after
    one; and a parent that died before this call is not noticed, so look at getppid() afterwards (PR_SET_PDEATHSIG in prctl(2)).
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def own_proc_entry() -> None:
    """Own this process's entry in /proc again, which becomes root's when a process changes its user (PR_SET_DUMPABLE in prctl(2))."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))


def set_host_name(name: str) -> None:
    """Name the host of the calling thread's UTS namespace. Raises OSError for more than 64 bytes (sethostname(2))."""
    encoded = os.fsencode(name)
    _check(_libc.sethostname(encoded, len(encoded)))


def detached_procfs() -> int:
    """A procfs that is mounted nowhere, as a directory descriptor for `dir_fd=`; the caller closes it.

    Files below `sys/net` are those of the network namespace of the thread that opens them. Every procfs keeps one chain of directory
    entries for all network namespaces it was asked about, so many namespaces are faster through several short-lived ones.
    """
    context = _check(_libc.syscall(_SYS_FSOPEN, b"proc", _FSOPEN_CLOEXEC))
    try:
        _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0))
        return _check(_libc.syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0))
    finally:
        os.close(context)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _check(result: int, path: str | None = None) -> int:
    """Return `result`, or raise the OSError that errno names when the call failed."""
    if result >= 0:
        return result
    code = ctypes.get_errno()
    if path is None:
        raise OSError(code, os.strerror(code))
    raise OSError(code, os.strerror(code), path)
