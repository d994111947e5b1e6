"""What is said of a sysctl that may not be written."""

from __future__ import annotations

import os

import pytest

from lab.errors import MachineError
from lab.kernel.sandbox import Sandbox
from lab.kernel.syscalls import detached_procfs
from lab.kernel.sysctl import write_sysctls

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
def test_of_a_sysctl_that_is_the_machines_nobody_is_told_to_become_root(sandbox: Sandbox) -> None:
    sandbox.add_namespace("node")
    procfs = detached_procfs()
    with sandbox.enter("node"), pytest.raises(MachineError) as caught:
        write_sysctls(procfs, [("net/netfilter/nf_conntrack_max", "1000")], "node")
    os.close(procfs)
    assert "no network namespace may write it" in str(caught.value)
    assert "sudo" not in str(caught.value)
