"""What a process of the lab finds in the file system: private /run, /proc, /sys and /etc, and a node's own view of the last two.

Every mount is made in a mount namespace of the lab, so none is seen outside it. Only /run and what is below it, and changes to /etc, live
on a tmpfs of the lab; the rest of the file system is the machine's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from lab.errors import InputError, did_you_mean
from lab.kernel.confine import guard_machine
from lab.kernel.syscalls import Mount, Namespace, mount, setns, unshare

SCRATCH: Final = Path("/run/lab")
"""The lab's own corner of its private tmpfs: the only place for files of its own."""
NAMES: Final = Path("/run/netns")
"""Where ip-netns(8) looks for network namespaces by name."""
ETC: Final = Path("/etc/netns")
"""Where ip-netns(8) looks for the files a namespace has instead of the machine's in /etc."""

_TEMPORARY: Final = SCRATCH / "tmp"
_ENVIRONMENTS: Final = SCRATCH / "environment"
_MACHINES_ETC: Final = SCRATCH / "etc" / "machine"
_SAFE: Final = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC


def furnish() -> None:
    """Make the calling process's mount namespace the lab's. To be called once, inside the lab's PID namespace; raises OSError.

    /run is empty, because a unix socket with a path crosses network namespaces: the machine's resolver and container sockets must be out
    of reach. /etc/resolv.conf is empty and a file, where many machines have a link into /run: nobody in a lab asks the machine's resolver,
    and a node's own file can be bound over it.
    """
    os.umask(0o022)  # programs that give up root must be able to read what is written for them
    mount(None, "/", flags=Mount.RECURSIVE | Mount.PRIVATE)
    machines_etc = os.open(_MACHINES_ETC if _MACHINES_ETC.exists() else "/etc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount("proc", "/proc", "proc", _SAFE)
    _mount_sysfs()
    mount("run", "/run", "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=755")
    if not Path("/var/run").is_symlink() and Path("/var/run").is_dir():
        mount("/run", "/var/run", flags=Mount.BIND)
    for directory in (_TEMPORARY, _ENVIRONMENTS, NAMES):
        directory.mkdir(parents=True)
    # Shared, as `ip netns` makes it: a namespace added later shows to the processes of nodes, which have mount namespaces of their own.
    mount(str(NAMES), str(NAMES), flags=Mount.BIND)
    mount(None, str(NAMES), flags=Mount.SHARED)
    _overlay_etc(machines_etc)
    os.close(machines_etc)
    os.environ["TMPDIR"] = str(_TEMPORARY)


def _overlay_etc(machines: int) -> None:
    """Let /etc be written to without writing to the machine's, whose descriptor is given.

    A lab within a lab starts from the machine's /etc, too: the kernel stacks no more than two file systems (FILESYSTEM_MAX_STACK_DEPTH
    in include/linux/fs.h), and a container's is one already.

    The upper layer is filled before it is mounted: in a user namespace with one mapped uid the machine's /etc belongs to nobody, and
    only what the upper layer already owns can be changed.
    """
    upper, work = SCRATCH / "etc" / "upper", SCRATCH / "etc" / "work"
    (upper / ETC.name).mkdir(parents=True)
    (upper / "resolv.conf").touch()
    work.mkdir()
    _MACHINES_ETC.mkdir()
    mount(f"/proc/self/fd/{machines}", str(_MACHINES_ETC), flags=Mount.BIND | Mount.RECURSIVE)
    mount("overlay", "/etc", "overlay", data=f"lowerdir={_MACHINES_ETC},upperdir={upper},workdir={work}")


def _mount_sysfs() -> None:
    """Show in /sys the network devices of the caller's network namespace, where the kernel lets us (not in most containers)."""
    with suppress(PermissionError):
        mount("sysfs", "/sys", "sysfs", _SAFE)


def view_as(node: str, namespace: int) -> None:
    """Give the calling process the view of a node: its network namespace, its /sys and its files in /etc, as `ip netns exec` does.

    `namespace` is a descriptor of the node's network namespace. Raises OSError.
    """
    setns(namespace, Namespace.NET)
    unshare(Namespace.MOUNT)
    mount(None, "/", flags=Mount.RECURSIVE | Mount.SLAVE)
    _mount_sysfs()
    guard_machine()
    own = ETC / node
    if own.is_dir():
        for file in own.iterdir():
            mount(str(file), str(Path("/etc") / file.name), flags=Mount.BIND)


def write_etc(node: str, file: str, text: str) -> None:
    """Let the processes of `node` see `text` in /etc/`file`: those started from now on, and those started since it was first written."""
    own = ETC / node
    own.mkdir(exist_ok=True)
    (own / file).write_text(text)
    place = Path("/etc") / file
    if not place.exists():  # the machine's own file, where there is one, is not ours to open for writing
        place.touch()


def write_environment(node: str, variables: Mapping[str, str]) -> None:
    """Keep the environment variables that every process of `node` is to have."""
    (_ENVIRONMENTS / node).write_text(json.dumps(dict(variables)))


def read_environment(node: str) -> dict[str, str]:
    """The environment variables that every process of `node` has."""
    file = _ENVIRONMENTS / node
    return dict(json.loads(file.read_text())) if file.exists() else {}


def can_be_named(node: str) -> bool:
    """Whether this can be the name of a file, and so of a node."""
    return node not in {"", ".", ".."} and not {"/", "\0"} & set(node) and len(os.fsencode(node)) <= 255


def open_namespace(node: str) -> int:
    """A descriptor of the network namespace bound under this name. Raises InputError with the nearest name when there is none."""
    if can_be_named(node) and (NAMES / node).exists():
        return os.open(NAMES / node, os.O_RDONLY | os.O_CLOEXEC)
    known = sorted(entry.name for entry in NAMES.iterdir())
    raise InputError(f"this lab has no node {node!r}", hint=did_you_mean(node, known, "node"))
