"""What commands share: consoles, and arguments that complete."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.errors import UNSAFE, InputError, InputErrors, LabError, quoted

if TYPE_CHECKING:
    from rich.console import Console


PIPED_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, unless COLUMNS says how many."""


def console(*, stderr: bool = False) -> Console:
    """Return a console: plain where the output is no terminal, no colour where NO_COLOR says so."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to `lab.cli.app.run`, which ends the command as any other whose reader has gone."""
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    if stream is not None and stream.isatty():
        return Piped(stderr=stderr, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and len(columns) < 6 and int(columns) else None
    return Piped(stderr=stderr, highlight=False, soft_wrap=True, width=width or PIPED_WIDTH)


def check_ports(proto: str, **ports: int | None) -> None:
    """Raise UsageError when a port is given, by the name of its option, and the protocol has none."""
    for name, port in ports.items():
        if port is not None and proto == "icmp":
            raise click.UsageError(f"--{name} goes with --proto tcp or udp: icmp has no ports")


def print_json(value: Any) -> None:
    """Print JSON for a machine; what could drive a terminal, or is no character at all, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def files_in(names: Sequence[str], *, only_scenarios: bool = False) -> list[str]:
    """Return the files that a person names, every folder replaced by the YAML files and lessons in it, or by its scenarios.

    Raises InputError when a folder holds none.
    """
    found: list[str] = []
    for name in names:
        if os.path.isdir(name):  # noqa: PTH112 (unlike Path.is_dir, it bears any text)
            inside = [path for path in sorted(Path(name).iterdir()) if _is_ours(path, only_scenarios=only_scenarios)]
            if not inside:
                raise InputError(f"there is no {'scenario' if only_scenarios else 'YAML file'} in the folder {quoted(name)}")
            found += map(str, inside)
        else:
            found.append(name)
    return found


def _is_ours(path: Path, *, only_scenarios: bool) -> bool:
    if path.suffix in (".yaml", ".yml"):
        return not only_scenarios or not _is_topology(path)
    return not only_scenarios and _may_be_lesson(path)


def _is_topology(path: Path) -> bool:
    """Whether a file is a topology, at a glance; one that cannot be read is not, so that somebody says what is wrong with it."""
    try:
        keys = set(re.findall(rb"^(scenario|topology)\s*:", path.read_bytes(), re.MULTILINE))
    except OSError:
        return False
    return keys == {b"topology"}


def error_json(error: LabError) -> dict[str, object]:
    """Return a mistake for a machine; several of them are under `mistakes`."""
    place = error.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else None
    said: dict[str, object] = {"message": error.message, "hint": error.hint, "place": where}
    return said | {"mistakes": [error_json(mistake) for mistake in error.errors]} if isinstance(error, InputErrors) else said


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a shipped scenario or topology, or of a file."""
    from lab.spec import names

    found = [name for name in (*names("scenarios"), *names("topologies")) if name.startswith(incomplete)]
    folder, prefix = os.path.split(incomplete)
    here = Path(folder or ".")
    if here.is_dir():
        found += [os.path.join(folder, entry.name) for entry in here.iterdir() if entry.name.startswith(prefix) and _shown(entry)]  # noqa: PTH118
    return sorted(found)


def complete_file_or_lesson(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what `complete_file` does, and the names of shipped lessons."""
    from lab.spec import names

    return sorted([*complete_file(ctx, param, incomplete), *(name for name in names("lessons") if name.startswith(incomplete))])


def complete_file_or_lab(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what `complete_file` does, and the names of running labs."""
    return sorted([*complete_file(ctx, param, incomplete), *complete_lab(ctx, param, incomplete)])


def complete_phase(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a phase of the scenario named before."""
    from lab.api.inputs import open_input

    named = next(iter(ctx.args), "")  # click puts it nowhere else, as long as an option lacks its value
    try:
        scenario = open_input(named, None).scenario
    except LabError:  # there is no such file, or it is wrong: nothing to offer
        return []
    return [name for name in (scenario.model.phases if scenario else ()) if name.startswith(incomplete)]


def complete_lab(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a running lab."""
    from lab.kernel.registry import running_labs

    return [entry.name for entry in running_labs() if entry.uid == os.geteuid() and entry.name.startswith(incomplete)]


def complete_node(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a node of the lab named before."""
    from lab.kernel.registry import connect

    try:
        with connect(ctx.params["lab"]) as lab:
            nodes = lab.request("describe")
    except LabError:  # there is no such lab: nothing to offer
        return []
    assert isinstance(nodes, dict)
    found = nodes.get("nodes")
    return [str(name) for name in found if str(name).startswith(incomplete)] if isinstance(found, list) else []


def _may_be_lesson(path: Path) -> bool:
    """Whether a file is Markdown with a head; other documents may lie beside lessons."""
    try:
        return path.suffix == ".md" and path.is_file() and path.read_bytes()[:4] == b"---\n"
    except OSError:
        return False


def _shown(entry: Path) -> bool:
    return entry.is_dir() or entry.suffix in (".yaml", ".yml", ".json", ".md")


file_argument = click.argument("file", shell_complete=complete_file)
phase_option = click.option("--phase", shell_complete=complete_phase, help="The phase of a scenario; by default its first.")
phase_or_at_option = click.option(
    "--phase", shell_complete=complete_phase, help="The phase of a scenario; by default its first. FILE@PHASE says the same."
)
lab_argument = click.argument("lab", shell_complete=complete_lab)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")
ipv6_option = click.option("--ipv6", "-6", is_flag=True, help="TO's IPv6 address, where it is a name.")
engine_option = click.option(
    "--engine",
    type=click.Choice(["lab", "mininet"]),
    default="lab",
    show_default=True,
    help="Who makes nodes and cables (docs/mininet.md).",
)
