"""Lessons in other sites' folder formats: the files are there, and lead to each other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.errors import InputError
from lab.learn.export import export
from lab.spec import names
from lab.spec.lesson_file import open_lesson

IN_INDEX = {
    "": {"title", "description", "details", "backend", "interface"},
    "intro": {"title", "text", "foreground", "background", "verify"},
    "asset": {"file", "target", "chmod"},
}
"""What Killercoda's examples have in an index.json (github.com/killercoda/scenario-examples)."""
IN_TASK = {"init", "helper", "machine", "user", "needs", "env", "run", "timeout_seconds", "hintcheck", "failcheck"}
"""What iximiuz's sample tutorial has in a task (github.com/iximiuz/labs, content-samples/sample-tutorial)."""


def head_of(folder: Path) -> Any:
    """The front matter of a folder's index."""
    return yaml.safe_load((folder / "index.md").read_text().split("---\n", 2)[1])


@pytest.mark.parametrize("name", names("lessons"))
def test_no_key_is_one_that_the_sites_do_not_know(tmp_path: Path, name: str) -> None:
    export(open_lesson(name), tmp_path / "killercoda", "killercoda")
    index = json.loads((tmp_path / "killercoda" / "index.json").read_text())
    details = index["details"]
    assert set(index) <= IN_INDEX[""]
    assert all(set(page) <= IN_INDEX["intro"] for page in (details["intro"], details["finish"], *details["steps"]))
    assert all(set(asset) <= IN_INDEX["asset"] for assets in details["assets"].values() for asset in assets)
    export(open_lesson(name), tmp_path / "iximiuz", "iximiuz")
    head = head_of(tmp_path / "iximiuz")
    assert set(head) <= {
        "kind",
        "title",
        "description",
        "categories",
        "tagz",
        "createdAt",
        "updatedAt",
        "cover",
        "difficulty",
        "playground",
        "tasks",
    }
    assert all(set(task) <= IN_TASK and task["run"].strip() for task in head["tasks"].values())
    assert len(head["playground"]["machines"]) == 1, "of several, each task would have to say which"
    assert len(head["playground"]["machines"][0]["startupFiles"]) <= 10


def test_killercoda_finds_every_file_that_the_index_names(tmp_path: Path) -> None:
    export(open_lesson("two-servers"), tmp_path / "new", "killercoda")
    index = json.loads((tmp_path / "new" / "index.json").read_text())
    details = index["details"]
    named = [*details["intro"].values(), details["finish"]["text"]]
    named += [step[key] for step in details["steps"] for key in ("text", "verify")]
    named += [f"assets/{asset['file']}" for asset in details["assets"]["host01"]]
    assert [name for name in named if not (tmp_path / "new" / name).is_file()] == []
    assert [step["title"] for step in details["steps"]] == ["The file server", "The web server"]
    assert index["backend"] == {"imageid": "ubuntu"}


@pytest.mark.parametrize("target", ["killercoda", "iximiuz"])
def test_what_is_exported_is_the_lesson_itself(tmp_path: Path, target: str) -> None:
    export(open_lesson("one-way"), tmp_path / target, target)
    if target == "iximiuz":
        (machine,) = head_of(tmp_path / target)["playground"]["machines"]
        for made in machine["startupFiles"]:
            assert set(made) == {"path", "content"}
            (tmp_path / Path(made["path"]).name).write_text(made["content"])
    (file,) = tmp_path.rglob("one-way.md")
    assert open_lesson(str(file)).head.model == open_lesson("one-way").head.model


def test_a_topology_that_is_not_shipped_goes_along(tmp_path: Path) -> None:
    topology = Path("topologies/campus.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(topology)
    (tmp_path / "lesson.md").write_text(Path("docs/lessons/one-way.md").read_text().replace("topology: campus", "topology: ./mine.yaml"))
    export(open_lesson(str(tmp_path / "lesson.md")), tmp_path / "new", "killercoda")
    assert open_lesson(str(tmp_path / "new" / "assets" / "one-way.md")).topology.model.topology == "campus"


def test_iximiuz_has_a_task_for_each_task_one_after_the_other(tmp_path: Path) -> None:
    export(open_lesson("two-servers"), tmp_path, "iximiuz")
    _, head, body = (tmp_path / "index.md").read_text().split("---\n", 2)
    tasks = yaml.safe_load(head)["tasks"]
    assert list(tasks) == ["init_lesson", "verify_the_other_server", "verify_the_first_server"]
    assert tasks["init_lesson"]["init"]
    assert tasks["verify_the_first_server"]["needs"] == ["verify_the_other_server"]
    assert "lab learn hint" in tasks["verify_the_first_server"]["hintcheck"]
    assert all(f":name: {name}" in body for name in tasks if name != "init_lesson")


@pytest.mark.parametrize("target", ["killercoda", "iximiuz"])
def test_every_script_is_one_that_bash_can_read(tmp_path: Path, target: str) -> None:
    export(open_lesson("two-servers"), tmp_path, target)
    scripts = [path.read_text() for path in tmp_path.rglob("*.sh")]
    if target == "iximiuz":
        tasks = yaml.safe_load((tmp_path / "index.md").read_text().split("---\n", 2)[1])["tasks"]
        scripts = [task[key] for task in tasks.values() for key in ("run", "hintcheck") if key in task]
    assert len(scripts) >= 3
    for script in scripts:
        assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        export(open_lesson("one-way"), tmp_path, "killercoda")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
