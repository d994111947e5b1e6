"""Run a Mininet Topo class of somebody's file, and tell what it builds.

The file may do anything, so it runs as a literal command does (`lab.kernel.confine`): in a sandbox, in a network namespace without links,
with every file read-only, without capabilities but for networks, for a few seconds. What it says is read as text that anybody may have
written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

from lab.errors import InputError, Place, did_you_mean, quoted
from lab.kernel.mininet.module import mininet_folder
from lab.kernel.sandbox import Report, Sandbox, finish, run_in_sandbox

SECONDS: Final = 10
"""How long a class may take to build."""
_MOST: Final = 4 << 20
"""Bytes of what it may say."""

_PROGRAM: Final = r"""
import importlib.util, json, sys, warnings
from importlib.machinery import PathFinder

warnings.simplefilter("ignore")
folder, shown, wanted = sys.argv[1:4]
answer, sys.stdout = sys.stdout, sys.stderr
spec = PathFinder.find_spec("mininet", [folder])
package = importlib.util.module_from_spec(spec)
sys.modules["mininet"] = package
spec.loader.exec_module(package)
from mininet.topo import Topo


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else repr(value)


def built():
    space = {"__name__": "topology", "__file__": shown}
    try:
        exec(compile(sys.stdin.read(), shown, "exec"), space)
        kinds = [name for name, kind in space.items() if isinstance(kind, type) and issubclass(kind, Topo) and kind is not Topo]
        if wanted not in kinds:
            return {"missing": wanted, "known": kinds}
        topo = space[wanted]()
        return {
            "hosts": [[name, plain(topo.nodeInfo(name))] for name in topo.hosts()],
            "switches": topo.switches(),
            "links": [plain(info) for _, _, info in topo.iterLinks(withInfo=True)],
        }
    except SyntaxError as error:
        return {"error": f"{error.msg}", "line": error.lineno or 1, "column": error.offset or 1}
    except BaseException as error:
        line, step = 1, error.__traceback__
        while step is not None:
            line = step.tb_lineno if step.tb_frame.f_code.co_filename == shown else line
            step = step.tb_next
        return {"error": f"{type(error).__name__}: {error}", "line": line, "column": 1}


json.dump(built(), answer)
answer.flush()
"""


def topo_of(text: str, file: str, name: str) -> dict[str, Any]:
    """Return what the class `name` of a Python text builds: its hosts, switches and links as Mininet knows them.

    Raises InputError, at the line of the file, for what goes wrong in it; MachineError where there is no Mininet.
    """
    folder = mininet_folder()
    if folder is None:
        from lab.kernel.mininet.module import check_mininet

        check_mininet()
    parent = os.path.dirname(folder or "")  # noqa: PTH120

    def work(sandbox: Sandbox, _: Report) -> bytes:
        sandbox.add_namespace("import")
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, parent, file, name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = sandbox.spawn("import", argv, confined=True, **pipes)  # type: ignore[arg-type]
        try:
            said, _nothing = finish(process, text, SECONDS)
        except subprocess.TimeoutExpired:
            raise InputError(f"{quoted(name)} was still building after {SECONDS} s", place=Place(file)) from None
        return said[:_MOST]

    return _read(run_in_sandbox(work), file, name)


def _read(said: bytes, file: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(said)
    except ValueError:
        raise InputError(f"{quoted(name)} ended without building anything", place=Place(file)) from None
    if not isinstance(found, dict):
        raise InputError(f"{quoted(name)} built nothing that is a topology", place=Place(file))
    if "missing" in found:
        known = [str(kind) for kind in found.get("known", ()) if isinstance(kind, str)]
        raise InputError(f"there is no Topo class {quoted(name)} in it", place=Place(file), hint=did_you_mean(name, known, "Topo"))
    if "error" in found:
        line, column = (value if isinstance(value := found.get(key), int) and value > 0 else 1 for key in ("line", "column"))
        raise InputError(str(found["error"]), place=Place(file, line, column))
    return found
