"""What ./dev does beside running programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.root
def test_the_ordinary_users_copy_does_not_lead_back(tmp_path: Path) -> None:
    """A program of the copy that ran the first tree's interpreter would test the first tree, where the ordinary user can read it."""
    copy = 'source "$1" help >/dev/null && copy_for_ordinary "$2"'
    subprocess.run(["bash", "-c", copy, "bash", ROOT / "dev", tmp_path], check=True)
    programs = [path for path in (tmp_path / ".venv" / "bin").iterdir() if not path.is_symlink()]
    assert "lab" in {path.name for path in programs}
    assert [path.name for path in programs if str(ROOT).encode() in path.read_bytes()] == []
    where = "import lab, sys; print(lab.__file__, sys.prefix)"
    answer = subprocess.run([tmp_path / ".venv" / "bin" / "python", "-c", where], cwd="/", capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [str(tmp_path / "lab" / "__init__.py"), str(tmp_path / ".venv")]


@pytest.mark.parametrize("file", sorted((ROOT / "tests" / "e2e").glob("test_*.py")), ids=lambda file: file.name)
def test_whole_commands_have_stages_of_their_own(file: Path) -> None:
    assert "\npytestmark = " in file.read_text()
    assert "pytest.mark.e2e" in file.read_text()
