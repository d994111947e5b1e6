"""`lab draw`, as a person types it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest

from lab.cli.draw_command import command
from tests.cli.command import lab, lab_process

PATH = ("draw", "calico-24-mismatch", "--trace", "c1-w1-a", "c2-w1-a")


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("path.svg", b"<svg "),
        ("path.mmd", b"flowchart LR"),
        ("path.drawio", b"<mxfile"),
        ("path.txt", b"  "),
        ("path.PNG", b"\x89PNG"),
    ],
)
def test_the_suffix_says_the_format(name: str, begins: bytes, tmp_path: Path) -> None:
    answer = lab(*PATH, "--phase", "broken", "-o", str(tmp_path / name))
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_without_a_file_the_path_is_drawn_on_the_terminal() -> None:
    answer = lab(*PATH, "--phase", "broken")
    assert "▶─✗" in answer.out
    assert "✗ The request ends at core-router:core, forward: a rule set rejects it" in answer.out
    assert lab(*PATH, "--phase", "broken", encoding="ascii").out.isascii()


def test_two_phases_are_drawn_in_one_picture_in_every_format(tmp_path: Path) -> None:
    compare = (*PATH, "--compare", "broken", "fixed")
    out = lab(*compare).out
    assert out.startswith("broken → fixed\n")
    assert out.index("- request") < out.index("+ request") < out.index("before, broken: The request ends") < out.index("now, fixed: ")
    for name in ("change.txt", "change.mmd", "change.svg", "change.drawio"):
        assert lab(*compare, "-o", str(tmp_path / name)).err == ""
        drawn = (tmp_path / name).read_text(encoding="utf-8")
        assert "before, broken: The request ends at core-router:core" in drawn
        assert "now, fixed: The sender sees a reply" in drawn


def test_a_flow_that_works_in_no_phase_is_held_against_the_topology_as_it_is_meant() -> None:
    out = lab("draw", "flagship-variants#one-side-fixed@one-side", "--trace", "c1-w1-a", "c2-w1-a").out
    assert "leaves the intended path: default via 172.18.1.1 dev eth0 instead of 10.42.0.0/16 via 240.18.1.2" in out


def test_a_target_that_has_lost_its_address_is_sent_to_all_the_same() -> None:
    """Phases of one file are laid out together, so one without the target's address must not keep the others from being drawn."""
    path = ("--trace", "a", "b", "--size", "1000", "--df")
    assert "The request ends at r2:right, larger than the MTU" in lab("draw", "fault-kinds@mtu", *path).out
    assert "192.0.2.130 does not answer on right" in lab("draw", "fault-kinds@address-deleted", *path).out
    nobody = lab("draw", "fault-kinds@mtu", "--trace", "a", "c")
    assert (nobody.code, nobody.out) == (2, "")


def test_a_saved_state_can_be_drawn(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text(lab("show", "calico-24-mismatch", "--phase", "broken", "--as", "state").out)
    assert "core-router:core, forward" in lab("draw", str(file), "--trace", "c1-w1-a", "c2-w1-a").out
    assert "Segment sw-core 10.128.11.0/24" in lab("draw", str(file)).out


def test_maps_matrices_and_routes_say_what_they_show() -> None:
    assert "c1-gw and c2-gw are joined by vxlan-tunnel, VXLAN 1000" in lab("draw", "two-clusters").out
    routes = lab("draw", "calico-24-mismatch@broken", "--routes", "c1-w1").out
    assert "10.42.1.0 - 10.42.255.255: default via 172.18.1.1 dev eth0" in routes
    matrix = lab("draw", "calico-24-mismatch@broken", "--matrix", "--from", "c1-w1-a", "--to", "c2-w1-a", "--to", "c1-gw-a").out
    assert "c1-w1-a to c2-w1-a: lost, A" in matrix
    assert "c1-w1-a to c1-gw-a: answered" in matrix
    assert "A: request dropped at core-router:core, forward" in matrix


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "x.sgv"), "did you mean 'svg'?"),
        (("-o", "x.mmd"), "a Mermaid chart shows a path: add --trace FROM TO"),
        (("-o", "no/such/folder/x.svg"), "there is no folder"),
        (("--trace", "c1-w1-x", "c2-w1-a"), "there is no node or pod 'c1-w1-x'"),
        (("--trace", "c1-w1-a", "c2-w1-a", "--compare", "broken", "fxed"), "did you mean 'fixed'?"),
        (("--trace", "c1-w1-a", "c2-w1-a", "--phase", "brokn"), "did you mean 'broken'?"),
        (("--compare", "broken", "fixed"), "--compare goes with --trace"),
        (("--matrix", "--routes", "c1-w1"), "ask for one at a time"),
        (("--matrix", "--observe"), "--observe goes with --trace"),
        (("--from", "c1-w1-a"), "--from and --to go with --matrix"),
        (("--dport", "80"), "--proto and --dport go with --trace or --matrix"),
        (("--trace", "c1-w1-a", "c2-w1-a", "--dport", "80"), "icmp has no ports"),
        (("--routes", "c1-w1", "--size", "1400"), "--size and --df go with --trace"),
        (("--ipv6",), "--ipv6 goes with --trace, --matrix or --routes"),
        (("--routes", "c1-w1", "--ipv6"), "'c1-w1' has no IPv6 routes to draw"),
        (("--dark", "-o", "x.svg"), "--dark goes with png and pdf"),
        (("--routes", "c1-w9"), "there is no node or pod 'c1-w9'"),
        (("--routes", "sw-core"), "'sw-core' has no routes to draw"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ",
)
def test_mistakes_are_told_with_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    answer = lab("draw", "calico-24-mismatch", *arguments)
    assert said in answer.err
    assert answer.code == 2
    assert answer.out == ""


def test_a_dash_is_standard_output() -> None:
    out = lab(*PATH, "--phase", "broken", "-o", "-", "--as", "mmd").out
    assert out.startswith("flowchart LR")
    assert lab("draw", "two-clusters", "-o", "-").out == lab("draw", "two-clusters").out
    assert not Path("-").exists()


def test_a_terminal_is_sent_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(click.UsageError, match="a terminal shows no png"):
        command.main(["two-clusters", "--as", "png"], standalone_mode=False)


def test_the_title_of_a_picture_is_whole(tmp_path: Path) -> None:
    lab(*PATH, "--phase", "broken", "-o", str(tmp_path / "path.png"))
    assert "c1-w1-a → c2-w1-a".encode() in (tmp_path / "path.png").read_bytes()


def test_a_traced_packet_is_drawn_before_it_is_told() -> None:
    out = lab("trace", "calico-24-mismatch@broken", "c1-w1-a", "c2-w1-a").out
    assert out.index("▶─✗") < out.index("output routing")


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["calico-24-mismatch@broken", "two-single-node-clusters"])
def test_what_is_drawn_is_what_the_kernel_does(name: str) -> None:
    ends = ("c1-w1-a", "c2-w1-a") if "@" in name else ("c1-a", "c2-a")
    answer = lab_process("draw", name, "--trace", *ends, "--observe")
    assert (answer.code, answer.err) == (0, "")
    assert "Observed as predicted: the request on " in answer.out
