"""Read a lesson file: YAML between two lines ``---``, and below it Markdown with one heading for each task.

A lesson is written for one network. Its learners get variants of it, in which the texts of `vary` have taken each other's places,
everywhere at once: the network stays the same but for names and addresses, and so does all that is true of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Final

from lab.errors import InputError, InputErrors, Place, quoted, unsafe_character
from lab.spec.adjust import adjusted
from lab.spec.check import check_topology
from lab.spec.check_scenario import check_scenario
from lab.spec.document import Document, Node
from lab.spec.document import Path as Keys
from lab.spec.files import read_file
from lab.spec.findings import dangling
from lab.spec.lesson import Lesson
from lab.spec.load import Loaded, read_document, validate
from lab.spec.scenario import Scenario
from lab.spec.selectors import Names
from lab.spec.shipped import find
from lab.spec.topology import Topology
from lab.spec.yaml import read_yaml

_FENCE: Final = re.compile(r"---[ \t]*")
_HEADING: Final = re.compile(r"## +(.+?)[ \t#]*")
_CODE: Final = re.compile(r"[ ]{0,3}(```|~~~)")
_AFTERWARDS: Final = "Afterwards"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the text, in Markdown."""

    title: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class LessonFile:
    """One variant of a lesson: its head, its text, and the scenario that it comes to.

    The scenario has the phases `healthy` and `start`, for the task of number N `task-N` (from 0), and for its repair of number M
    `task-N-repair-M`; what has to be outlived follows each as `task-N-survives` or `task-N-repair-M-survives`.
    """

    head: Loaded[Lesson]
    introduction: str
    tasks: tuple[Section, ...]
    afterwards: str
    scenario: Loaded[Scenario]
    topology: Loaded[Topology]
    variant: int
    variants: int
    path: Path

    @property
    def name(self) -> str:
        """The lesson's name."""
        return self.head.model.lesson


def open_lesson(name: str, seed: int = 0) -> LessonFile:
    """Load and check a lesson, a path or the name of a shipped one, in the variant that a seed chooses. Raises InputError."""
    path = find(name, "lessons")
    document, body, first = _parts(read_file(path), str(path))
    written = validate(document, Lesson)
    mistakes: list[InputError] = list(_unique(written))
    number = prod(len(texts) for texts in written.model.vary)
    rotation = _Rotation.of(written.model.vary, seed % number)
    head = written
    if rotation:
        head = validate(Document(document.file, rotation.node(document.root, but=("vary", "lesson", "course"))), Lesson)
    introduction, sections = _sections(rotation.text(body), first)
    try:
        tasks, afterwards = _matched(head, sections)
        below = read_document(find(head.model.topology, "topologies", beside=path.parent))
    except InputError as error:
        raise error.at(head.place("topology")) from None
    topology = adjusted(replace(below, root=rotation.node(below.root)), head.document.node("adjust"))
    check_topology(topology)
    scenario = validate(_scenario(head), Scenario)
    try:
        check_scenario(scenario, dict.fromkeys(scenario.model.phases, topology.model))
    except InputErrors as errors:  # what is wrong with a task is wrong in all the phases that follow from it
        mistakes += {(mistake.place, mistake.message): mistake for mistake in errors.errors}.values()
    if head.model.entry not in Names.of(topology.model).namespaces:
        mistakes.append(dangling("node or pod", head.model.entry, Names.of(topology.model).namespaces, head.place("entry")))
    if mistakes:
        raise InputErrors(mistakes)
    return LessonFile(head, introduction, tasks, afterwards, scenario, topology, seed % number, number, path)


def read_head(name: str) -> Loaded[Lesson]:
    """Return the head of a lesson alone. Raises InputError."""
    path = find(name, "lessons")
    return validate(head_of(read_file(path), str(path)), Lesson)


def variants_to_check(lesson: LessonFile) -> Iterator[LessonFile]:
    """Yield the lesson in as few variants as show every text of `vary` in every place once. Raises InputError."""
    lengths = [len(texts) for texts in lesson.head.model.vary]
    for turn in range(max(lengths, default=1)):
        yield open_lesson(str(lesson.path), _seed_of(lengths, turn))


def _seed_of(lengths: list[int], turn: int) -> int:
    seed, weight = 0, 1
    for length in lengths:
        seed += turn % length * weight
        weight *= length
    return seed


# ---------------------------------------------------------------------------------------------------------------- parts


def head_of(text: bytes, file: str) -> Document:
    """Return the head of a lesson's text as it is written. Raises InputError."""
    return _parts(text, file)[0]


def _parts(text: bytes, file: str) -> tuple[Document, str, int]:
    """Return the head, the text below it, and the number of the text's first line."""
    lines = text.split(b"\n")
    bare = [line.rstrip(b"\r").decode("utf-8", "replace") for line in lines]
    if not _FENCE.fullmatch(bare[0].removeprefix("\ufeff")):
        raise InputError("a lesson begins with a line ---", place=Place(file), hint="lab learn new FILE writes a lesson to start from")
    end = next((number for number, line in enumerate(bare[1:], 1) if _FENCE.fullmatch(line)), None)
    if end is None:
        raise InputError("the head of the lesson has no end", place=Place(file), hint="a second line --- ends it, and the text begins")
    document = read_yaml(b"\n".join(lines[:end]), file)
    try:
        body = b"\n".join(lines[end + 1 :]).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InputError("the text is not UTF-8", place=Place(file, end + 2), hint="save it as UTF-8") from None
    unsafe = unsafe_character(body)
    if unsafe is not None:
        line = end + 2 + body.count("\n", 0, unsafe)
        raise InputError(f"the character U+{ord(body[unsafe]):04X} has no place in a file of the lab", place=Place(file, line))
    return document, body, end + 2


def _sections(body: str, first: int) -> tuple[str, list[Section]]:
    """Return what stands above the first heading of the second level, and what stands below each; code has no headings."""
    found: list[Section] = []
    lines: list[str] = []
    title, line, fence = "", first, ""
    for number, text in enumerate(body.split("\n"), first):
        code = _CODE.match(text)
        if code:
            fence = "" if fence == code[1] else fence or code[1]
        heading = _HEADING.fullmatch(text) if not fence else None
        if heading:
            found.append(Section(title, "\n".join(lines).strip(), line))
            title, line, lines = heading[1], number, []
        else:
            lines.append(text)
    found.append(Section(title, "\n".join(lines).strip(), line))
    return found[0].text, found[1:]


def _matched(head: Loaded[Lesson], sections: list[Section]) -> tuple[tuple[Section, ...], str]:
    """Return a section for each task, and what is told at the end. Raises InputError."""
    file, tasks = head.document.file, head.model.tasks
    afterwards = ""
    if sections and sections[-1].title == _AFTERWARDS:
        afterwards = sections.pop().text
    if len(sections) > len(tasks):
        extra = sections[len(tasks)]
        hint = f"the text that is shown at the end stands below the heading `## {_AFTERWARDS}`, the last one"
        raise InputError(f"the heading {quoted(extra.title)} belongs to no task", place=Place(file, extra.line), hint=hint)
    if len(sections) < len(tasks):
        missing = tasks[len(sections)].task
        hint = "the text has a heading `## ...` for each task, in their order"
        raise InputError(f"the task {missing!r} has no heading in the text", place=head.place("tasks", len(sections), "task"), hint=hint)
    return tuple(sections), afterwards


def _unique(head: Loaded[Lesson]) -> Iterator[InputError]:
    seen: set[str] = set()
    for number, task in enumerate(head.model.tasks):
        if task.task in seen:
            yield InputError(f"two tasks are called {task.task!r}", place=head.place("tasks", number, "task"))
        seen.add(task.task)
    texts: set[str] = set()
    for number, row in enumerate(head.model.vary):
        for index, text in enumerate(row):
            if not text or text in texts:
                yield InputError(
                    f"{quoted(text)} cannot vary: {'it is empty' if not text else 'it stands here twice'}",
                    place=head.place("vary", number, index),
                )
            texts.add(text)


# -------------------------------------------------------------------------------------------------------------- variant


@dataclass(frozen=True, slots=True)
class _Rotation:
    """Texts and what stands in their places."""

    instead: Mapping[str, str]

    @staticmethod
    def of(vary: tuple[tuple[str, ...], ...], variant: int) -> _Rotation:
        instead: dict[str, str] = {}
        for texts in vary:
            variant, turn = divmod(variant, len(texts))
            if turn:
                instead |= {text: texts[(number + turn) % len(texts)] for number, text in enumerate(texts)}
        return _Rotation(instead)

    def __bool__(self) -> bool:
        return bool(self.instead)

    def text(self, text: str) -> str:
        """Replace every text where it is a word of its own: not within a longer name, number or address."""
        if not self.instead:
            return text
        longest_first = sorted(self.instead, key=len, reverse=True)
        pattern = rf"(?<![\w.])(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
        return re.sub(pattern, lambda found: self.instead[found[0]], text)

    def node(self, node: Node, but: tuple[str, ...] = ()) -> Node:
        """Replace the texts in all keys and values; those of the keys `but` stay."""
        if not self.instead:
            return node
        if isinstance(node.content, str):
            return replace(node, content=self.text(node.content))
        if isinstance(node.content, tuple):
            return replace(node, content=tuple(map(self.node, node.content)))
        if isinstance(node.content, Mapping):
            content = {self.text(key): inner if key in but else self.node(inner) for key, inner in node.content.items()}
            return Node(node.place, content, {self.text(key): place for key, place in node.keys.items()})
        return node


# ------------------------------------------------------------------------------------------------------------- scenario


def _scenario(head: Loaded[Lesson]) -> Document:
    """Return the scenario that a lesson comes to; every part of it keeps its place in the lesson's file."""
    phases: dict[str, Node] = {"healthy": _phase(head, ("healthy",))}
    lesson = head.model
    phases["start"] = _phase(head, ("start",), after="healthy" if lesson.start.from_healthy else None)
    before = "start"
    for number, task in enumerate(lesson.tasks):
        name, path = f"task-{number}", ("tasks", number)
        phases[name] = _phase(head, path, after=before, expect=_expectations(head, number))
        if task.survives is not None:
            phases[f"{name}-survives"] = _phase(head, (*path, "survives"), after=name)
        for index in range(len(task.repairs)):
            repaired = f"{name}-repair-{index}"
            phases[repaired] = _phase(head, (*path, "repairs", index), after=name)
            if task.survives is not None:
                phases[f"{repaired}-survives"] = _phase(head, (*path, "survives"), after=repaired)
        solved = next((index for index, repair in enumerate(task.repairs) if repair.passes), None)
        before = name if solved is None else f"{name}-repair-{solved}"
    root = head.document.root
    content = {
        "scenario": Node(head.place("lesson"), lesson.lesson),
        "topology": Node(head.place("topology"), lesson.topology),
        "phases": Node(head.place("tasks"), phases, {name: node.place for name, node in phases.items()}),
    }
    return Document(head.document.file, Node(root.place, content, {key: node.place for key, node in content.items()}))


def _phase(head: Loaded[Lesson], path: Keys, after: str | None = None, expect: tuple[Node, ...] = ()) -> Node:
    node = head.document.node(*path)
    place = head.place(*path)
    content: dict[str, Node] = {}
    keys: dict[str, Place] = {}
    if node is not None and isinstance(node.content, Mapping):
        for key in ("absent", "events", "changes"):
            if key in node.content and not (key == "absent" and after is not None):
                content[key], keys[key] = node.content[key], node.keys[key]
    if after is not None:
        content["after"] = Node(place, after)
    if expect:
        content["expect"] = Node(place, expect)
    return Node(place, content, keys)


def _expectations(head: Loaded[Lesson], number: int) -> tuple[Node, ...]:
    """Return every expectation of a task: its checks and what its deductions and hints look for."""
    task = head.model.tasks[number]
    paths: list[Keys] = [("check",)]
    paths += [("fail-check", index, "when") for index in range(len(task.fail_check))]
    paths += [("hint-check", index, "when") for index in range(len(task.hint_check))]
    nodes = (head.document.node("tasks", number, *path) for path in paths)
    return tuple(item for node in nodes if node is not None and isinstance(node.content, tuple) for item in node.content)
