"""What the model predicts, for the terminal and for scripts: one conversation, the matrix of who reaches what, a difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.forwarding import Conversation, Delivered, Dropped, Hop, Step, Trace
from lab.forwarding.reach import Cell, Difference, Reach
from lab.forwarding.reach.classes import join
from lab.state.objects import Network

ANSWERS = {"reply": "green", "one-way": "yellow", "lost": "red", "depends": "yellow", "unknown": "magenta"}
CHANGES = {
    "newly lost": "bold red",
    "newly reachable": "green",
    "path changed": "yellow",
    "other loss": "red",
    "still broken": "red",
}
"""In the order in which somebody wants to know."""
SHOWN_NETWORKS = 4


def conversation_text(conversation: Conversation, *, verbose: bool = False) -> RenderableType:
    """Return a conversation hop by hop; `verbose` shows all that was looked at and where objects come from."""
    parts: list[Text] = []
    for trace in conversation.traces:
        parts.extend(_trace(trace, verbose=verbose))
    lots = conversation.lots
    style = {"reply": "bold yellow" if lots else "bold green", "unknown": "bold magenta"}.get(conversation.outcome.kind, "bold red")
    ends = dict.fromkeys(str(world.outcome) for world in conversation.worlds) if lots else (str(conversation.outcome),)
    depends = f": it depends on {', '.join(lots)}" if lots else ""
    parts.append(Text.assemble("\nthe sender sees: ", (", or ".join(ends) + depends, style)))
    if lots:
        drawn = ", ".join(f"{choice.what}: {choice.meaning}" for choice in conversation.choices)
        parts.append(Text(f"shown is what follows from {drawn}"))
    if conversation.seen is not None:
        parts.append(Text(f"the receiver {conversation.seen.namespace} sees: {conversation.seen.source}"))
    return Group(*parts)


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation as JSON values."""
    outcome = conversation.outcome
    return {
        "format": "lab-trace",
        "version": 1,
        "outcome": {"kind": outcome.kind, "text": str(outcome), "source": outcome.source and str(outcome.source)},
        "depends_on": list(conversation.lots),
        "outcomes": list(dict.fromkeys(str(world.outcome) for world in conversation.worlds)),
        "seen_as": conversation.seen and str(conversation.seen.source),
        "traces": [
            {
                "purpose": trace.purpose,
                "verdict": str(trace.verdict),
                "hops": [
                    {
                        "namespace": hop.namespace,
                        "arrived_by": hop.arrived_by,
                        "left_by": list(hop.left_by),
                        "steps": [
                            {
                                "stage": step.stage.name.lower(),
                                "device": step.device,
                                "sentence": step.sentence,
                                "details": [detail.text for detail in step.details],
                                "because": [str(link.reason) for link in step.provenance.chain()] if step.provenance else [],
                            }
                            for step in hop.steps
                        ],
                    }
                    for hop in trace.hops
                ],
            }
            for trace in conversation.traces
        ],
    }


def reach_table(found: Reach, *, all_answers: bool = False) -> RenderableType:
    """Return the matrix of who reaches what: what is lost with its reason, and, with `all_answers`, what works."""
    table = Table("from", "to", "", "what the sender sees", "why", box=None, padding=(0, 1))
    senders: dict[tuple[tuple[Network, ...], str, str, str], list[str]] = {}
    for cell in found.cells:
        if all_answers or cell.answer != "reply" or cell.limit is not None:
            senders.setdefault((tuple(cell.addresses), cell.answer, cell.outcome, _why(cell)), []).append(cell.source)
    for (addresses, answer, outcome, why), names in senders.items():
        table.add_row(_names(names), _networks(addresses), Text(answer, ANSWERS[answer]), outcome, why)
    counts = ", ".join(f"{len(found.answering(answer))} {answer}" for answer in ("reply", "one-way", "lost", "depends", "unknown"))
    limited = f"; {len(found.limited)} of the answered up to a size only" if found.limited else ""
    return Group(table, Text(f"\nsets of addresses: {counts}{limited}", "bold"))


def _why(cell: Cell) -> str:
    """Say why something is lost, by which lots, or beyond which size."""
    lines = [cell.reason] if cell.reason else []
    lines += [f"lost with {lot}" for lot in cell.depends_on]
    if cell.limit is not None:
        told = "" if cell.limit.told else ", and nobody tells the sender an MTU"
        lines.append(f"up to {cell.limit.largest} bytes; beyond: {cell.limit.beyond}{told}")
    return "\n".join(lines)


def reach_json(found: Reach) -> list[dict[str, Any]]:
    """Return the matrix as JSON values."""
    return [
        {
            "from": cell.source,
            "to": [str(network) for network in cell.addresses],
            "answer": cell.answer,
            "outcome": cell.outcome,
            "reason": cell.reason,
            "path": list(cell.path),
            "path_back": list(cell.path_back),
            "depends_on": list(cell.depends_on),
            "largest": cell.limit and cell.limit.largest,
            "beyond": cell.limit and cell.limit.beyond,
        }
        for cell in found.cells
    ]


def difference_table(found: Sequence[Difference], *, still_broken: bool = False) -> RenderableType:
    """Return what a change alters, the losses first; with `still_broken` also what was lost before and is lost in the same way."""
    if not found:
        return Text("nothing that is sent by anyone fares differently, and nothing is lost")
    targets: dict[tuple[str, str, str, str, int], list[Network]] = {}
    for one in found:
        if still_broken or one.change != "still broken":
            before = "answered" if one.change == "newly lost" else one.before
            after = "answered" if one.change == "newly reachable" else "the same" if one.change == "still broken" else one.after
            version = one.addresses[0].version
            targets.setdefault((one.change, before, after, one.source, version), []).extend(one.addresses)
    senders: dict[tuple[str, str, str, tuple[Network, ...]], list[str]] = {}
    for (change, before, after, source, _), networks in targets.items():
        senders.setdefault((change, before, after, join(networks)), []).append(source)
    table = Table("from", "to", "", "before", "after", box=None, padding=(0, 1))
    order = list(CHANGES)
    for (change, before, after, addresses), names in sorted(senders.items(), key=lambda row: order.index(row[0][0])):
        table.add_row(_names(names), _networks(addresses), Text(change, CHANGES[change]), before, after)
    counts = ", ".join(f"{number} {change}" for change in order if (number := sum(one.change == change for one in found)))
    hidden = "" if still_broken or not any(one.change == "still broken" for one in found) else " (--all shows what is still broken)"
    return Group(*([table] if senders else []), Text(f"\nsets of addresses, by sender: {counts}{hidden}", "bold"))


def _names(names: Sequence[str]) -> str:
    shown = "\n".join(names[:SHOWN_NETWORKS])
    return shown + (f"\n... and {len(names) - SHOWN_NETWORKS} more" if len(names) > SHOWN_NETWORKS else "")


def difference_json(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return what a change alters as JSON values."""
    return [
        {"from": one.source, "to": [str(n) for n in one.addresses], "change": one.change, "before": one.before, "after": one.after}
        for one in found
    ]


def _trace(trace: Trace, *, verbose: bool) -> Iterator[Text]:
    yield Text.assemble("\n", (trace.purpose, "bold"), ("  " + " > ".join(trace.path), "dim"))
    for hop in trace.hops:
        yield _hop(hop)
        last = hop is trace.hops[-1]
        for step in hop.steps:
            yield from _step(step, verbose=verbose, died=last and step is hop.steps[-1] and isinstance(trace.verdict, Dropped))
    verdict = trace.verdict
    if isinstance(verdict, Dropped) and verdict.subject is not None:
        yield from _because(verdict.subject)
    yield Text(f"  {verdict}", "green" if isinstance(verdict, Delivered) else "bold red" if isinstance(verdict, Dropped) else "magenta")


def _hop(hop: Hop) -> Text:
    way = " ".join(
        part for part in (f"in {hop.arrived_by}" if hop.arrived_by else "", f"out {', '.join(hop.left_by)}" if hop.left_by else "") if part
    )
    return Text.assemble("  ", (hop.namespace, "cyan"), (f"  {way}", "dim"))


def _step(step: Step, *, verbose: bool, died: bool) -> Iterator[Text]:
    name = step.stage.name.lower().replace("_", " ")
    yield Text.assemble("    ", ("✗ " if died else "  ", "bold red"), (f"{name:<16}", "dim"), step.sentence)
    for detail in step.details:
        near = type(detail).__name__ == "NearMiss"
        if verbose or near:
            yield Text.assemble(" " * 24, ("near miss: " if near else "", "yellow"), (detail.text, "yellow" if near else "dim"))
    if verbose and step.provenance is not None:
        for link in step.provenance.chain():
            place = f" ({link.place})" if link.place else ""
            yield Text(" " * 24 + f"put by {link.component}: {link.reason}{place}", "dim")


def _because(subject: object) -> Iterator[Text]:
    """Say who put the object that decided, down to the line of a file."""
    provenance = getattr(subject, "provenance", None)
    if provenance is not None:
        for link in provenance.chain():
            place = f" ({link.place})" if link.place else ""
            yield Text(f"      put by {link.component}: {link.reason}{place}", "dim")


def _networks(networks: Sequence[Network]) -> str:
    shown = "\n".join(str(network) for network in networks[:SHOWN_NETWORKS])
    return shown + (f"\n... and {len(networks) - SHOWN_NETWORKS} more" if len(networks) > SHOWN_NETWORKS else "")
