"""An option that would be ignored is refused, with what it goes with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lab


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("learn --open two-servers:2", "--new and --open go with --class"),
        ("learn two-servers --new", "--new and --open go with --class"),
        ("learn two-servers --to killercoda", "--to goes with export"),
        ("reach two-clusters --dport 80", "--dport goes with --proto tcp or udp"),
        ("reach two-clusters --to 10.42.0.1/16", "--to: 10.42.0.1/16 has host bits set"),
        ("reach two-clusters --ipv6", "nobody in two-clusters has an IPv6 address"),
        ("reach two-clusters --to 10.42.0.0/16 --ipv6", "nothing of --to is IPv6"),
        ("trace two-clusters c1-gw c2-gw --sport 80", "--sport goes with --proto tcp or udp"),
        ("run calico-24-mismatch --phase broken", "`lab up calico-24-mismatch --phase broken` stays in one phase"),
    ],
)
def test_it_is_said_what_an_option_goes_with(arguments: str, said: str) -> None:
    answer = lab(*arguments.split())
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_an_empty_name_is_not_taken_for_none() -> None:
    """As of a variable of a script that was never set: the lab must not be called otherwise than the script thinks."""
    answer = lab("up", "two-clusters", "--name", "")
    assert (answer.code, answer.out) == (2, "")
    assert "'' cannot name a lab" in answer.err


def test_a_file_that_is_named_twice_is_played_once(tmp_path: Path) -> None:
    from lab.cli.run_command import _named

    (tmp_path / "other").symlink_to(Path("scenarios/calico-2457.yaml").absolute())
    named = ("calico-2457", "scenarios/calico-2457.yaml", str(tmp_path / "other"))
    assert [called for called, *_ in _named(named)] == ["calico-2457"]
    variants = [called for called, *_ in _named(("flagship-variants", "flagship-variants#one-side-fixed"))]
    assert len(set(variants)) == len(variants) > 1
