"""The command `lab` in a test: called as a person calls it, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    """0 all holds, 1 something does not, 2 the input is wrong, 3 this machine lacks something, 4 no verdict."""
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, of a command with `--json`."""
        return json.loads(self.out)


def invoke(
    *arguments: str | Path,
    folder: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    text: str = "",
    timeout: float = SECONDS,
) -> Answer:
    """Run `lab` with these arguments, by the Python that runs the test, and return what it said.

    `folder` is where it runs, `environment` what its variables have beyond the caller's, `text` what it reads. It is a process of its own,
    without a terminal or colours. Raises subprocess.TimeoutExpired when it takes longer than `timeout` seconds; it is killed then.
    """
    done = subprocess.run(
        [sys.executable, "-m", "lab", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **(environment or {})},
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
