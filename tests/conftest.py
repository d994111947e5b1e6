"""Which tests run here: by privilege, by what the kernel allows an ordinary user, and by patience."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import LONGER

pytest_plugins = ("tests.sandboxed",)

# The default keeps failures it found in .hypothesis. `ci`, which ./dev test takes, draws the same examples each time: it says whether a
# change broke something. Whether there is anything left to find is asked with LONGER (`tests.examples`).
settings.register_profile("default", deadline=None, max_examples=100 * LONGER)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=100 * LONGER,
    database=None,
    derandomize=LONGER == 1,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--failed-to", metavar="FILE", help="write down which tests failed, and which found something")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    file = item.config.getoption("--failed-to")
    if file and report.failed:
        # A test that draws new examples each time has found something, whether or not it finds it again.
        word = "found" if item.get_closest_marker("finding") else "failed"
        with Path(file).open("a") as failed:
            failed.write(f"{word} {item.nodeid}\n")
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        reason = _why_not(item, slow=config.getoption("--slow"))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def _why_not(item: pytest.Item, *, slow: bool) -> str | None:
    """Why this test cannot run here, or None."""
    if item.get_closest_marker("slow") and not slow:
        return "takes minutes: --slow runs it"
    if item.get_closest_marker("root") and not _is_root():
        return "needs root"
    if item.get_closest_marker("kernel") or item.get_closest_marker("e2e"):
        return _why_no_namespaces()
    return None


def _is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


@cache
def _why_no_namespaces() -> str | None:
    """Why this process may make no namespaces, or None. It is tried, not guessed: four different switches can forbid it."""
    if sys.platform != "linux":
        return "needs Linux"
    as_mapped_root = [] if _is_root() else ["--user", "--map-root-user"]
    attempt = subprocess.run(
        ["unshare", *as_mapped_root, "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    return None if attempt.returncode == 0 else f"namespaces are not allowed here: {attempt.stderr.strip()}"
