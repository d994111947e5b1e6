"""A file that a command writes is there whole, or not at all, and what cannot be written is said before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InputError, MachineError
from lab.spec.writing import check_writable, write_whole


def test_a_file_is_written_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.xml", "<ok/>\n")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"report.xml": "<ok/>\n"}


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text("a longer text of another time")
    write_whole(tmp_path / "report.xml", "<ok/>\n")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"report.xml": "<ok/>\n"}


def test_others_may_read_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.xml", "<ok/>\n")
    assert (tmp_path / "report.xml").stat().st_mode & 0o400


@pytest.mark.parametrize("name", ["no/such/folder.xml", ".", f"{'n' * 300}/no-such-name-can-be.xml"])
def test_what_cannot_be_written_is_said_beforehand(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / name)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_a_full_disk_is_the_machines_fault_and_not_the_names() -> None:
    with pytest.raises(MachineError, match="/dev/full cannot be written: No space left on device") as caught:
        write_whole(Path("/dev/full"), "<ok/>\n")
    assert caught.value.hint == "make room there, or name a place elsewhere"
