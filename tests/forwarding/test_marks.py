"""Marks: what sets them, who takes them over, and where they end."""

from __future__ import annotations

from typing import Any

import pytest

from lab.state.nft import Mangle, Meta


@pytest.mark.parametrize(
    ("protocol", "sysctl", "lost"),
    [
        ("icmp", "fwmark_reflect", True),
        ("udp", "fwmark_reflect", False),
        ("tcp", "fwmark_reflect", False),
        ("tcp", "tcp_fwmark_accept", True),
        ("udp", "tcp_fwmark_accept", False),
    ],
)
def test_an_answer_takes_over_the_mark_only_where_its_sysctl_says_so(row: Any, protocol: Any, sysctl: str, lost: bool) -> None:
    """b marks what comes in; answers that bear the mark are led into a blackhole."""
    row.listen("b", "udp", 80).listen("b", "tcp", 80).sysctl("b", f"net/ipv4/{sysctl}", 1)
    row.chain("b", "prerouting", Mangle(Meta("mark"), 1), priority=-150)
    row.route("b", "blackhole default table 7").rule("b", "100: fwmark 0x1 lookup 7")
    assert (row.trace("a", "10.2.0.2", protocol).outcome.kind == "silence") is lost
