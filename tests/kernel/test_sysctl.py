"""What is said of a sysctl that may not be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import ExitCode, MachineError
from lab.kernel.sandbox import Sandbox
from lab.kernel.syscalls import detached_procfs
from lab.kernel.sysctl import write_sysctls


@pytest.mark.kernel
@pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
def test_of_a_sysctl_that_is_the_machines_nobody_is_told_to_become_root(sandbox: Sandbox) -> None:
    sandbox.add_namespace("node")
    procfs = detached_procfs()
    with sandbox.enter("node"), pytest.raises(MachineError) as caught:
        write_sysctls(procfs, [("net/netfilter/nf_conntrack_max", "1000")], "node")
    os.close(procfs)
    assert "no network namespace may write it" in str(caught.value)
    assert "sudo" not in str(caught.value)


def test_a_kernel_without_ipv6_is_said_to_be_one_where_a_network_needs_it(tmp_path: Path) -> None:
    """As procfs is where IPv6 is not built in, or switched off when the machine was started."""
    (tmp_path / "sys/net/ipv4/conf").mkdir(parents=True)
    procfs = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_sysctls(procfs, [("net/ipv6/conf/all/disable_ipv6", "1")], "node")  # it is off already
        with pytest.raises(MachineError, match="node: ipv6 is not available here") as caught:
            write_sysctls(procfs, [("net/ipv6/conf/all/disable_ipv6", "0")], "node")
    finally:
        os.close(procfs)
    assert caught.value.exit_code is ExitCode.MACHINE
