"""`lab selftest`: the model against this kernel."""

from __future__ import annotations

import secrets
import sys

import click

from lab.errors import ExitCode

EPILOG = """\b
What disagrees is asked again in the same network built anew. It is a disagreement when it does so twice; otherwise it is printed and
counted as one that did not repeat, as when a busy machine lost a packet.
\b
Exit codes: 0 they agree; 1 they do not, and each disagreement is printed with the seed that repeats it.
\b
Examples:
  sudo lab selftest --networks 1000
  sudo lab selftest --networks 1000 --nodes 10 --all-pairs
  sudo lab selftest --networks 1 --seed 4711
  sudo lab selftest --networks 500 --ipv6
  sudo lab selftest --lookups 100000
"""


@click.command("selftest", epilog=EPILOG)
@click.option("--networks", type=click.IntRange(1), default=100, show_default=True, help="How many random networks to build.")
@click.option("--probes", type=click.IntRange(1), default=20, show_default=True, help="How many random probes to send in each.")
@click.option("--all-pairs", is_flag=True, help="Instead of random probes, ping from every namespace to every other one.")
@click.option("--nodes", type=click.IntRange(5, 20), help="How many namespaces each network has; by default 3 to 12.")
@click.option("--ipv6", is_flag=True, help="The same networks and questions in IPv6.")
@click.option(
    "--lookups",
    type=click.IntRange(1),
    help="Send nothing: compare which rule and route decide about so many random packets, in networks full of policy rules.",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of the first network; by default a fresh one.")
def command(networks: int, probes: int, all_pairs: bool, nodes: int | None, ipv6: bool, lookups: int | None, seed: int | None) -> int:
    """Build random networks in this machine's kernel, send real packets, and compare every verdict, path, ICMP source and rewritten address
    with what the model predicts."""
    from lab.explain.agreement.selftest import LOOKUPS, Report, selftest, selftest_of_lookups

    if ipv6 and lookups is not None:
        raise click.UsageError("--ipv6 goes with packets; lookups are compared in IPv4")
    begin = secrets.randbelow(1 << 31) if seed is None else seed

    networks = networks if lookups is None else max(1, lookups // LOOKUPS)
    shown = 0

    def show(so_far: Report) -> None:
        nonlocal shown
        for text in so_far.disagreements[shown:]:
            click.echo(text)
        shown = len(so_far.disagreements)
        if sys.stderr.isatty():
            click.echo(f"\r{so_far.networks}/{networks} networks, {so_far.probes} compared, {shown} disagreements", nl=False, err=True)

    if lookups is None:
        report = selftest(
            networks, probes=None if all_pairs else probes, nodes=nodes, version=6 if ipv6 else 4, seed=begin, on_progress=show
        )
    else:
        report = selftest_of_lookups(networks, lookups=min(lookups, LOOKUPS), seed=begin, on_progress=show)
    if sys.stderr.isatty():
        click.echo(err=True)
    for text in (*report.refused, *(f"did not repeat: {text}" for text in report.unrepeated)):
        click.echo(text)
    what = "probes" if lookups is None else "lookups"
    click.echo(
        f"{report.probes} {what} in {report.networks} networks (seeds from {begin}): {len(report.disagreements)} disagreements, "
        f"{sum(report.unknown.values())} the model did not decide"
        + (f", {report.rationed} withheld by ICMP rate limits" if lookups is None else "")
        + (f", {sum(report.listed.values())} listed in docs/limits.md" if report.listed else "")
        + (f", {len(report.unrepeated)} did not repeat" if report.unrepeated else "")
        + (f", {len(report.refused)} networks refused by the kernel" if report.refused else "")
    )
    return int(ExitCode.EXPECTATION if report.disagreements or report.refused else ExitCode.OK)
