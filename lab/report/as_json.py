"""A run, or a diagnosis, as JSON values for scripts; `version` grows when a key changes its meaning or goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.cluster.diagnose import CheckResult
from lab.explain.as_json import explanation_json
from lab.probe import Outcome
from lab.scenario.result import ScenarioResult, Verdict

VERSION = 2


def result_json(result: ScenarioResult) -> dict[str, Any]:
    """Return a run as JSON values."""
    same, commands = result.same, result.commands
    return {
        "format": "lab-result",
        "version": VERSION,
        "scenario": result.scenario,
        "title": result.title,
        "file": result.file,
        "links": list(result.links),
        "exit_code": int(result.exit_code),
        "conclusion": result.conclusion,
        "duration_ms": round(result.duration_ns / 1e6, 3),
        "rootless": result.rootless,
        "kernel_reports_drops": result.sees_drops,
        "phases": [
            {
                "name": phase.name,
                "title": phase.title,
                "duration_ms": round(phase.duration_ns / 1e6, 3),
                "probes": phase.probes,
                "expectations": [_verdict(verdict) for verdict in phase.verdicts],
            }
            for phase in result.phases
        ],
        "same": same
        and {
            "first": same.first,
            "second": same.second,
            "flows": same.flows,
            "differences": [{"flow": d.flow, "first": d.before, "second": d.after} for d in same.differences],
        },
        "commands": commands
        and {
            "from": commands.first,
            "to": commands.second,
            "commands": [{"node": node, "command": command} for node, command in commands.commands],
        },
    }


def diagnosis_json(results: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """Return the results of checks as JSON values."""
    return [
        {
            "cluster": result.cluster,
            "check": result.name,
            "title": result.title,
            "status": result.status,
            "reason": result.reason,
            "detail": list(result.detail),
        }
        for result in results
    ]


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "kind": verdict.kind,
        "expected": verdict.expected,
        "because": verdict.because,
        "status": verdict.status.value,
        "place": {"file": verdict.place.file, "line": verdict.place.line, "column": verdict.place.column},
        "explanation": verdict.explanation and explanation_json(verdict.explanation),
        "findings": [
            {
                "subject": finding.subject,
                "status": finding.status.value,
                "detail": finding.detail,
                "probe": None if finding.outcome is None else _outcome(finding.outcome),
            }
            for finding in verdict.findings
        ],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    loss = outcome.loss
    return {
        "result": outcome.result,
        "duration_ms": round(outcome.duration_ns / 1e6, 3),
        "icmp": outcome.icmp and {"name": outcome.icmp.name, "source": str(outcome.icmp.source)},
        "seen_as": outcome.seen_as and str(outcome.seen_as),
        "ttl": outcome.ttl,
        "request_path": list(outcome.interfaces("request")),
        "answer_path": list(outcome.interfaces("answer")),
        "error_path": list(outcome.interfaces("icmp-error")),
        "lost": loss and {"at": loss.interface, "part": loss.part, "evidence": loss.grade.value, "reason": loss.reason},
    }
