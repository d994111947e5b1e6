"""What a machine lets a lab do: found out by trying, said with a remedy, and without leaving a trace."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.errors import MachineError
from lab.kernel import capabilities, tools, trials, users
from lab.kernel.capabilities import Capability, detect, require
from lab.kernel.sandbox import Sandbox, run_in_sandbox

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)


def named(name: str, found: tuple[Capability, ...]) -> Capability:
    return next(capability for capability in found if capability.name == name)


@pytest.mark.kernel
@for_everyone
def test_what_is_needed_by_every_lab_is_here(sandbox: Sandbox) -> None:
    required = {capability.name for capability in detect() if capability.required and capability.available}
    assert required == {"sandbox", "sysctls", "veth", "bridge", "vxlan", "nftables", "capture"}
    require()


@pytest.mark.kernel
@for_everyone
def test_every_capability_says_what_needs_it_and_what_is_missing_says_why_and_what_to_do(sandbox: Sandbox) -> None:
    found = detect()
    assert len({capability.name for capability in found}) == len(found), "no name stands for two"
    for capability in found:
        assert capability.needed_for
        assert capability.available == (capability.why is None) == (capability.remedy is None), capability


@pytest.mark.kernel
def test_looking_changes_nothing_on_the_machine(host_unchanged: Any) -> None:
    modules = Path("/proc/modules")
    before = modules.read_text() if modules.exists() else ""
    detect()
    assert (modules.read_text() if modules.exists() else "") == before


@pytest.mark.root
@pytest.mark.kernel
def test_root_may_watch_the_kernel_and_an_ordinary_user_learns_how_to(sandbox: Sandbox, give_up_root: Any) -> None:
    as_root = detect()
    give_up_root()
    as_user = detect()
    assert named("root", as_root).available
    assert named("ordinary users", as_root).available
    assert not named("bpf", as_user).available
    assert "root" in str(named("bpf", as_user).remedy)
    assert not named("subordinate ids", as_user).available


@pytest.mark.kernel
def test_a_kind_of_link_that_no_kernel_has_is_not_there(sandbox: Sandbox) -> None:
    sandbox.add_namespace("trial")
    unknown = trials.Device("flux-capacitor", "flux", "FLUX", "nothing")
    with sandbox.enter("trial"), pytest.raises(OSError, match="does not have it") as caught:
        trials.make_device(0, unknown)
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.kernel
def test_a_rule_set_with_a_mistake_is_refused_in_the_librarys_words(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "RULES", "table ip trial { chain c { nonsense } }")
    sandbox.add_namespace("trial")
    with sandbox.enter("trial"), pytest.raises(OSError, match="syntax error"):
        trials.load_rules()


def test_what_only_an_unloaded_module_brings_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "would_load", lambda module: module == "ipip")
    ipip = next(device for device in trials.DEVICES if device.kind == "ipip")
    capability = capabilities._try_device(0, ipip)
    assert capability.available
    assert capability.note == "not tried: its first use loads the module ipip, which adds tunl0 to this machine"


@pytest.mark.kernel
def test_what_stands_in_for_netem_is_said(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.ENOENT, "this kernel does not have it")

    monkeypatch.setattr(trials, "make_netem", fail)
    sandbox.add_namespace("trial")
    with sandbox.enter("trial"):
        whole = capabilities._netem()
        monkeypatch.setattr(trials, "load_detour", fail)
        half = capabilities._netem()
        monkeypatch.setattr(trials, "load_egress_rules", fail)
        nothing = capabilities._netem()
    assert not whole.available
    assert [found.note for found in (whole, half, nothing)] == [
        "nft rules stand in for loss and corruption, a relay for a delay",
        "nft rules stand in for loss and corruption; a delay is not available",
        "nothing stands in for it",
    ]


def test_a_missing_requirement_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        Capability("veth", "every link", required=True),
        Capability("netem", "delay", available=False, why="this kernel does not have it", remedy="use another"),
    )
    monkeypatch.setattr(capabilities, "detect", lambda: found)
    require("veth")
    with pytest.raises(MachineError) as caught:
        require("netem")
    assert str(caught.value) == "netem is not available here: this kernel does not have it\n  hint: use another"


def test_a_missing_program_is_named_with_the_package_that_starts_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "search_path", lambda: "/nowhere")
    with pytest.raises(MachineError) as caught:
        tools.find_tool("dnsmasq")
    assert str(caught.value) == "dnsmasq is not installed\n  hint: sudo apt-get install --no-install-recommends dnsmasq-base"


def test_the_search_path_has_the_system_directories_once_and_then_the_labs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/usr/sbin")
    assert tools.search_path().split(":") == ["/usr/bin", "/usr/sbin", "/usr/local/sbin", "/sbin", f"{sys.prefix}/bin"]


@pytest.mark.parametrize(
    ("switch", "value", "hint"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=10000"),
    ],
)
def test_the_switch_that_forbids_user_namespaces_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str, value: str, hint: str
) -> None:
    (tmp_path / switch).parent.mkdir()
    (tmp_path / switch).write_text(f"{value}\n")
    monkeypatch.setattr(users, "_SYSCTLS", tmp_path)
    error = users.no_user_namespace(PermissionError(errno.EPERM, os.strerror(errno.EPERM)))
    assert hint in str(error.hint)
    assert f"{switch.replace('/', '.')} = {value}" in error.message


def test_where_no_switch_forbids_user_namespaces_the_kernels_word_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_SYSCTLS", tmp_path)
    error = users.no_user_namespace(PermissionError(errno.EPERM, os.strerror(errno.EPERM)))
    assert error.message.endswith("Operation not permitted")
    assert "sudo" in str(error.hint)


@pytest.mark.kernel
@pytest.mark.parametrize("sandbox", ["ordinary user"], indirect=True)
def test_where_user_namespaces_are_forbidden_a_sandbox_is_refused_with_the_remedy(sandbox: Sandbox) -> None:
    # The limit is that of the sandbox's own user namespace; without capabilities, root of it is as anybody.
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    give_up_capabilities()
    with pytest.raises(MachineError) as caught:
        run_in_sandbox(lambda _sandbox, _report: None)
    assert str(caught.value.message).endswith("user.max_user_namespaces = 0")
    found = detect()
    assert [capability.name for capability in found if capability.required] == ["sandbox"], "nothing else can be tried"
    assert named("sandbox", found).why == caught.value.message
    assert named("sandbox", found).remedy == caught.value.hint


def give_up_capabilities() -> None:
    """capset(2), version 3 of its header, with empty sets."""
    assert ctypes.CDLL(None).capset(struct.pack("=Ii", 0x20080522, 0), bytes(24)) == 0
