"""What the programs in a lab may not do to the machine, though root may have started the lab.

Network namespaces keep a lab's network apart, and nothing else: most of /proc/sys is the machine's own whoever looks at it, and so are the
files. This is a guard against mistakes and against literal commands in scenario files; it is no wall against a program that means harm and
has all of root's capabilities, as one started by `sudo lab exec` has.

Sources: capabilities(7), mount_setattr(2), proc_sys(5).
"""

from __future__ import annotations

import os
from typing import Final

from lab.kernel.syscalls import Mount, drop_from_bounding_set, mount, set_read_only

_SYSCTLS: Final = "/proc/sys"
_OWN_SYSCTLS: Final = "/proc/sys/net"
"""Those of the network namespace of whoever opens them; what of it is the machine's shows only in the machine's own namespace."""
_SWITCHES: Final = ("/proc/sysrq-trigger",)
_FLAGS: Final = Mount.BIND | Mount.REMOUNT | Mount.NOSUID | Mount.NODEV | Mount.NOEXEC
_LABS_OWN: Final = "/run"

_CAP_NET_ADMIN: Final = 12
_CAP_NET_RAW: Final = 13
_LAST_POSSIBLE: Final = 63


def guard_machine() -> None:
    """Make the machine's own sysctls read-only, in the calling process's mount namespace, where they could be written. Raises OSError.

    Only root of the machine could write them, so a user namespace needs no guard; and with one, no lab could be started in a node, since
    the kernel mounts a procfs for a user namespace only where nothing covers the one that is there (mount_too_revealing() in
    fs/namespace.c).
    """
    for switch in _SWITCHES:
        if os.access(switch, os.W_OK):
            mount(switch, switch, flags=Mount.BIND)
            mount(None, switch, flags=_FLAGS | Mount.READ_ONLY)
    if os.access(f"{_SYSCTLS}/kernel/core_pattern", os.W_OK):
        mount(_SYSCTLS, _SYSCTLS, flags=Mount.BIND)
        mount(_OWN_SYSCTLS, _OWN_SYSCTLS, flags=Mount.BIND)
        mount(None, _SYSCTLS, flags=_FLAGS | Mount.READ_ONLY)


def confine() -> None:
    """Leave the calling process, which is about to execute a literal command of a scenario, the network and nothing else. Raises OSError.

    Every file is read-only to it but the sysctls of its network namespace and the lab's own /run; and of root's capabilities it keeps
    those for configuring networks.
    """
    mount(_OWN_SYSCTLS, _OWN_SYSCTLS, flags=Mount.BIND)
    set_read_only("/", recursive=True)
    for place in (_LABS_OWN, _OWN_SYSCTLS):
        set_read_only(place, writable=True)
    for capability in range(_LAST_POSSIBLE + 1):
        if capability not in (_CAP_NET_ADMIN, _CAP_NET_RAW) and not drop_from_bounding_set(capability):
            return
