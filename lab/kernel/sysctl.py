"""Sysctls of network namespaces, read and written through procfs (proc(5), ip-sysctl in the kernel's documentation).

A file below /proc/sys/net is that of the network namespace of the thread that opens it, so these functions are called inside one.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Sequence
from typing import Final

from lab.errors import InputError, LabError, MachineError, did_you_mean
from lab.kernel.syscalls import Namespace, detached_procfs, unshare

_NAMESPACES_PER_PROCFS: Final = 32
"""Every procfs keeps one chain of directory entries for all network namespaces it was asked about; a long one makes the first write in a
new namespace ten times slower."""
_MOUNTED: Final = "/proc"


class Procfs:
    """A procfs of the lab's own that is mounted nowhere, renewed now and then."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._visits = 0

    def visit(self) -> int:
        """A directory descriptor of a procfs, for work in one namespace."""
        if self._descriptor is None or self._visits >= _NAMESPACES_PER_PROCFS:
            self.close()
            self._descriptor = _open_procfs()
            self._visits = 0
        self._visits += 1
        return self._descriptor

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open_procfs() -> int:
    try:
        return detached_procfs()
    except PermissionError:
        # Some containers forbid mounting proc but leave one that can be written to.
        return os.open(_MOUNTED, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def write_sysctls(procfs: int, values: Iterable[tuple[str, str]], namespace: str) -> None:
    """Write sysctls, in this order, in the namespace the calling thread is in; `namespace` is its name for messages."""
    for path, value in values:
        try:
            descriptor = os.open(f"sys/{path}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=procfs)
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno == errno.ENOENT and _is_about_missing_ipv6(procfs, path, value):
                continue
            raise _refused(procfs, path, value, namespace, error) from error


def read_sysctls(procfs: int, paths: Iterable[str]) -> dict[str, str]:
    """Read sysctls in the namespace the calling thread is in; those that are not there or cannot be read are left out."""
    values: dict[str, str] = {}
    for path in paths:
        try:
            descriptor = os.open(f"sys/{path}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=procfs)
        except OSError:
            continue
        try:
            values[path] = os.read(descriptor, 4096).decode(errors="replace").strip()
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return values


def defaults_of_new_namespace(paths: Sequence[str]) -> dict[str, str]:
    """What sysctls are in a namespace that nobody has touched. A thread goes into a new one and takes it with it when it ends."""
    values: dict[str, str] = {}

    def look() -> None:
        unshare(Namespace.NET)
        procfs = _open_procfs()
        try:
            values.update(read_sysctls(procfs, paths))
        finally:
            os.close(procfs)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return values


def _is_about_missing_ipv6(procfs: int, path: str, value: str) -> bool:
    """Whether IPv6 is to be switched off on a machine that has none: then it is off."""
    return path.endswith("/disable_ipv6") and value == "1" and not _exists(procfs, "sys/net/ipv6/conf")


def _exists(procfs: int, path: str) -> bool:
    try:
        os.stat(path, dir_fd=procfs)
    except OSError:
        return False
    return True


def _refused(procfs: int, path: str, value: str, namespace: str, error: OSError) -> LabError:
    if error.errno == errno.ENOENT:
        if path.startswith("net/ipv6/") and not _exists(procfs, "sys/net/ipv6/conf"):
            hint = "use a kernel with CONFIG_IPV6, started without ipv6.disable=1"
            return MachineError(f"{namespace}: ipv6 is not available here: this kernel has no IPv6", hint=hint)
        folder, _, key = path.rpartition("/")
        try:
            directory = os.open(f"sys/{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=procfs)
        except OSError:
            return MachineError(f"{namespace}: this kernel has no {folder}", hint="the kernel module that brings it is not loaded")
        try:
            with os.scandir(directory) as entries:
                known = [entry.name for entry in entries]
        finally:
            os.close(directory)
        return InputError(f"{namespace}: this kernel has no sysctl {path}", hint=did_you_mean(key, known, "sysctl"))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return _forbidden(procfs, path, namespace)
    return InputError(f"{namespace}: the kernel refuses {value!r} for the sysctl {path}: {error.strerror}")


def _forbidden(procfs: int, path: str, namespace: str) -> MachineError:
    """Why a sysctl may not be written.

    One that is the machine's shows in a namespace of its own without the right to write (as nf_conntrack_standalone_init_sysctl() in
    net/netfilter/nf_conntrack_standalone.c takes it away); any other is open to whoever has CAP_NET_ADMIN there (net_ctl_permissions() in
    net/sysctl_net.c).
    """
    what = f"{namespace}: the sysctl {path} may not be written"
    if os.stat(f"sys/{path}", dir_fd=procfs).st_mode & 0o222 == 0:
        return MachineError(f"{what}: it is the whole machine's, and no network namespace may write it", hint="leave it out")
    return MachineError(
        f"{what}: permission denied", hint="the lab needs the capability CAP_NET_ADMIN, which sudo gives unless it was dropped"
    )
