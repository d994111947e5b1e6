"""The command line: one module per command, each a few lines over the library."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits with the code of `lab.errors.ExitCode`, 130 when interrupted, however early."""
    try:
        from lab.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


__all__ = ["main"]
