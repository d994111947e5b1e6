"""How many random examples a test draws: few in every run, and with LONGER=50 in the environment fifty times as many, and other ones.

LONGER=50 .venv/bin/python -m pytest --timeout=0 tests/state/test_nftables_kernel.py
"""

from __future__ import annotations

import os
from random import SystemRandom
from typing import Any

from hypothesis import settings

LONGER = int(os.environ.get("LONGER", "1"))


def examples(number: int, **more: Any) -> settings:
    """A decorator: draw this many examples."""
    return settings(max_examples=number * LONGER, **more)


def seed() -> int:
    """A number to begin random networks from: the same in every run, and with LONGER another one each time."""
    return 1 if LONGER == 1 else SystemRandom().randrange(1 << 30)
