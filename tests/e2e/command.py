"""The command `lab`, run as a user would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.testing import Answer

ORDINARY = "4711"
"""A uid that no distribution gives to anyone."""
LAB = (str(Path(sys.executable).with_name("lab")),)
SCENARIOS = Path(__file__).parents[2] / "scenarios"
FLAGSHIP = SCENARIOS / "calico-24-mismatch.yaml"
VARIANTS = SCENARIOS / "flagship-variants.yaml"


def command(*arguments: str, who: str = "root") -> list[str]:
    """The words that start `lab`: as the caller, or, where that is root, as an ordinary user."""
    become = ["setpriv", "--reuid", ORDINARY, "--regid", ORDINARY, "--clear-groups"] if who == "ordinary user" and os.geteuid() == 0 else []
    return [*become, *LAB, *arguments]


def lab(*arguments: str, who: str = "root", cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Answer:
    """Run `lab` to its end."""
    done = subprocess.run(
        command(*arguments, who=who),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or "/",
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def expectations(run: Any) -> list[Any]:
    """Every expectation of a run's JSON, in order."""
    return [expectation for phase in run["phases"] for expectation in phase["expectations"]]


def differently(run: Any) -> list[str]:
    """What did not hold in a run's JSON, in words."""
    return [
        f"line {e['place']['line']}: {e['expected']}: {finding['subject']}: {finding['detail']}"
        for e in expectations(run)
        for finding in e["findings"]
        if finding["status"] != "held"
    ]
