"""A learner at a lesson: right and wrong turns, back and forth, from task to task, and once more after the lab was gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError
from lab.kernel.sandbox import Sandbox, ignore
from lab.learn.classroom import make_class, open_barrier
from lab.learn.practice import Practice
from lab.learn.progress import Progress, file_of, load, save
from lab.learn.session import Session
from lab.scenario.stage import RunningLab
from lab.spec.lesson_file import open_lesson

pytestmark = pytest.mark.kernel


class Learner:
    """Somebody at a lesson, in a running lab."""

    def __init__(self, lab: RunningLab, folder: Path, classroom: Path | None = None, lesson: str = "two-servers") -> None:
        opened = open_lesson(lesson)
        self.file = file_of(folder, "ann", opened.name)
        tasks = tuple(task.task for task in opened.head.model.tasks)
        self.lab = lab
        self.session = Session(
            Practice(lab, opened), load(self.file) or Progress.begin("ann", opened.name, 0, tasks), (self.file,), classroom
        )
        self.session.begin(ignore)
        self.operations = self.session.operations()

    def says(self, word: str, **arguments: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.operations[word](arguments, ignore)
        return answer

    def types(self, node: str, *words: str) -> None:
        assert self.lab.sandbox.spawn(node, words).wait() == 0


def test_a_learner_goes_from_task_to_task(sandbox: Sandbox, tmp_path: Path) -> None:
    with RunningLab(sandbox) as lab:
        ann = Learner(lab, tmp_path)
        wrong = ann.says("check")
        assert (wrong["code"], wrong["passed"]) == (1, False)
        assert "client -> files: ttl-exceeded" in wrong["text"]
        first_hint = ann.says("hint")["text"]
        assert "Nothing has changed yet" in first_hint
        assert "r-office" not in ann.says("clue")["text"], "the first clue does not give the place away"

        ann.says("checkpoint", name="before")
        ann.types("r-office", "ip", "route", "add", "10.20.40.200/32", "via", "10.20.8.2")
        poor = ann.says("check")
        assert (poor["code"], poor["points"], [one["name"] for one in poor["deductions"]]) == (0, 70, ["single-address"])
        assert "65 points" in poor["text"], "a clue costs 5"
        assert ann.says("hint")["text"] != first_hint
        ann.says("reset", name="before")
        assert ann.says("check")["code"] == 1

        ann.types("files", "ip", "address", "flush", "dev", "eth0")
        assert "files: no answer" in ann.says("check")["text"], "whoever takes a server's address away has not repaired it"
        ann.says("reset")
        ann.types("r-office", "ip", "route", "del", "10.20.40.128/25")
        done = ann.says("submit")
        assert (done["code"], done["passed"], done["points"]) == (0, True, 100)
        assert "The web server" in done["text"], "the next task begins"
        kept = load(ann.file)
        assert kept is not None
        assert (kept.current, kept.tasks[0].points, kept.tasks[0].clues) == (1, 95, 1)

        assert ann.says("check")["code"] == 1, "what breaks with the second task is broken now"
        assert ann.says("solve")["code"] == 0
        assert ann.says("submit")["code"] == 0
        kept = load(ann.file)
        assert kept is not None
        assert (kept.finished, kept.points) == (True, 47)
        with pytest.raises(InputError, match="the lesson is over"):
            ann.says("check")


def test_a_class_waits_at_a_barrier_and_a_lab_that_was_gone_begins_there_again(sandbox: Sandbox, tmp_path: Path) -> None:
    make_class(tmp_path / "class")
    with RunningLab(sandbox) as lab:
        ann = Learner(lab, tmp_path, tmp_path / "class")
        bob = Progress.begin("bob", "two-servers", 0, ("the-other-server", "the-first-server"))
        save(bob, (file_of(tmp_path / "class", "bob", "two-servers"),))
        ann.session.files = (ann.file, file_of(tmp_path / "class", "ann", "two-servers"))
        ann.says("solve")
        assert "Wait for the others" in ann.says("submit")["text"]
        with pytest.raises(InputError, match="begins the next task together"):
            ann.says("check")

        again = Learner(lab, tmp_path, tmp_path / "class")
        assert again.says("submit")["code"] == 4, "still waiting"
        open_barrier(tmp_path / "class", "two-servers", 1)
        assert "The web server" in again.says("submit")["text"]
        assert again.says("check")["code"] == 1


def test_wrong_turns_are_answered(sandbox: Sandbox, tmp_path: Path) -> None:
    with RunningLab(sandbox) as lab:
        ann = Learner(lab, tmp_path, lesson="far-pods")
        for word, arguments, said in [
            ("goto", {"node": "n11"}, "did you mean 'n1'"),
            ("reset", {"name": "nowhere"}, "known checkpoints: start"),
            ("checkpoint", {"name": "start"}, "where the task began"),
            ("goto", {"node": 7}, "is a word"),
            ("kubectl", {"words": "get"}, "words are needed"),
            ("kubectl", {"words": ["get", "podz"], "node": "n1"}, "did you mean 'pods'"),
            ("subctl", {"words": ["join"], "node": "n1"}, "no Submariner"),
        ]:
            with pytest.raises(InputError) as refused:
                ann.says(word, **arguments)
            assert said in str(refused.value)
        assert ann.says("next")["node"] is None
        ann.says("goto", node="n1")
        assert (ann.says("next")["node"], ann.says("next")["node"]) == ("n1", None)
        assert "cart" in ann.says("map")["text"]

        ann.types("n1", "ip", "link", "set", "vxlan.calico", "down")
        ann.types("n1", "nft", "add", "table", "ip", "mine")
        ann.types("n1", "ip", "link", "add", "extra", "type", "veth", "peer", "other")
        ann.says("reset")
        state = lab.read_back()
        assert state["n1"].link("extra") is None
        assert not any(table.name == "mine" for table in state["n1"].tables)
        ann.says("kubectl", words=["rollout", "restart", "ds/calico-node"], node="n1")
        assert ann.says("submit")["points"] == 100
