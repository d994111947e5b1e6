"""A run for the terminal: a line for each phase as it ends, with what failed in it and why packets were lost, and a table of it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.cluster.diagnose import CheckResult
from lab.errors import ExitCode
from lab.report.behaviour import behaviour_table
from lab.report.crossed import crossed_lines
from lab.report.indent import Indented
from lab.scenario.play import Progress
from lab.scenario.result import Finding, ScenarioResult, Status, Verdict

MARKS = {Status.HELD: ("✓", "green"), Status.FAILED: ("✗", "bold red"), Status.UNDECIDED: ("?", "yellow")}
CHECK_MARKS = {"pass": ("✓", "green"), "fail": ("✗", "bold red"), "warn": ("!", "yellow"), "skip": ("-", "dim")}
SHOWN_FINDINGS = 8
SHOWN_DIFFERENCES = 12


class RunDisplay:
    """Prints a run as it goes on. Use it as a context manager around one run, and give it what `run_scenario` reports.

    Normally a phase is one line, with what failed in it and one short explanation for each place where packets were lost; `verbose` prints
    every expectation with all that explains it. On a terminal a last line says what is being judged.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._phase = ""
        self._title = ""
        self._verdicts: list[Verdict] = []
        # No thread redraws it: the sandbox is forked from this process.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
        if error is None:
            self._end_phase()

    def hear(self, progress: Progress) -> None:
        """Print what a piece of progress has to say."""
        if progress.phase != self._phase:
            self._end_phase()
            self._phase, self._title = progress.phase, progress.title
            if self._verbose:
                self._console.print(Text.assemble(("\n" + progress.phase, "bold"), (f"  {progress.title}", "dim")))
        if progress.verdict is not None:
            self._verdicts.append(progress.verdict)
            if self._verbose:
                self._console.print(_verdict(progress.verdict, progress.verdict.explained))
        if self._live is not None:
            self._live.start()
            judged = f"  {len(self._verdicts)} judged" if self._verdicts else ""
            self._live.update(Text(f"… {progress.phase}  {progress.title}{judged}", "dim"), refresh=True)

    def _end_phase(self) -> None:
        if self._phase and not self._verbose:
            self._console.print(phase_lines(self._phase, self._title, self._verdicts))
        self._phase, self._verdicts = "", []


def phase_lines(name: str, title: str, verdicts: Sequence[Verdict], *, explained: bool = True) -> RenderableType:
    """Return what became of a phase in a line; below it what did not hold, and where its packets were lost and why."""
    counts = Counter(verdict.status for verdict in verdicts)
    worst = next((status for status in (Status.FAILED, Status.UNDECIDED) if counts[status]), Status.HELD)
    mark, style = MARKS[worst] if verdicts else ("-", "yellow")
    noun = "expectation holds" if len(verdicts) == 1 else "expectations hold"
    held = f"{counts[Status.HELD]} {noun}" if worst is Status.HELD else f"{counts[Status.HELD]} of {len(verdicts)} {noun}"
    held = held if verdicts else "expects nothing"
    lines: list[RenderableType] = [Text.assemble((f"{mark} ", style), (name, "bold"), f"  {title}  " if title else "  ", (held, "dim"))]
    wrong = [verdict for verdict in verdicts if verdict.status is not Status.HELD]
    lines += [_verdict(verdict, verdict.explained) for verdict in wrong]
    if explained:
        for verdict, finding in _losses(verdict for verdict in verdicts if verdict.status is Status.HELD):
            lines.append(Indented(4, f"{verdict.kind} {finding.subject}: {finding.detail}"))
            lines += [Indented(6, text, "cyan") for text in crossed_lines(finding.outcome)] if finding.outcome is not None else []
            lines += [Indented(6, text, "dim") for text in (verdict.explanation.short() if verdict.explanation is not None else ())]
    return Group(*lines)


def result_table(result: ScenarioResult, *, called: str, verbose: bool = False, quiet: bool = False) -> RenderableType:
    """Return the end of a run: what was tried in every phase and what became of it, what is compared, the conclusion.

    `called` is how the person called the scenario. `verbose` adds the commands between the phases that are compared, in full, and what each
    phase took; `quiet` has one line for a phase and the conclusion only.
    """
    parts: list[RenderableType] = []
    if quiet:
        parts += [phase_lines(phase.name, phase.title, phase.verdicts, explained=False) for phase in result.phases]
    if verbose and result.commands is not None:
        parts.append(_commands(result))
    behaviour = None if quiet else behaviour_table(result)
    if behaviour is not None:
        parts += [Text(), behaviour, Text()]
    if verbose:
        parts += [_phases(result), Text()]
    if result.same is not None:
        parts.append(_same(result))
    if not verbose and not quiet and result.commands is not None and result.commands.commands:
        parts.append(_how_many_commands(result, called))
    style = "bold green" if result.exit_code is ExitCode.OK else "bold yellow" if result.exit_code is ExitCode.INCONCLUSIVE else "bold red"
    probes = sum(phase.probes for phase in result.phases)
    witness = "drops reported by the kernel" if result.sees_drops else "drops concluded from silence"
    about = f"{probes} probes, {result.duration_ns / 1e9:.2f} s, {'ordinary user' if result.rootless else 'root'}, {witness}"
    parts.append(Text.assemble((f"{result.scenario}: {result.conclusion}", style), (f"  ({about})", "dim")))
    return Group(*parts)


def diagnosis_table(results: Sequence[CheckResult]) -> RenderableType:
    """Return the checks of one or more clusters with what they say."""
    parts: list[RenderableType] = []
    for cluster in dict.fromkeys(result.cluster for result in results):
        table = Table(title=cluster, title_justify="left", box=None, show_header=False, padding=(0, 1))
        for result in results:
            if result.cluster == cluster:
                mark, style = CHECK_MARKS[result.status]
                says = Text("\n").join(Text(line) for line in (result.reason, *result.detail))
                table.add_row(Text(mark, style), Text(result.title), says)
        parts.append(table)
    return Group(*parts)


def _verdict(verdict: Verdict, explanation: Sequence[str]) -> RenderableType:
    mark, style = MARKS[verdict.status]
    count = f" ({len(verdict.findings)})" if len(verdict.findings) > 1 else ""
    line = Text.assemble(("  " + mark + " ", style), verdict.expected, (count, "dim"))
    below = [(text, "dim") for text in explanation]
    if verdict.status is not Status.HELD:
        wrong = [finding for finding in verdict.findings if finding.status is not Status.HELD]
        more = [(f"... and {len(wrong) - SHOWN_FINDINGS} more", "red")] if len(wrong) > SHOWN_FINDINGS else []
        shown = [(f"{finding.subject}: {finding.detail}", "red") for finding in wrong[:SHOWN_FINDINGS]]
        lost = next((finding.outcome for finding in wrong if finding.outcome is not None and finding.outcome.result != "reply"), None)
        shown += [(text, "cyan") for text in crossed_lines(lost)] if lost is not None else []
        below = [*shown, *more, (f"expected at {verdict.place}", "dim"), *below]
    return Group(line, *(Indented(6 + len(text) - len(text.lstrip()), text.lstrip(), style) for text, style in below))


def _losses(verdicts: Iterable[Verdict]) -> Iterator[tuple[Verdict, Finding]]:
    """Yield, for each place where packets were lost as expected, the first verdict that is explained and its first probe lost there."""
    shown = set()
    for verdict in verdicts:
        finding = next((f for f in verdict.findings if f.outcome is not None and f.outcome.result != "reply"), None)
        if not verdict.explanation or finding is None or finding.outcome is None:
            continue
        loss = finding.outcome.loss
        where = (loss.interface, loss.part) if loss is not None else (finding.subject, finding.outcome.result)
        if where not in shown:
            shown.add(where)
            yield verdict, finding


def _phases(result: ScenarioResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("phase")
    table.add_column("", overflow="fold")
    for name in ("held", "failed", "undecided", "probes"):
        table.add_column(name, justify="right")
    table.add_column("time", justify="right")
    for phase in result.phases:
        counts = Counter(verdict.status for verdict in phase.verdicts)
        cells = [Text(str(counts[status]) if counts[status] else "", MARKS[status][1]) for status in Status]
        table.add_row(Text(phase.name, "bold"), Text(phase.title), *cells, str(phase.probes), f"{phase.duration_ns / 1e6:.0f} ms")
    return table


def _same(result: ScenarioResult) -> RenderableType:
    same = result.same
    assert same is not None
    if not same.differences:
        return Text.assemble(("✓ ", "green"), f"{same.second} behaves as {same.first} does: {same.flows} flows compared")
    lines = [Text.assemble(("✗ ", "bold red"), f"{same.second} differs from {same.first} in {len(same.differences)} of {same.flows} flows")]
    lines += [Text(f"  {d.flow}\n    {same.first}: {d.before}\n    {same.second}: {d.after}") for d in same.differences[:SHOWN_DIFFERENCES]]
    if len(same.differences) > SHOWN_DIFFERENCES:
        lines.append(Text(f"  ... and {len(same.differences) - SHOWN_DIFFERENCES} more"))
    return Group(*lines)


def _how_many_commands(result: ScenarioResult, called: str) -> RenderableType:
    commands = result.commands
    assert commands is not None
    counts = Counter(namespace for namespace, _ in commands.commands)
    nodes = ", ".join(f"{count} on {name}" for name, count in counts.items())
    shown_by = f"lab diff --commands {called}@{commands.first} {called}@{commands.second}"
    return Text.assemble(
        f"  {commands.first} becomes {commands.second} by {counts.total()} commands: {nodes}\n", (f"  {shown_by}  shows them", "dim")
    )


def _commands(result: ScenarioResult) -> RenderableType:
    commands = result.commands
    assert commands is not None
    lines: list[RenderableType] = [Text(f"\nFrom {commands.first} to {commands.second}:", "bold")]
    for namespace in dict.fromkeys(namespace for namespace, _ in commands.commands):
        lines.append(Text(f"  {namespace}", "cyan"))
        lines += [Text(f"    {text}") for owner, text in commands.commands if owner == namespace]
    return Group(*lines)
