"""`lab list`: what comes with the lab."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from lab.cli.common import console, json_option, print_json

if TYPE_CHECKING:
    from lab.spec.library import Entry

EPILOG = """\b
Examples:
  lab list
  lab list rp_filter                        whose file mentions a word
  lab list --component flannel --symptom silence
  lab list --primitive nft --json
"""


@click.command("list", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[WORD...]")
@click.option("--component", multiple=True, metavar="NAME", help="Where this software is emulated: calico, submariner, ...")
@click.option("--symptom", multiple=True, metavar="NAME", help="Where senders see this: silence, unreachable, refused, ...")
@click.option("--primitive", multiple=True, metavar="NAME", help="Where this change, event or part of a topology occurs.")
@json_option
def command(
    words: tuple[str, ...], component: tuple[str, ...], symptom: tuple[str, ...], primitive: tuple[str, ...], as_json: bool
) -> None:
    """List the scenarios and topologies that come with the lab, one line each: all, or those whose file mentions every WORD and that are
    about all that the options name. An option that names nothing known says what there is.
    """
    from dataclasses import asdict

    from lab.spec.library import library

    found = list(library())
    for option, wanted in (("component", component), ("symptom", symptom), ("primitive", primitive)):
        _check_known(option, wanted, {known for entry in found for known in entry.about(option)})
        found = [entry for entry in found if set(wanted) <= set(entry.about(option))]
    found = [entry for entry in found if all(map(entry.mentions, words))]
    if as_json:
        print_json([{key: value for key, value in asdict(entry).items() if key != "text"} for entry in found])
    elif found:
        _print(found)
    else:
        click.echo("nothing that comes with the lab is about all of that", err=True)


def _check_known(option: str, wanted: Iterable[str], known: set[str]) -> None:
    from lab.errors import InputError, did_you_mean

    for name in wanted:
        if name not in known:
            raise InputError(f"--{option}: nothing that comes with the lab has {name!r}", hint=did_you_mean(name, sorted(known), option))


def _print(found: list[Entry]) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(box=None, show_header=False)
    left = out.width - 2  # the title column's own padding
    for width in (max(len(entry.kind) for entry in found), max(len(entry.name) for entry in found)):
        table.add_column(no_wrap=True, min_width=width)
        left -= width + 2
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(left, 1))
    for entry in found:
        table.add_row(entry.kind, entry.name, Text(entry.title))
    out.print(table)
