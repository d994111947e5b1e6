"""Who a lab's processes are, where an ordinary user starts it: root of a user namespace (user_namespaces(7)).

The caller is always mapped to uid and gid 0. Where the distribution's newuidmap(1) is installed and gives the caller subordinate ids
(subuid(5)), those are mapped too, from 1 on, for the sake of programs that give up root for a user of their own, as tcpdump does.
"""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab.errors import MachineError
from lab.kernel.syscalls import Namespace, unshare

_SYSCTLS: Final = Path("/proc/sys")
_SWITCHES: Final = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
)
"""What forbids user namespaces to ordinary users: when it has the first value; then the second is the remedy.
Ubuntu's AppArmor since 23.10, Debian's patch up to 10, and the kernel's own limit."""


def enter_pid_namespace() -> bool:
    """Let the next child be PID 1 of a new PID namespace; whether that took a user namespace.

    Whoever may do it without, as root may, does it without. Raises MachineError when neither is allowed.
    """
    try:
        unshare(Namespace.PID)
    except PermissionError:
        _enter_user_namespace()
        return True
    except OSError as error:
        raise no_namespace(error) from error
    return False


def no_namespace(error: OSError) -> MachineError:
    """Say why the kernel gives nobody, not even root, a namespace; ENOSPC is a limit that is reached (namespaces(7))."""
    if error.errno == errno.ENOSPC:
        limits = "user.max_pid_namespaces and its like (sysctl -a --pattern user.max_)"
        return MachineError("this machine allows no more namespaces", hint=f"end labs that still run (lab ps), or raise {limits}")
    return MachineError(f"this machine makes no namespaces: {error.strerror}")


def no_user_namespace(error: OSError) -> MachineError:
    """Say which of the switches that forbid user namespaces to ordinary users is set on this machine."""
    if error.errno == errno.ENOSPC and (_SYSCTLS / "user/max_user_namespaces").read_text().strip() != "0":
        return no_namespace(error)
    why = "this machine does not let an ordinary user make namespaces"
    for switch, forbidding, allowing in _SWITCHES:
        file = _SYSCTLS / switch
        if file.exists() and file.read_text().strip() == forbidding:
            name = switch.replace("/", ".")
            return MachineError(f"{why}: {name} = {forbidding}", hint=f"run it as root (sudo), or: sudo sysctl -w {name}={allowing}")
    return MachineError(f"{why}: {error.strerror}", hint="run it as root (sudo); a container needs the capability CAP_SYS_ADMIN")


def _enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    with _helper_outside() as mapped_by_helper:
        try:
            unshare(Namespace.USER | Namespace.PID)
            users, groups = mapped_by_helper()
            if not users:
                Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            if not groups:
                # Whoever could drop a group could reach files that are closed to this group only: so one group, and none to drop.
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        except OSError as error:
            raise no_user_namespace(error) from error


@contextmanager
def _helper_outside() -> Iterator[Callable[[], tuple[bool, bool]]]:
    """A process that stays behind in the old user namespace: only from there can subordinate ids be mapped.

    Yields what has it map them, to be called from the new user namespace; it tells whether users and groups are mapped now.
    """
    me = os.getpid()
    begin, start = os.pipe()
    answer, result = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(start)
        done = [_map(me, program, identity) for program, identity in _MAPPINGS] if os.read(begin, 1) else []
        os.write(result, bytes(done))
        os._exit(0)
    os.close(begin)
    os.close(result)

    def map_now() -> tuple[bool, bool]:
        os.write(start, b"!")
        users, groups = os.read(answer, 2) or b"\0\0"  # nothing, should it have been killed
        return bool(users), bool(groups)

    try:
        yield map_now
    finally:
        os.close(start)
        os.close(answer)
        os.waitpid(helper, 0)


_MAPPINGS: Final = (("newuidmap", os.geteuid), ("newgidmap", os.getegid))


def _map(process: int, program: str, identity: Callable[[], int]) -> bool:
    """Map the caller's own id and all its subordinate ids into the user namespace of `process`; whether that was possible."""
    ranges = _subordinate(Path("/etc/subuid" if program == "newuidmap" else "/etc/subgid"))
    if not ranges or shutil.which(program) is None:
        return False
    mapping, inside = [0, identity(), 1], 1
    for first, count in ranges:
        mapping += [inside, first, count]
        inside += count
    return subprocess.run([program, str(process), *map(str, mapping)], capture_output=True, check=False).returncode == 0


def _subordinate(file: Path) -> list[tuple[int, int]]:
    """The ranges of ids, as first and count, that this file gives the caller."""
    try:
        names = {str(os.geteuid()), pwd.getpwuid(os.geteuid()).pw_name}
        lines = [line.split(":") for line in file.read_text().splitlines()]
    except (KeyError, OSError):
        return []
    return [(int(line[1]), int(line[2])) for line in lines if len(line) == 3 and line[0] in names]
