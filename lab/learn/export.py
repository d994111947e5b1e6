"""Lessons in the folder formats of two sites that lend virtual machines to learners: Killercoda and iximiuz Labs.

There, a lesson runs on a machine of the site's: its set-up installs the lab and begins the lesson, its checks are `lab learn submit`, its
hints `lab learn hint`. Sources: killercoda.com/creators and github.com/killercoda/scenario-examples (index.json, steps with text and
verify, assets); github.com/iximiuz/labs, of content-samples sample-tutorial/index.md and claude/rules/challenge-authoring.md (tasks with
init, needs, run, hintcheck; startup files of a machine; ::simple-task).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from lab.errors import InputError
from lab.spec import find
from lab.spec.lesson_file import LessonFile

_SET_UP: Final = """\
#!/bin/bash
# Installs the lab, where it is not there yet, and begins the lesson. LAB_PACKAGE is what pip installs: a name, a wheel, or git+https://...
set -e
if ! command -v lab >/dev/null; then
  apt-get update -q
  apt-get install -q -y --no-install-recommends python3-venv iproute2 nftables python3-nftables dnsmasq-base tinyproxy-bin \\
    iputils-ping tcpdump bind9-dnsutils curl conntrack traceroute
  python3 -m venv --system-site-packages /opt/lab
  /opt/lab/bin/pip install -q "${LAB_PACKAGE:-routelab}"
  ln -sf /opt/lab/bin/lab /usr/local/bin/lab
fi
lab learn "$LESSON" --no-shell >/dev/null
"""
_DIFFICULTIES: Final = ((2, "easy"), (4, "medium"), (9, "hard"))


def export(lesson: LessonFile, folder: Path, target: str) -> list[Path]:
    """Write a lesson in a site's format into a folder that is new or empty, and return the files. Raises InputError."""
    files = dict((_killercoda if target == "killercoda" else _iximiuz)(lesson))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{str(folder)!r} is not empty", hint="name a folder that is not there yet")
        written = []
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            if path.suffix == ".sh":
                path.chmod(0o755)
            written.append(path)
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be written: {error.strerror}") from None
    return written


def _parts(lesson: LessonFile) -> tuple[str, dict[str, str]]:
    """Return the lesson's file, with its topology beside it where that is not shipped, and what both are called there."""
    text = lesson.path.read_text(encoding="utf-8")
    topology = lesson.head.model.topology
    path = find(topology, "topologies", beside=lesson.path.parent)
    if path.parent == find("two-clusters", "topologies").parent:
        return text, {}
    changed = re.sub(r"^topology:.*$", f"topology: {path.name}", text, count=1, flags=re.MULTILINE)
    return changed, {path.name: path.read_text(encoding="utf-8")}


def _killercoda(lesson: LessonFile) -> Iterator[tuple[str, str]]:
    text, beside = _parts(lesson)
    name = f"{lesson.name}.md"
    steps = [
        {"title": section.title, "text": f"step{number}/text.md", "verify": f"step{number}/verify.sh"}
        for number, section in enumerate(lesson.tasks, 1)
    ]
    index = {
        "title": lesson.head.model.title,
        "description": f"About {lesson.head.model.minutes} minutes",
        "details": {
            "intro": {"text": "intro.md", "foreground": "foreground.sh"},
            "steps": steps,
            "finish": {"text": "finish.md"},
            "assets": {"host01": [{"file": asset, "target": "/root/"} for asset in (name, *beside)]},
        },
        "backend": {"imageid": "ubuntu"},
    }
    yield "index.json", json.dumps(index, indent=2, ensure_ascii=False) + "\n"
    yield "intro.md", f"{lesson.introduction}\n\n`lab learn shell` opens a shell in the network.\n"
    yield "foreground.sh", _SET_UP.replace("#!/bin/bash\n", f"#!/bin/bash\nLESSON=/root/{name}\n", 1)
    for number, section in enumerate(lesson.tasks, 1):
        yield f"step{number}/text.md", f"{section.text}\n\n`lab learn hint` says how far you have come.\n"
        yield f"step{number}/verify.sh", _verify(number)
    yield "finish.md", f"{lesson.afterwards}\n"
    yield f"assets/{name}", text
    for other, content in beside.items():
        yield f"assets/{other}", content


def _verify(number: int) -> str:
    """Return the check of a task: done already, or handed in and right."""
    return f"""\
#!/bin/bash
lab learn status --json | python3 -c '
import json, sys
tasks = json.load(sys.stdin)["progress"]["tasks"]
sys.exit(tasks[{number - 1}]["done"] == 0)' || lab learn submit
"""


def _iximiuz(lesson: LessonFile) -> Iterator[tuple[str, str]]:
    text, beside = _parts(lesson)
    model, name = lesson.head.model, f"{lesson.name}.md"
    where = "/opt/lesson"
    set_up = _SET_UP.removeprefix("#!/bin/bash\n")
    tasks: dict[str, object] = {
        "init_lesson": {
            "init": True,
            "timeout_seconds": 600,
            "run": f"LESSON={where}/{name}\n{set_up}",
        },
    }
    for number, task in enumerate(model.tasks, 1):
        checked: dict[str, object] = {"timeout_seconds": 120}
        if number > 1:
            checked["needs"] = [_task_name(model.tasks[number - 2].task)]
        tasks[_task_name(task.task)] = checked | {
            "run": _verify(number).removeprefix("#!/bin/bash\n"),
            "hintcheck": "lab learn hint || true\n",
        }
    head = {
        "kind": "challenge",
        "title": model.title,
        "description": f"About {model.minutes} minutes.\n",
        "categories": ["linux", "networking"],
        "difficulty": next(word for most, word in _DIFFICULTIES if model.level <= most),
        "playground": {
            "name": "ubuntu-24-04",
            "machines": [
                {
                    "name": "ubuntu-01",
                    "startupFiles": [{"path": f"{where}/{file}", "content": content} for file, content in {name: text, **beside}.items()],
                }
            ],
        },
        "tasks": tasks,
    }
    parts = [f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n", lesson.introduction]
    parts.append("`sudo lab learn shell` opens a shell in the network.")
    for section, task in zip(lesson.tasks, model.tasks, strict=True):
        block = f"::simple-task\n---\n:tasks: tasks\n:name: {_task_name(task.task)}\n---\n#active\nNot done yet.\n\n#completed\nDone.\n::"
        parts.append(f"## {section.title}\n\n{section.text}\n\n{block}")
    yield "index.md", "\n\n".join(parts) + "\n"
    yield "solution.md", f"---\ntitle: {json.dumps(model.title)}\n---\n\n{lesson.afterwards}\n"


def _task_name(task: str) -> str:
    return f"verify_{task.replace('-', '_')}"
