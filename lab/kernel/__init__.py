"""The real Linux: namespaces, netlink, firewall, processes, and what becomes of every packet.

What is listed here loads when it is first used: parts of this room are pure and work on any system, others need Linux or load much.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lab.kernel.capabilities import Capability, detect, require
    from lab.kernel.execute import exec_in, shell_in
    from lab.kernel.holder import Operation, hold
    from lab.kernel.registry import LabConnection, LabEntry, connect, running_labs, stop
    from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox

_HOMES: Final = {
    "Capability": "capabilities",
    "LabConnection": "registry",
    "LabEntry": "registry",
    "Operation": "holder",
    "Report": "sandbox",
    "Sandbox": "sandbox",
    "connect": "registry",
    "detect": "capabilities",
    "exec_in": "execute",
    "hold": "holder",
    "require": "capabilities",
    "run_in_sandbox": "sandbox",
    "running_labs": "registry",
    "shell_in": "execute",
    "stop": "registry",
}

__all__ = [
    "Capability",
    "LabConnection",
    "LabEntry",
    "Operation",
    "Report",
    "Sandbox",
    "connect",
    "detect",
    "exec_in",
    "hold",
    "require",
    "run_in_sandbox",
    "running_labs",
    "shell_in",
    "stop",
]


def __getattr__(name: str) -> object:
    """Load the module that has `name` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
