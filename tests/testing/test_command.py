"""The command line in tests of one's own."""

from __future__ import annotations

from pathlib import Path

from lab.testing import invoke


def test_a_command_says_what_it_says_to_a_person(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("topology: mine\nclustrs: {}\n")
    answer = invoke("check", "mine.yaml", folder=tmp_path)
    assert answer.code == 2
    assert "mine.yaml:2:1" in answer.err
    assert "did you mean 'clusters'?" in answer.err


def test_json_is_read() -> None:
    assert {"kind": "scenario", "name": "calico-24-mismatch"}.items() <= next(
        entry.items() for entry in invoke("list", "--json").json if entry["name"] == "calico-24-mismatch"
    )
