"""What this machine lets a lab do, found out by doing it in a throw-away sandbox, and what to do about the rest (`lab doctor`).

Nothing is concluded from version numbers, and nothing is left behind. One thing is not tried: what not every lab needs and only a module
brings that is not loaded. Loading it may add a device to the machine itself, and looking is no reason for that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from lab.errors import MachineError
from lab.kernel import bpf, tools, trials
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.kernel.syscalls import own_proc_entry

_AS_ROOT: Final = "run it as root (sudo)"
_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Capability:
    """Something a lab may need: whether it is here, if not why and what to do, and what needs it.

    No lab can do without a `required` one. `note` says what else is worth knowing.
    """

    name: str
    needed_for: str
    available: bool = True
    required: bool = False
    why: str | None = None
    remedy: str | None = None
    note: str | None = None


def detect() -> tuple[Capability, ...]:
    """Find out what there is for the user who asks, in a fraction of a second."""
    sandbox = _attempt(Capability("sandbox", "every lab: a place from which nothing escapes", required=True), _open_sandbox, _AS_ROOT)
    inside = (*_about_users(), *run_in_sandbox(_try_inside)) if sandbox.available else ()
    return (sandbox, *inside, *_about_tools())


def require(*names: str) -> None:
    """Raise MachineError, with the remedy, for the first capability that is missing of these and of those no lab can do without."""
    for capability in detect():
        if not capability.available and (capability.required or capability.name in names):
            raise MachineError(f"{capability.name} is not available here: {capability.why}", hint=capability.remedy)


def _try_inside(sandbox: Sandbox, _report: Report) -> tuple[Capability, ...]:
    sandbox.add_namespace("trial")
    with sandbox.enter("trial"):
        return (
            _attempt(Capability("sysctls", "every node", required=True), trials.write_sysctl, _AS_ROOT),
            *(_try_device(number, device) for number, device in enumerate(trials.DEVICES)),
            _netem(),
            _spare(Capability("tbf", "links with a rate"), trials.make_token_bucket, _kernel_with("NET_SCH_TBF"), "sch_tbf"),
            _spare(Capability("tun", "cables and tunnels in user space"), trials.make_tun, f"{_AS_ROOT}; {_kernel_with('TUN')}", "tun"),
            _attempt(
                Capability("nftables", "firewalls and address translation", required=True),
                trials.load_rules,
                f"sudo apt-get install --no-install-recommends libnftables1; {_kernel_with('NF_TABLES')}",
            ),
            _attempt(
                Capability("ipv6", "segments with cidr6, and dual-stack clusters"),
                trials.open_ipv6,
                f"{_kernel_with('IPV6')}; started without ipv6.disable=1",
            ),
            _attempt(Capability("capture", "seeing packets pass without BPF", required=True), trials.open_capture, _kernel_with("PACKET")),
            _try_bpf(),
        )


def _attempt(capability: Capability, deed: Callable[[], None], remedy: str) -> Capability:
    """The capability, as the deed that needs it turns out. A MachineError knows a better remedy than ours."""
    try:
        deed()
    except MachineError as error:
        return replace(capability, available=False, why=error.message, remedy=error.hint or remedy)
    except OSError as error:
        return replace(capability, available=False, why=error.strerror or str(error), remedy=remedy)
    return capability


def _spare(capability: Capability, deed: Callable[[], None], remedy: str, module: str, adds: str | None = None) -> Capability:
    """The same for what not every lab needs: not tried if that would load the module, with what it adds to the machine."""
    if trials.would_load(module):
        added = f", which adds {adds} to this machine" if adds else ""
        return replace(capability, note=f"not tried: its first use loads the module {module}{added}")
    return _attempt(capability, deed, remedy)


def _netem() -> Capability:
    """netem, and what stands in for it where it is not there."""
    netem = Capability("netem", "links that lose, damage or delay packets")
    found = _spare(netem, trials.make_netem, _kernel_with("NET_SCH_NETEM"), "sch_netem")
    if found.available:
        return found
    if not _attempt(netem, trials.load_egress_rules, _kernel_with("NETFILTER_EGRESS")).available:
        return replace(found, note="nothing stands in for it")
    detours = _attempt(netem, trials.load_detour, _kernel_with("NFT_FWD_NETDEV")).available
    delays = "a relay for a delay" if detours else "a delay is not available"
    return replace(found, note=f"nft rules stand in for loss and corruption{',' if detours else ';'} {delays}")


def _try_device(number: int, device: trials.Device) -> Capability:
    capability = Capability(device.kind, device.needed_for, required=device.required)
    deed, remedy = partial(trials.make_device, number, device), _kernel_with(device.symbol)
    return _attempt(capability, deed, remedy) if device.required else _spare(capability, deed, remedy, device.module, device.adds)


def _try_bpf() -> Capability:
    found = bpf.available()
    return Capability("bpf", "the kernel's own reason for every lost packet", found.ok, why=found.reason, remedy=found.hint)


def _kernel_with(symbol: str) -> str:
    """What to do when the kernel was built without something; Ubuntu keeps rarer modules in a package of their own."""
    kernel = os.uname().release
    extra = f", or: sudo apt-get install linux-modules-extra-{kernel}" if kernel.endswith(("-generic", "-aws", "-azure", "-gcp")) else ""
    return f"use a kernel with CONFIG_{symbol}{extra}"


def _about_users() -> Iterator[Capability]:
    """Root and ordinary users: what one is, and what the other may do."""
    if os.geteuid() == 0:
        yield Capability("root", "bpf and tun")
        yield _attempt(Capability("ordinary users", "labs without sudo"), _open_sandbox_as_nobody, "use sudo")
    else:
        yield Capability("root", "bpf and tun", available=False, why="you are an ordinary user", remedy=_AS_ROOT)
        yield _about_subordinate_ids()


def _open_sandbox() -> None:
    run_in_sandbox(lambda _sandbox, _report: None)


def _open_sandbox_as_nobody() -> None:
    """Open a sandbox as an ordinary user, as root. The process that gives up root is a sandbox's own."""

    def give_up_root(_sandbox: Sandbox, _report: Report) -> None:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        own_proc_entry()
        _open_sandbox()

    run_in_sandbox(give_up_root)


def _about_subordinate_ids() -> Capability:
    ids = Capability("subordinate ids", "tcpdump and other programs that give up root, without sudo")
    if shutil.which("newuidmap") is None:
        return replace(ids, available=False, why="newuidmap is not installed", remedy="sudo apt-get install --no-install-recommends uidmap")
    if not run_in_sandbox(lambda _sandbox, _report: len(Path("/proc/self/uid_map").read_text().splitlines()) > 1):
        remedy = "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"
        return replace(ids, available=False, why="you have none in /etc/subuid", remedy=remedy)
    return ids


def _about_tools() -> Iterator[Capability]:
    for tool in tools.TOOLS:
        missing = tools.is_missing(tool.program)
        why, remedy = ("it is not installed", tools.remedy(tool.program)) if missing else (None, None)
        yield Capability(tool.program, tool.needed_for, not missing, why=why, remedy=remedy)
