"""The machine a run was made on, and who bore witness of it."""

from __future__ import annotations

import platform
from importlib.metadata import version

from lab.report.model import Machine
from lab.scenario.result import ScenarioResult


def machine_of(result: ScenarioResult) -> Machine:
    """Return what is worth knowing of this machine."""
    system = platform.uname()
    return Machine(
        kernel=system.release,
        architecture=system.machine,
        system=_distribution(),
        python=platform.python_version(),
        lab=version("routelab"),
        user="ordinary user" if result.rootless else "root",
        witnesses=(
            "packets: "
            + ("eBPF programs on every device of every namespace" if result.sees_drops else "packet sockets in every namespace"),
            "drops: "
            + ("reported by the kernel, with its own reason" if result.sees_drops else "concluded from where a packet was last seen"),
            "routes: the kernel's own lookup (RTM_GETROUTE) at each hop of a packet that was lost",
            "state: read back from the kernel in every phase",
            "model: the prediction from that state; where it and the kernel disagree, the run fails",
        ),
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()
