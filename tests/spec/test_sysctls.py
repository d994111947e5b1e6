"""The short names of sysctls mean what they say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lab.cluster.sysctls import KERNEL_DEFAULTS, sysctl_paths
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.spec.sysctls import MACHINE_WIDE, OF_INTERFACES, SHORT_NAMES


def test_every_setting_of_interfaces_that_a_namespace_states_has_a_short_name() -> None:
    assert set(OF_INTERFACES) == set(KERNEL_DEFAULTS)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize("name", SHORT_NAMES)
def test_a_short_name_is_one_that_the_kernel_has(name: str) -> None:
    assert [path for path in sysctl_paths({name: 1}) if not (Path("/proc/sys") / path).exists()] == []


@pytest.mark.kernel
def test_what_is_the_machine_s_may_be_written_in_no_namespace() -> None:
    def writable(sandbox: Sandbox, report: Report) -> list[str]:
        sandbox.add_namespace("n")
        with sandbox.enter("n"):
            return [path for path in sorted(MACHINE_WIDE) if os.access(Path("/proc/sys") / path, os.W_OK)]

    assert run_in_sandbox(writable) == []
