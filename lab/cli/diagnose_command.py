"""`lab diagnose`: the checks of subctl, and the one it lacks."""

from __future__ import annotations

import click

from lab.cli.common import complete_file_or_lab, console, json_option, phase_option, print_json

EPILOG = """\b
Examples:
  lab diagnose calico-24-mismatch --phase broken      judged from the files, without privileges
  sudo lab diagnose incident                          judged from what the kernel of a running lab holds
"""


@click.command("diagnose", epilog=EPILOG)
@click.argument("source", metavar="FILE|LAB", shell_complete=complete_file_or_lab)
@phase_option
@click.option("--cluster", help="Only this cluster.")
@json_option
def command(source: str, phase: str | None, cluster: str | None, as_json: bool) -> int:
    """Run the checks of `subctl diagnose all`, each with the reason why it passes, and the check that is missing there: detected
    against actual pod ranges.

    Exit code 1 when a check fails.
    """
    from lab.api.inputs import open_state
    from lab.cluster.diagnose import diagnose
    from lab.report import diagnosis_json, diagnosis_table

    results = diagnose(open_state(source, phase), cluster)
    if as_json:
        print_json(diagnosis_json(results))
    else:
        console().print(diagnosis_table(results))
    return int(any(result.status == "fail" for result in results))
