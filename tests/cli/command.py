"""Run `lab` as a person does, and look at what it said."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from lab.cli import main
from lab.testing import Answer

PROCESS = [sys.executable, "-W", "error", "-c", "import sys; sys.argv[0] = 'lab'; from lab.cli import main; main()"]
ROOT = Path(__file__).parents[2]


def lab(*arguments: str, encoding: str = "utf-8") -> Answer:
    """Run `lab` within this process, its output in an encoding that takes nothing else."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, "strict", newline="") for _ in range(2))
    with patch.object(sys, "argv", ["lab", *arguments]), patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
        try:
            main()
        except SystemExit as done:
            code = done.code
        else:
            code = None
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding, "surrogateescape"))
    assert isinstance(code, int)
    return Answer(code, *texts)


def lab_process(*arguments: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> Answer:
    """Run `lab` as a program of its own, with Python's warnings as errors."""
    done = subprocess.run(
        [*PROCESS, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **(environment or {})},
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
