"""`lab run`: play scenarios and judge them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lab.cli.common import complete_file, console, engine_option, files_in, json_option, print_json

if TYPE_CHECKING:
    from lab.spec import Loaded, Scenario, Topology

_WAITING = 2
"""How many scenarios are played beside one for each CPU: much of their time they wait, as for a neighbour that the kernel gives up."""
EPILOG = """\b
Exit codes: 0 all expectations hold; 1 one does not; 2 the input is wrong; 3 this machine lacks something; 4 no verdict.
\b
Examples:
  sudo lab run calico-24-mismatch                 a shipped scenario
  sudo lab run calico-24-mismatch --report out    and out/report.html, for a ticket, a slide, a pull request
  sudo lab run my-scenario.yaml --junit out.xml   your own, for a CI system
  sudo lab run calico-24-mismatch --engine mininet   nodes and cables by Mininet's classes
  lab run calico-24-mismatch                      without root, where the kernel permits
  sudo lab run calico-24-mismatch -v              everything: expectations, explanations, commands
  sudo lab run scenarios/ --junit out.xml         every scenario of a folder: one table, one report
  sudo lab run flagship-variants#one-side-fixed   one variant of a file
  sudo lab run calico-24-mismatch --sweep detected=/16../26 --sweep side=both,one --sweep rp_filter=0,1,2
  lab run two-clusters --sweep cable=vxlan,libreswan --sweep mtu=1400,1500 --predict --csv table.csv
  sudo lab run --replay out/run.zip               a recorded run once more, compared with its report
  sudo lab run calico-24-mismatch --pcap run.pcapng && wireshark run.pcapng
"""


@click.command("run", epilog=EPILOG)
@click.argument("files", nargs=-1, metavar="FILE...", shell_complete=complete_file)
@json_option
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit report to this file.")
@click.option(
    "--report",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Leave report.html, report.json, summary.md, junit.xml in this folder, and run.zip, which plays the run again.",
)
@click.option(
    "--replay",
    metavar="BUNDLE",
    type=click.Path(path_type=Path),
    help="Play the run of a run.zip (or of a folder with a report) again and compare the reports; exit code 1 where they differ.",
)
@click.option("--verbose", "-v", is_flag=True, help="Print every expectation, whole explanations, and the commands from broken to fixed.")
@click.option("--quiet", "-q", is_flag=True, help="Print a line for each phase and the conclusion, at the end.")
@click.option("--jobs", "-j", type=click.IntRange(1), help="How many scenarios run at a time. By default two more than CPUs.")
@click.option("--sweep", "sweeps", multiple=True, metavar="KEY=V1,V2,...", help="Try every combination of values (may be repeated).")
@click.option("--predict", is_flag=True, help="With --sweep: ask the model instead of sending packets; needs no privileges.")
@click.option("--phase", help="With --sweep: the phase that is tried; by default the first.")
@click.option("--csv", type=click.Path(path_type=Path, dir_okay=False), help="With --sweep: write the table to this file as well.")
@engine_option
@click.option(
    "--pcap",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every packet to this pcapng file: an interface per NODE:DEVICE, and a comment with phase, probe, hop and verdict.",
)
@click.option("--no-bpf", is_flag=True, help="Watch packets by packet sockets even where BPF is possible.")
def command(
    files: tuple[str, ...],
    as_json: bool,
    junit: Path | None,
    report: Path | None,
    replay: Path | None,
    verbose: bool,
    quiet: bool,
    jobs: int | None,
    sweeps: tuple[str, ...],
    predict: bool,
    phase: str | None,
    csv: Path | None,
    engine: Literal["lab", "mininet"],
    pcap: Path | None,
    no_bpf: bool,
) -> int:
    """Play a scenario on the real kernel: go from phase to phase, send probes, and compare what is seen with what must be seen.

    FILE is a scenario file, a folder of them, or the name of a shipped scenario (`lab list`). Several of them run side by side, and what
    became of them is one table.

    With --sweep, one network (a scenario's phase, or a topology) is tried in every combination of values, and a table says what works in
    each. KEY is `detected` (the prefix length that discovery takes for a cluster's pod range), `side` (both, one, or a cluster's name:
    who joins with it), `rp_filter`, `mtu`, `cable`, `version`, or a path in the topology, as `clusters.*.cni.nat_outgoing`. A value may be
    a range: /16../26.
    """
    if sweeps:
        if len(files) != 1:
            raise click.UsageError("--sweep takes one FILE")
        return _sweep(files[0], sweeps, predict=predict, phase=phase, as_json=as_json, csv=csv, jobs=jobs)
    if predict or phase is not None or csv is not None:
        stay = f"; `lab up {files[0]} --phase {phase}` stays in one phase" if phase is not None and len(files) == 1 else ""
        raise click.UsageError(f"--predict, --phase and --csv go with --sweep{stay}")
    from datetime import UTC, datetime

    from lab.errors import InputError, worst
    from lab.report import RunDisplay, junit_xml, overview_line, overview_table, result_json, result_table
    from lab.report.bundle import read_bundle, unpacked
    from lab.report.folder import check_folder
    from lab.scenario.many import run_scenarios
    from lab.scenario.play import run_scenario
    from lab.spec.writing import check_writable, write_whole

    if engine == "mininet":
        from lab.kernel.mininet.module import check_mininet

        check_mininet()
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet contradict each other")
    if bool(files) == (replay is not None):
        raise click.UsageError("--replay plays its bundle and nothing else" if files else "name a scenario, or a bundle with --replay")
    for path in (junit, pcap):
        if path is not None:
            check_writable(path)
    if report is not None:
        check_folder(report)
    packets: list[bytes] = []
    out, progress = console(), console(stderr=as_json)
    progress.quiet = quiet
    bundle = None if replay is None else read_bundle(replay)
    keep, bpf = report is not None or bundle is not None, not no_bpf and (bundle is None or bundle.bpf)
    with ExitStack() as files_of_bundle:
        if bundle is None:
            opened = list(_named(files))
        else:
            opened = [(bundle.scenario, bundle.variant, *files_of_bundle.enter_context(unpacked(bundle)))]
        if pcap is not None and len(opened) > 1:
            raise InputError(f"--pcap records one scenario, and these are {len(opened)}", hint="name one of them, as FILE#VARIANT")
        record = packets.append if pcap is not None or report is not None else None
        began, started = time.monotonic(), datetime.now(UTC)
        if len(opened) == 1:
            ((called, _, scenario, topology),) = opened
            progress.print(f"{scenario.model.scenario}  {scenario.model.title}\n", style="bold", markup=False)
            with RunDisplay(progress, verbose=verbose) as display:
                watched = None if bpf else False
                results = [
                    run_scenario(scenario, topology, listen=display.hear, bpf=watched, keep_stages=keep, engine=engine, record=record)
                ]
            if not as_json:
                out.print(result_table(results[0], called=called, verbose=verbose, quiet=quiet))
        else:
            results = run_scenarios(
                [(scenario, topology) for _, _, scenario, topology in opened],
                at_once=jobs or (os.cpu_count() or 1) + _WAITING,
                listen=lambda result: progress.print(overview_line(result)),
                bpf=None if bpf else False,
                keep_stages=keep,
                engine=engine,
            )
            if not as_json:
                for (called, *_), result in zip(opened, results, strict=True) if verbose else ():
                    out.print(result_table(result, called=called, verbose=True))
                out.print(overview_table(results, time.monotonic() - began))
        if as_json:
            values = [result_json(result) for result in results]
            print_json(values[0] if len(values) == 1 else values)
        recorded = b"".join(packets)
        if pcap is not None:
            write_whole(pcap, recorded)
        if junit is not None:
            write_whole(junit, junit_xml(results))
        code = int(worst([result.exit_code for result in results]))
        if not keep:
            return code
        from lab.report.leaving import Run, leave_reports
        from lab.report.replay import replay_text

        runs = [Run(*one, result, started, bpf, recorded) for one, result in zip(opened, results, strict=True)]
        if report is not None:
            written = leave_reports(runs, report)
            console(stderr=as_json).print(f"report: {written}", markup=False, soft_wrap=True)
        if bundle is None:
            return code
        text, same = replay_text(bundle, runs[0])
        console(stderr=True).print(text)
        return code if same else 1


def _named(files: tuple[str, ...]) -> Iterator[tuple[str, str | None, Loaded[Scenario], Loaded[Topology]]]:
    """Yield every scenario of the files that a person names, each once: as it is called, which variant it is, and what it is."""
    from lab.spec import open_scenarios

    known = set()
    for name in files_in(files, only_scenarios=True):
        for variant, play in open_scenarios(name).items():
            once = os.path.realpath(play[0].document.file), variant
            if once in known:
                continue
            known.add(once)
            yield (f"{name}#{variant}" if variant and not name.endswith(f"#{variant}") else name), variant or None, *play


def _sweep(
    file: str, sweeps: tuple[str, ...], *, predict: bool, phase: str | None, as_json: bool, csv: Path | None, jobs: int | None
) -> int:
    from lab.api.sweeping import sweep_file
    from lab.errors import ExitCode
    from lab.report.truth import truth_csv, truth_json, truth_table
    from lab.spec.writing import check_writable, write_whole

    if csv is not None:
        check_writable(csv)
    truth = sweep_file(file, sweeps, predict=predict, phase=phase, at_once=jobs)
    if as_json:
        print_json(truth_json(truth))
    else:
        console().print(truth_table(truth))
    if csv is not None:
        write_whole(csv, truth_csv(truth))
    return int(ExitCode.INCONCLUSIVE if truth.undecided else ExitCode.OK)
