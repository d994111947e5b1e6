"""Doing what a plan says, step by step, and saying in words what could not be done.

The hot path is one sendmsg per namespace and phase; nothing is forked, nothing is looked up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from lab.errors import InputError, LabError, MachineError
from lab.kernel.barrier import await_addresses, await_links
from lab.kernel.handles import AF_NETLINK, Handles
from lab.kernel.netlink.channel import NETLINK_ROUTE, Refusal
from lab.kernel.plan import Plan
from lab.kernel.planning.steps import (
    AddNamespace,
    AwaitLinks,
    CloseTun,
    HoldFrames,
    LoadRuleset,
    OpenTun,
    RemoveNamespace,
    SendBatch,
    Step,
    Subject,
    Verb,
    WriteSysctls,
)
from lab.kernel.planning.sysctls import link_of
from lab.kernel.rulesets import load
from lab.kernel.sysctl import read_sysctls, write_sysctls
from lab.state import UNKNOWN, Link, Route, Tun

_ALREADY_GONE: Final = frozenset({errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ENODEV})
_NO_IPV6_THERE: Final = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL})
_ENOTSUPP: Final = 524
"""The kernel's own "not supported", which some drivers let out."""

_TUNSETIFF: Final = 0x4004_54CA
_TUNSETIFINDEX: Final = 0x4004_54DA
_IFF_TUN: Final = 0x0001
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000


def execute(plan: Plan, handles: Handles) -> None:
    """Do every step of a plan. Raises InputError when the kernel refuses what was asked, MachineError when it lacks something.

    What was done before the refusal stays done.
    """
    for step in plan.steps:
        _do(step, handles)


def _do(step: Step, handles: Handles) -> None:
    match step:
        case SendBatch():
            _send(step, handles)
        case WriteSysctls():
            _write(step, handles)
        case LoadRuleset():
            with handles.sandbox.enter(step.namespace):
                load(handles.nftables(step.namespace), step.tables, step.deleted)
        case AddNamespace():
            handles.sandbox.add_namespace(step.namespace)
        case RemoveNamespace():
            handles.forget(step.namespace)
            handles.sandbox.remove_namespace(step.namespace)
        case OpenTun():
            _open_tun(step, handles)
        case CloseTun():
            handles.close_tun(step.namespace, step.link.name)
        case HoldFrames():
            handles.hold(step.namespace, step.ends)
        case AwaitLinks():
            _await(step, handles)


def _await(step: AwaitLinks, handles: Handles) -> None:
    channel = handles.channel(step.namespace)
    connected = await_links(channel.socket, step.links)
    waiting = {index for name, index in step.with_ipv6 if name in connected}
    if waiting:
        with handles.sandbox.socket_in(step.namespace, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as listener:
            await_addresses(channel, listener, step.namespace, waiting)


def _send(step: SendBatch, handles: Handles) -> None:
    refusals = handles.channel(step.namespace).send(addressed(step, handles))
    if refusals:
        subjects = step.subjects
        serious = [refusal for refusal in refusals if not _is_no_matter(subjects[refusal.position], refusal.error)]
        if serious:
            raise _refused(step.namespace, subjects, serious)


def addressed(step: SendBatch, handles: Handles) -> Sequence[bytes]:
    """The messages of a step, with the descriptors of the namespaces into which they create veth ends."""
    if not step.far_ends:
        return step.messages
    messages = list(step.messages)
    for position, namespace in step.far_ends:
        messages[position] = messages[position][:-4] + struct.pack("=I", handles.sandbox.descriptor(namespace))
    return messages


def _is_no_matter(subject: Subject, error: int) -> bool:
    """Whether a refusal says that what was wanted is so already. A route went with the nexthop object it names, if that is gone."""
    thing = subject.object
    if subject.verb is Verb.DELETE:
        return error in _ALREADY_GONE or (error == errno.EINVAL and isinstance(thing, Route) and thing.nexthop is not None)
    return subject.verb is Verb.NO_LINK_LOCAL and error in _NO_IPV6_THERE


def _refused(namespace: str, subjects: Sequence[Subject], refusals: Sequence[Refusal]) -> LabError:
    """The first refusal in words: the object, the kernel's reason, and on whose account the object is there."""
    refusal = refusals[0]
    subject = subjects[refusal.position]
    provenance = subject.object.provenance
    place = next(iter(provenance.places()), None)
    more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
    message = f"{namespace}: the kernel refuses to {subject}: {refusal}{more}"
    if refusal.error == errno.EPERM:
        return MachineError(message, place=place, hint="run the lab as root (sudo), or where user namespaces are allowed")
    if refusal.error in {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, _ENOTSUPP}:
        lacking = "this kernel lacks what it takes; a module may be missing"
        return MachineError(message, place=place, hint=lacking)
    account = None if provenance is UNKNOWN else f"put there by {provenance.component}: {provenance.reason}"
    return InputError(message, place=place, hint=account)


def _write(step: WriteSysctls, handles: Handles) -> None:
    forgotten = [path for path, value in step.values if value is None]
    defaults = handles.defaults([path for path in forgotten if link_of(path) is None])
    with handles.sandbox.enter(step.namespace):
        procfs = handles.procfs.visit()
        values = [(path, value if value is not None else _default(procfs, path, defaults)) for path, value in step.values]
        write_sysctls(procfs, [(path, value) for path, value in values if value is not None], step.namespace)


def _default(procfs: int, path: str, defaults: Mapping[str, str]) -> str | None:
    """What a new namespace has; of a link, what a new link here would have. None where that cannot be read: then it is left as it is."""
    link = link_of(path)
    if link is None:
        return defaults.get(path)
    inherited = path.replace(f"/{link}/", "/default/", 1)
    return read_sysctls(procfs, [inherited]).get(inherited)


def _open_tun(step: OpenTun, handles: Handles) -> None:
    """Open a tun device with a given index (TUNSETIFINDEX in drivers/net/tun.c)."""
    link: Link = step.link
    kind = _IFF_TAP if isinstance(link.kind, Tun) and link.kind.tap else _IFF_TUN
    with handles.sandbox.enter(step.namespace):
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, _TUNSETIFINDEX, struct.pack("I", step.index))
                fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", link.name.encode(), kind | _IFF_NO_PI))
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            raise MachineError(
                f"{step.namespace}: no tun device {link.name}: {error.strerror}",
                hint="tun devices need root (sudo) and /dev/net/tun",
            ) from error
    handles.keep_tun(step.namespace, link.name, descriptor)
