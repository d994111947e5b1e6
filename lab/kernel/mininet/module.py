"""Find Mininet: its Python module, and the program mnexec without which it does nothing.

PyPI's package has no mnexec, and Debian's module is not visible in a virtual environment: so the module is taken from where it is
installed, and from Debian's folder otherwise, with nothing else of that folder.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Final

from lab.errors import MachineError
from lab.kernel.tools import find_tool

DEBIAN_PACKAGES: Final = "/usr/lib/python3/dist-packages"
HINT: Final = "apt-get install --no-install-recommends mininet (it starts nothing); ./dev setup --mininet does that"


def check_mininet() -> None:
    """Raise MachineError, with the remedy, where Mininet cannot be used."""
    try:
        find_tool("mnexec")
    except MachineError:
        raise MachineError("there is no mnexec, which Mininet makes its nodes with", hint=HINT) from None
    if mininet_folder() is None:
        raise MachineError("there is no Python module mininet", hint=HINT)


def mininet_folder() -> str | None:
    """Return the folder in which the package mininet is, None where there is none."""
    if "mininet" in sys.modules:
        return str(next(iter(sys.modules["mininet"].__path__)))
    spec = importlib.util.find_spec("mininet") or PathFinder.find_spec("mininet", [DEBIAN_PACKAGES])
    locations = spec.submodule_search_locations if spec is not None else None
    return str(next(iter(locations))) if locations else None


def load(name: str) -> ModuleType:
    """Import a module of Mininet. Raises MachineError where Mininet cannot be used.

    Mininet's own limits on open files and terminals (`fixLimits`) are those of the whole machine, so they are never raised.
    """
    check_mininet()
    with warnings.catch_warnings(), _distutils():
        warnings.simplefilter("ignore")  # what Mininet is warned of is no business of the lab's
        if importlib.util.find_spec("mininet") is None:
            spec = PathFinder.find_spec("mininet", [DEBIAN_PACKAGES])
            assert spec is not None
            assert spec.loader is not None
            package = importlib.util.module_from_spec(spec)
            sys.modules["mininet"] = package
            spec.loader.exec_module(package)
        module = importlib.import_module(name)
        net = importlib.import_module("mininet.net")
    net.Mininet.inited = True
    return module


@contextmanager
def _distutils() -> Iterator[None]:
    """Give Mininet the one class of distutils that it imports: Python 3.12 has none any more, and only Open vSwitch's version needs it."""
    made = {name: ModuleType(name) for name in ("distutils", "distutils.version") if name not in sys.modules}
    if "distutils.version" in made:
        made["distutils.version"].StrictVersion = str  # type: ignore[attr-defined]
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            sys.modules.pop(name, None)
