"""`lab check`: find the mistakes of files without running anything."""

from __future__ import annotations

import click

from lab.cli.common import complete_file_or_lesson, error_json, files_in, json_option, print_json
from lab.errors import InputError, InputErrors, printable

EPILOG = """\b
Examples:
  lab check my-topology.yaml my-scenario.yaml
  lab check scenarios/ docs/lessons/
  lab check calico-24-mismatch --json
"""


@click.command("check", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file_or_lesson)
@json_option
def command(files: tuple[str, ...], as_json: bool) -> int:
    """Check topology, scenario and lesson files: their form, the names and addresses in them, and what they compile to. Of change files and
    intents (`lab validate`) only the form is checked, since what they name is in the network they are used with.

    Every mistake is shown with its line and column, what was expected, and the nearest valid name. Needs no privileges.
    """
    mistakes: list[InputError] = []
    for name in files_in(files):
        try:
            notes = _check(name)
        except InputErrors as errors:
            mistakes += errors.errors
        except InputError as error:
            mistakes.append(error)
        else:
            if not as_json:
                click.echo(f"{printable(name)}: correct")
                for note in notes:
                    click.echo(printable(note), err=True)
    if as_json:
        print_json([error_json(mistake) for mistake in mistakes])
    else:
        for mistake in mistakes:
            click.echo(str(mistake), err=True)
    return int(InputError.exit_code) if mistakes else 0


def _check(name: str) -> list[str]:
    """Check a file. Returns what is no mistake and may not be meant. Raises InputError."""
    from lab.cluster import compile as compile_clusters
    from lab.scenario.check import check_states, rules_into_nothing
    from lab.spec import Loaded, is_lesson, open_file
    from lab.spec.check_scenario import phases_without_expectations
    from lab.spec.lesson_file import open_lesson, variants_to_check
    from lab.spec.opening import check_form
    from lab.state import check as check_state

    if is_lesson(name):
        for lesson in variants_to_check(open_lesson(name)):
            check_states(lesson.scenario, lesson.topology)
        return []
    if check_form(name):
        return []
    opened = open_file(name)
    if isinstance(opened, Loaded):
        check_state(compile_clusters(opened.model, place=opened.place))
        return []
    notes = []
    for scenario, topology in opened.values():
        compiled = check_states(scenario, topology)
        notes += [f"{place}: note: {said}" for said, place in rules_into_nothing(scenario, topology, compiled)]
    return notes + [
        f"{place}: note: the phase {phase!r} expects nothing, so that nothing can fail in it"
        for scenario, _ in opened.values()
        for phase, place in phases_without_expectations(scenario)
    ]
