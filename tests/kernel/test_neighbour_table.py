"""The machine's neighbour table, as any namespace sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.kernel.neighbour_table import neighbour_table_overflows
from lab.kernel.sandbox import run_in_sandbox

pytestmark = pytest.mark.kernel


def listed() -> int:
    """What the kernel lists of it in the machine's own namespace: a line a processor, in hexadecimal."""
    heading, *processors = Path("/proc/net/stat/arp_cache").read_text().splitlines()
    column = heading.split().index("table_fulls")
    return sum(int(line.split()[column], 16) for line in processors)


def test_a_sandbox_sees_what_the_machine_sees() -> None:
    before = listed()
    assert before <= run_in_sandbox(lambda sandbox, report: neighbour_table_overflows()) <= listed()
