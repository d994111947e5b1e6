"""What the documents say about the repository is so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab.cli.app import COMMANDS
from lab.kernel.tools import TOOLS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_document_is_in_the_index() -> None:
    """In the index of its folder, where that has one, else in that of all documents."""
    for document in DOCUMENTS[1:]:
        folder = document.parent if document.name != "README.md" and (document.parent / "README.md").exists() else ROOT / "docs"
        index = folder / "README.md"
        assert document == index or f"({document.relative_to(folder)})" in index.read_text(), f"{index} does not name {document}"


def test_the_readme_has_two_commands_and_both_exist() -> None:
    commands = re.findall(r"^(\./dev \w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == ["./dev demo", "./dev test"]
    usage = subprocess.run([ROOT / "dev"], capture_output=True, text=True, check=True).stdout
    assert all(command in usage for command in commands)


def test_the_readme_names_every_command_of_the_lab() -> None:
    named = set(re.findall(r"`lab ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named == set(COMMANDS)


def test_the_set_up_installs_every_program_the_lab_looks_for() -> None:
    installed = dict(re.findall(r"^(\S+) +(\S+) +\S+$", (ROOT / "dev").read_text(), re.MULTILINE))
    assert {tool.program: tool.package for tool in TOOLS}.items() <= installed.items()


def test_dev_refuses_what_it_does_not_know() -> None:
    answer = subprocess.run([ROOT / "dev", "dmeo"], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "./dev demo" in answer.stderr


def test_the_machine_for_other_systems_is_made_by_the_same_script() -> None:
    assert "dev setup" in (ROOT / "Vagrantfile").read_text()
    assert '/dev" test' in (ROOT / ".ci" / "run").read_text()
