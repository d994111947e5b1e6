"""Can this process watch packets with BPF here? If not: what is missing, and what to do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.errors import MachineError
from lab.kernel.bpf.assembler import Arithmetic, Helper, Instruction, Register, call, compute, leave, move
from lab.kernel.bpf.btf import KERNEL_BTF
from lab.kernel.bpf.load import load_program

INITIAL_USER_NAMESPACE: Final = 0xEFFFFFFD
"""The inode number the kernel gives its first user namespace (include/linux/proc_ns.h, PROC_USER_INIT_INO)."""

LOCKDOWN: Final = Path("/sys/kernel/security/lockdown")

CAP_SYS_ADMIN: Final = 21
CAP_PERFMON: Final = 38
CAP_BPF: Final = 39


@dataclass(frozen=True, slots=True)
class Availability:
    """`reason` says in plain words what is missing and `hint` what to do; both are None when all is there."""

    reason: str | None = None
    hint: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether packets can be watched."""
        return self.reason is None


def available(btf: Path = KERNEL_BTF) -> Availability:
    """Find out, at last by loading a program that does nothing; nothing is attached and nothing stays."""
    if not btf.exists():
        return Availability(
            f"this kernel does not describe its types: there is no {btf}", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y"
        )
    if Path("/proc/self/ns/user").stat().st_ino != INITIAL_USER_NAMESPACE:
        return Availability(
            "the kernel loads BPF programs for the machine's own root only, and this process is in a user namespace of its own",
            "run as root",
        )
    held = _effective_capabilities()
    if not held >> CAP_SYS_ADMIN & 1 and not (held >> CAP_BPF & 1 and held >> CAP_PERFMON & 1):
        return Availability("this process has neither CAP_SYS_ADMIN nor both CAP_BPF and CAP_PERFMON", "run as root")
    try:
        os.close(load_program(_trial(), "lab_trial"))
    except MachineError as error:
        return Availability(f"the kernel refuses even a BPF program that does nothing: {error.message}", _refusal_hint())
    return Availability()


def _trial() -> list[Instruction]:
    """Return a program that needs every privilege the real ones need: it reads one byte of kernel memory, at address 0, in vain."""
    return [
        move(Register.R1, Register.STACK),
        compute(Arithmetic.ADD, Register.R1, -8),
        move(Register.R2, 1),
        move(Register.R3, 0),
        call(Helper.PROBE_READ_KERNEL),
        move(Register.R0, 0),
        leave(),
    ]


def _effective_capabilities() -> int:
    """Return the capabilities in force as a bit mask (proc(5), CapEff)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))


def _refusal_hint() -> str:
    if LOCKDOWN.exists() and "[confidentiality]" in LOCKDOWN.read_text():
        return "the kernel is locked down for confidentiality (kernel_lockdown(7)); start it with lockdown=integrity or none"
    return "a container's seccomp profile or a security module may forbid bpf(2); run on the machine itself"
