"""A validation for the terminal, as Markdown for a pull request, as JSON and as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from rich.console import Group, RenderableType
from rich.text import Text

from lab.errors import ExitCode, printable
from lab.report.indent import Indented, verbatim
from lab.report.junit import clean, counts, document
from lab.state.objects import Network
from lab.validate.result import Check, Emulated, Failure, Finding, Order, Status, StepResult, Undo, Validation

MARKS = {Status.HELD: ("✓", "green"), Status.FAILED: ("✗", "bold red"), Status.UNDECIDED: ("?", "yellow")}
SHOWN_NETWORKS, SHOWN_SOURCES, SHOWN_FINDINGS = 6, 6, 12
VERSION = 1


def _list(items: Sequence[object], most: int) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def _addresses(networks: Sequence[Network]) -> str:
    alone = (network.prefixlen == network.max_prefixlen for network in networks)
    return _list([network.network_address if one else network for network, one in zip(networks, alone, strict=True)], SHOWN_NETWORKS)


def _said(finding: Finding) -> str:
    return f"{_list(finding.sources, SHOWN_SOURCES)} -> {_target(finding)}"


def _target(finding: Finding) -> str:
    return _addresses(finding.addresses) + ("" if finding.kind == "icmp" else f" {finding.kind}")


def _together(findings: Sequence[Finding]) -> Iterator[tuple[str, Finding]]:
    """Yield what the same senders experience alike, whatever they send, with one of its findings."""
    groups: dict[tuple[tuple[str, ...], str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.sources, finding.before, finding.after), []).append(finding)
    for alike in groups.values():
        yield f"{_list(alike[0].sources, SHOWN_SOURCES)} -> {'; '.join(map(_target, alike))}", alike[0]


# -- terminal ------------------------------------------------------------------------------------------------------


def validation_text(found: Validation, *, everything: bool = False) -> RenderableType:
    """Return what was found: the checks, what the way there breaks, failures, the way back, and the verdict."""
    parts: list[RenderableType] = []
    for check in found.checks:
        parts += _check_lines(check, everything=everything)
    if everything:
        parts += _section("everything that fares differently", found.changed, everything=True)
    if found.stepped:
        parts += _steps_text(found.steps, found.order)
    if found.failures is not None:
        parts += _failures_text(found.failures)
    if found.emulated is not None:
        parts += _emulated_text(found.emulated)
    parts += _undo_text(found.undo)
    style = {ExitCode.OK: "bold green", ExitCode.INCONCLUSIVE: "bold yellow"}.get(found.exit_code, "bold red")
    details = f"  ({found.questions} questions, {found.seconds:.1f} s)"
    parts.append(Text.assemble("\n", (f"{printable(found.change)}: {found.conclusion}", style), (details, "dim")))
    return Group(*parts)


def _check_lines(check: Check, *, everything: bool) -> Iterator[RenderableType]:
    mark, style = MARKS[check.status]
    said = Text.assemble(check.title, (f"  {check.because}" if check.because else "", "dim"))
    yield Indented(2, said, mark=Text(f"{mark} ", style))
    if check.place is not None and check.status is not Status.HELD:
        yield Indented(4, f"intended at {check.place}", "dim")
    if check.note:
        yield Indented(4, check.note, "dim")
    yield from _finding_lines(check.findings, everything=everything)


def _finding_lines(findings: Sequence[Finding], *, everything: bool = False) -> Iterator[RenderableType]:
    groups = list(_together(findings))
    shown = groups if everything else groups[:SHOWN_FINDINGS]
    for said, finding in shown:
        yield Indented(4, said)
        yield Indented(16, Text(finding.before, "dim"), mark=Text("        before: ", "dim"))
        yield Indented(16, Text(finding.after, "red"), mark=Text("        after:  ", "red"))
    if len(shown) < len(groups):
        yield Indented(4, f"... and {len(groups) - len(shown)} more; --all shows them", "dim")


def _section(title: str, findings: Sequence[Finding], *, everything: bool) -> Iterator[RenderableType]:
    yield Text(f"\n{title}:", "bold")
    yield from _finding_lines(findings, everything=everything)


def _steps_text(steps: Sequence[StepResult], order: Order | None) -> Iterator[RenderableType]:
    yield Text("\nstep by step:", "bold")
    for number, result in enumerate(steps, start=1):
        mark, style = MARKS[Status.FAILED if result.hurts else Status.HELD]
        yield Indented(2, f"{number}. {printable(str(result.step))}", mark=Text(f"{mark} ", style))
        for what, findings in (("interrupted", result.interrupted), ("open meanwhile", result.opened), ("circulates", result.loops)):
            groups = list(_together(findings))
            yield from (Indented(4, f"{what}: {said}: {finding.after}", "red") for said, finding in groups[:SHOWN_FINDINGS])
            if len(groups) > SHOWN_FINDINGS:
                yield Indented(4, f"... and {len(groups) - SHOWN_FINDINGS} more", "dim")
    if order is not None:
        yield from (Text(), Indented(2, order_sentence(order), "bold"))
        if order.broken < order.given_broken:
            yield from (verbatim(f"  {printable(str(steps[number].step))}") for number in order.steps)


def order_sentence(order: Order) -> str:
    """Say whether another order is better."""
    proof = "" if order.complete else f" (the best found in {order.tried} states)"
    if order.broken >= order.given_broken:
        return f"no other order breaks less than the given one{proof}"
    return (
        f"{'nothing is' if not order.broken else f'less ({order.broken} instead of {order.given_broken}) is'} broken in this order{proof}:"
    )


def _failures_text(failures: Sequence[Failure]) -> Iterator[RenderableType]:
    fragile = [failure for failure in failures if failure.newly_cut]
    yield Text("\nwhen one thing fails:", "bold")
    for failure in fragile:
        yield Indented(2, f"{failure.what}: survived before the change, and not after it", mark=Text("✗ ", "bold red"))
        yield from _finding_lines(failure.newly_cut)
    if not fragile:
        said = f"nothing depends on a single part that did not before ({len(failures)} parts are missed)"
        yield Indented(2, said, mark=Text("✓ ", "green"))


def _emulated_text(emulated: Emulated) -> Iterator[RenderableType]:
    mark, style = MARKS[Status.FAILED if emulated.differences else Status.HELD]
    said = f"real packets: {emulated.probes} flows and the kernel's own tables, before and after ({emulated.seconds:.1f} s)"
    yield Text()
    yield Indented(2, said, mark=Text(f"{mark} ", style))
    yield from (Indented(4, difference, "red") for difference in emulated.differences[:SHOWN_FINDINGS])
    if len(emulated.differences) > SHOWN_FINDINGS:
        yield Indented(4, f"... and {len(emulated.differences) - SHOWN_FINDINGS} more", "dim")


def undo_script(undo: Undo) -> str:
    """Return the way back as a change file."""
    lines, last = [], None
    for node, command in undo.commands:
        if node != last:
            lines.append(f"@{node}")
        lines.append(command)
        last = node
    return "".join(f"{line}\n" for line in lines)


def _undo_text(undo: Undo) -> Iterator[RenderableType]:
    proof = "carried out here, it leads back" if undo.proved else "not proved to lead back"
    yield Text()
    yield Indented(12, Text("; ".join(filter(None, (proof, undo.remark))), "dim"), mark=Text("to undo it", "bold"))
    yield from (verbatim(f"  {line}") for line in undo_script(undo).splitlines())


# -- Markdown ------------------------------------------------------------------------------------------------------


def validation_markdown(found: Validation) -> str:
    """Return what was found as a comment for a pull request."""
    emoji = {ExitCode.OK: "✅", ExitCode.INCONCLUSIVE: "⚠️"}.get(found.exit_code, "❌")
    lines = [f"## {emoji} {_plain(found.change)}: {_plain(found.conclusion)}", "", "| | check |", "|---|---|"]
    marks = {Status.HELD: "✅", Status.FAILED: "❌", Status.UNDECIDED: "⚠️"}
    lines += [
        f"| {marks[check.status]} | {_plain(check.title)}{f' ({_plain(check.note)})' if check.note else ''} |" for check in found.checks
    ]
    for check in found.checks:
        if check.findings:
            lines += ["", f"**{_plain(check.title)}**", *_markdown_table(check.findings)]
    if found.stepped and any(step.hurts for step in found.steps):
        lines += ["", "**On the way there**", ""]
        for number, result in enumerate(found.steps, start=1):
            hurt = (*result.interrupted, *result.opened, *result.loops)
            if hurt:
                shown = "; ".join(f"{_said(one)}: {one.after}" for one in hurt[:SHOWN_FINDINGS])
                lines.append(f"{number}. {_code(str(result.step))}: {_plain(shown)}")
        if found.order is not None:
            better = (
                [str(found.steps[number].step) for number in found.order.steps] if found.order.broken < found.order.given_broken else []
            )
            lines += ["", _plain(order_sentence(found.order)), *_fenced(better)]
    fragile = [failure for failure in found.failures or () if failure.newly_cut]
    for failure in fragile:
        lines += ["", f"**When {_plain(failure.what)} fails**: survived before the change, and not after it"]
        lines += _markdown_table(failure.newly_cut)
    if found.emulated is not None:
        lines += ["", f"Real packets: {found.emulated.probes} flows, {len(found.emulated.differences)} differences."]
        lines += [f"- {_plain(difference)}" for difference in found.emulated.differences]
    summary = "The way back" + ("" if found.undo.proved else " (not proved)")
    lines += ["", f"<details><summary>{summary}</summary>", "", *_fenced(undo_script(found.undo).splitlines()), "", "</details>"]
    return "\n".join(lines) + "\n"


def _markdown_table(findings: Sequence[Finding]) -> Iterator[str]:
    yield from ("", "| from | to | before | after |", "|---|---|---|---|")
    for one in findings[:SHOWN_FINDINGS]:
        cells = (_list(one.sources, SHOWN_SOURCES), _target(one), one.before, one.after)
        yield f"| {' | '.join(map(_plain, cells))} |"
    if len(findings) > SHOWN_FINDINGS:
        yield f"| ... | and {len(findings) - SHOWN_FINDINGS} more | | |"


def _plain(text: str) -> str:
    """Return a text in which nothing is markup, whoever wrote it."""
    safe = printable(text).replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{character}" if character in "\\`*_[]|#~@!" else character for character in safe)


def _code(text: str) -> str:
    fence = "`" * (max((len(run) for run in text.split(" ") if set(run) == {"`"}), default=0) + 1 + text.count("`"))
    return f"{fence} {printable(text).replace(chr(10), ' ')} {fence}"


def _fenced(lines: Iterable[str]) -> Iterator[str]:
    lines = list(lines)
    fence = "`" * (3 + max((line.count("`") for line in lines), default=0))
    yield from ("", fence, *map(printable, lines), fence)


# -- JSON ----------------------------------------------------------------------------------------------------------


def validation_json(found: Validation) -> dict[str, Any]:
    """Return what was found as JSON values."""
    return {
        "format": "lab-validation",
        "version": VERSION,
        "file": found.file,
        "change": found.change,
        "exit_code": int(found.exit_code),
        "conclusion": found.conclusion,
        "seconds": round(found.seconds, 3),
        "questions": found.questions,
        "checks": [_check_json(check) for check in found.checks],
        "changed": [_finding_json(one) for one in found.changed],
        "steps": [_step_json(result) for result in found.steps],
        "order": found.order
        and {
            "steps": list(found.order.steps),
            "broken": found.order.broken,
            "given_broken": found.order.given_broken,
            "complete": found.order.complete,
        },
        "failures": None
        if found.failures is None
        else [{"what": one.what, "cut": one.cut, "newly_cut": [_finding_json(each) for each in one.newly_cut]} for one in found.failures],
        "emulated": found.emulated and {"probes": found.emulated.probes, "differences": list(found.emulated.differences)},
        "undo": {
            "commands": [{"node": node, "command": command} for node, command in found.undo.commands],
            "proved": found.undo.proved,
            "remark": found.undo.remark,
        },
    }


def _check_json(check: Check) -> dict[str, Any]:
    place = check.place
    return {
        "name": check.name,
        "title": check.title,
        "status": check.status.value,
        "because": check.because,
        "note": check.note,
        "place": place and {"file": place.file, "line": place.line, "column": place.column},
        "findings": [_finding_json(one) for one in check.findings],
    }


def _finding_json(one: Finding) -> dict[str, Any]:
    to = [str(network) for network in one.addresses]
    return {"from": list(one.sources), "to": to, "kind": one.kind, "before": one.before, "after": one.after}


def _step_json(result: StepResult) -> dict[str, Any]:
    place = result.step.place
    return {
        "node": result.step.node,
        "command": result.step.text,
        "place": {"file": place.file, "line": place.line, "column": place.column},
        "interrupted": [_finding_json(one) for one in result.interrupted],
        "opened": [_finding_json(one) for one in result.opened],
        "loops": [_finding_json(one) for one in result.loops],
    }


# -- JUnit ---------------------------------------------------------------------------------------------------------


def validation_junit(found: Validation) -> str:
    """Return what was found as JUnit XML: a test case for each check, step, failure, and for the packets."""
    suites = [_suite("checks", [_case("checks", check.title, check.status, check.findings) for check in found.checks])]
    if found.stepped:
        cases = []
        for number, result in enumerate(found.steps, start=1):
            hurt = (*result.interrupted, *result.opened, *result.loops)
            cases.append(_case("steps", f"{number}. {result.step}", Status.FAILED if hurt else Status.HELD, hurt))
        suites.append(_suite("steps", cases))
    if found.failures is not None:
        cases = [_case("failures", one.what, Status.FAILED if one.newly_cut else Status.HELD, one.newly_cut) for one in found.failures]
        suites.append(_suite("failures", cases))
    if found.emulated is not None:
        case = _case("emulation", "real packets", Status.FAILED if found.emulated.differences else Status.HELD, ())
        for failure in case:
            failure.text = clean("\n".join(found.emulated.differences))
        suites.append(_suite("emulation", [case]))
    return document(suites)


def _suite(name: str, cases: Sequence[ElementTree.Element]) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", {"name": f"validate.{name}", "time": "0"} | counts(cases))
    suite.extend(cases)
    return suite


def _case(suite: str, name: str, status: Status, findings: Sequence[Finding]) -> ElementTree.Element:
    case = ElementTree.Element("testcase", {"classname": f"validate.{suite}", "name": clean(name), "time": "0"})
    if status is not Status.HELD:
        kind = "failure" if status is Status.FAILED else "error"
        first = f"{_said(findings[0])}: {findings[0].after}" if findings else status.value
        element = ElementTree.SubElement(case, kind, {"message": clean(first), "type": "validate"})
        element.text = clean("\n".join(f"{_said(one)}\n  before: {one.before}\n  after: {one.after}" for one in findings))
    return case
