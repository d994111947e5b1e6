"""`lab validate`: what a change does, before anybody makes it."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.common import complete_file_or_lab, console, phase_or_at_option, print_json
from lab.spec.writing import check_writable, write_whole

EPILOG = """\b
Exit codes: 0 as intended; 1 not; 2 the input is wrong; 3 this machine lacks something; 4 it could not be found out.
\b
Examples:
  lab validate two-clusters --change change.txt
  lab validate calico-24-mismatch@broken --change change.txt --intents intents.yaml --steps --failures 1
  lab validate calico-24-mismatch@broken --change calico-24-mismatch@fixed --format markdown
  sudo lab validate my-lab --change - --emulate < change.txt
\b
A change is a file of commands, one on each line, as they are pasted (docs/validating.md):
  @c1-w1
  ip route replace 10.42.0.0/16 via 240.18.1.2 dev vx-submariner
  c1-gw: sysctl -w net.ipv4.conf.eth0.rp_filter=2
"""
FORMATS = ("text", "json", "markdown", "junit")


@click.command("validate", epilog=EPILOG)
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_file_or_lab)
@click.option("--change", required=True, help="A file of commands, - for standard input, a YAML change file, or a state: FILE@PHASE.")
@phase_or_at_option
@click.option("--intents", help="A YAML file that says what must be true afterwards.")
@click.option("--steps", is_flag=True, help="Judge every intermediate state, and look for a better order where one breaks something.")
@click.option("--failures", type=click.IntRange(0, 1), default=0, help="1: let every link, gateway and route fail, before and after.")
@click.option("--emulate", is_flag=True, help="Make the change on a real kernel in a sandbox, and send packets.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="How to say what was found.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit report to this file as well.")
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Write a Markdown report to this file as well.")
@click.option("--undo", type=click.Path(path_type=Path, dir_okay=False), help="Write the way back to this file, itself a file of commands.")
@click.option("--all", "everything", is_flag=True, help="Show everything that fares differently, intended or not.")
def command(
    file: str,
    change: str,
    phase: str | None,
    intents: str | None,
    steps: bool,
    failures: int,
    emulate: bool,
    form: str,
    as_json: bool,
    junit: Path | None,
    markdown: Path | None,
    undo: Path | None,
    everything: bool,
) -> int:
    """Find out what a change does to a network before anybody makes it: for every sender and every address, as exact sets; step by step;
    when something fails; and the way back. Needs no privileges and no Linux, but for --emulate.

    Without --intents, nothing may be lost that worked, opened that was closed, circulate, be heard without hearing the answer, be refused
    by rp_filter, or swallow long packets.
    """
    from lab.api.validation import validate_change
    from lab.report.validation import undo_script, validation_json, validation_junit, validation_markdown, validation_text

    for path in (junit, markdown, undo):
        if path is not None:
            check_writable(path)
    form = "json" if as_json else form
    err = console(stderr=True)

    def listen(said: str) -> None:
        if err.is_terminal:
            err.print(said, style="dim", markup=False)

    found = validate_change(
        file, change, phase=phase, intents=intents, steps=steps, failures=bool(failures), emulate=emulate, listen=listen
    )
    match form:
        case "json":
            print_json(validation_json(found))
        case "markdown":
            click.echo(validation_markdown(found), nl=False)
        case "junit":
            click.echo(validation_junit(found), nl=False)
        case _:
            console().print(validation_text(found, everything=everything), crop=False)  # commands are copied whole
    if junit is not None:
        write_whole(junit, validation_junit(found))
    if markdown is not None:
        write_whole(markdown, validation_markdown(found))
    if undo is not None:
        write_whole(undo, undo_script(found.undo))
    return int(found.exit_code)
