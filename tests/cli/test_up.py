"""`lab up` before there is a lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lab


def test_a_network_that_nobody_can_be_in_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.yaml").write_text("topology: empty\nsegments: {a: {cidr: 10.0.0.0/24}}\n")
    monkeypatch.setattr("lab.kernel.holder.hold", lambda *_: pytest.fail("it was started"))
    answer = lab("up", str(tmp_path / "empty.yaml"))
    assert answer.code == 2
    assert f"{tmp_path}/empty.yaml:1:11: there is no node in it" in answer.err
