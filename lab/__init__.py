"""lab rebuilds multi-cluster Kubernetes networks on the real kernel, breaks them and shows why packets die.

    import lab

    broken = lab.compile("calico-24-mismatch", "broken")
    print(lab.trace(broken, "c1-w1-a", "c2-w1-a").outcome)
    with lab.open("calico-24-mismatch", "broken") as net:
        print(net.ping("c1-w1-a", "c2-w1-a").icmp)

What a name stands for is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lab.api.inputs import Input as Input
    from lab.api.inputs import open_input as load
    from lab.api.questions import Comparison as Comparison
    from lab.api.questions import compare as compare
    from lab.api.questions import compile_state as compile
    from lab.api.questions import reach as reach
    from lab.api.questions import run as run
    from lab.api.questions import trace as trace
    from lab.api.session import Session as Session
    from lab.api.session import open_session as open
    from lab.errors import InputError as InputError
    from lab.errors import LabError as LabError
    from lab.errors import MachineError as MachineError

_FOUND_IN: Final = {
    "Comparison": "lab.api.questions:Comparison",
    "Input": "lab.api.inputs:Input",
    "InputError": "lab.errors:InputError",
    "LabError": "lab.errors:LabError",
    "MachineError": "lab.errors:MachineError",
    "Session": "lab.api.session:Session",
    "compare": "lab.api.questions:compare",
    "compile": "lab.api.questions:compile_state",
    "load": "lab.api.inputs:open_input",
    "open": "lab.api.session:open_session",
    "reach": "lab.api.questions:reach",
    "run": "lab.api.questions:run",
    "trace": "lab.api.questions:trace",
}

__all__ = [
    "Comparison",
    "Input",
    "InputError",
    "LabError",
    "MachineError",
    "Session",
    "compare",
    "compile",
    "load",
    "open",
    "reach",
    "run",
    "trace",
]


def __getattr__(name: str) -> object:
    if name not in _FOUND_IN:
        raise AttributeError(f"module 'lab' has no attribute {name!r}")
    module, _, attribute = _FOUND_IN[name].partition(":")
    found: object = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
