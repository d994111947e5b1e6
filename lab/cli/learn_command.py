"""`lab learn`: lessons."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.common import console, json_option, print_json
from lab.errors import InputError, LabError
from lab.spec.writing import check_writable, write_whole

if TYPE_CHECKING:
    from lab.kernel.holder import Operation
    from lab.kernel.sandbox import Report, Sandbox

IN_A_LESSON = ("task", "map", "check", "submit", "hint", "clue", "status", "checkpoint", "reset", "solve", "goto", "quit")
"""What somebody in a lesson may ask for, inside the lab or, with `lab learn` before it, outside."""

EPILOG = """\b
Examples:
  lab learn                              courses and lessons, and how far you have come
  lab learn two-servers                  begin a lesson, or go on with it
\b
While a lesson runs, from another terminal (inside, without `lab learn`):
  lab learn check | hint | clue | map | task | status | submit
  lab learn goto r-office                another shell, in another node
  lab learn checkpoint before            lab learn reset before        lab learn reset
  lab learn solve                        lab learn quit
\b
Teach:
  lab learn --class /srv/monday --new    make a class
  lab learn two-servers --class /srv/monday        what each learner types
  lab learn --class /srv/monday          who is where, who is stuck; --csv FILE, --json
  lab learn --class /srv/monday --open two-servers:2       let everybody begin the second task
\b
Write lessons:
  lab learn new my-lesson.md             a lesson to start from
  lab learn prove my-lesson.md           try all of its repairs, right and wrong
  lab learn export my-lesson.md --to killercoda FOLDER
"""


def complete_word(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a lesson's name, or a word of a lesson; after `goto` a node."""
    from lab.spec import names

    words = ctx.params.get("words") or ()
    if words[:1] in (("goto",), ("shell",)):
        me = ctx.params.get("person") or _user()
        known = _request(me, "describe")["nodes"] if _running(me) else []
    else:
        known = [] if words else [*names("lessons"), *IN_A_LESSON, "shell", "new", "prove", "export"]
    return [word for word in known if word.startswith(incomplete)]


@click.command("learn", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[LESSON | WORD]...", shell_complete=complete_word)
@click.option("--seed", type=click.IntRange(0, 2**31), help="Which variant of the lesson; by default one of your own.")
@click.option("--as", "person", metavar="NAME", help="Who learns; by default your user name.")
@click.option(
    "--class",
    "classroom",
    metavar="[FOLDER]",
    is_flag=False,
    flag_value="",
    help="The class you are in, by default $LAB_CLASS; without a lesson: the trainer's view of it.",
)
@click.option("--new", is_flag=True, help="With --class: make the class.")
@click.option("--open", "opened", metavar="LESSON:TASK", help="With --class: let everybody begin a task that has a barrier.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as CSV.")
@click.option("--no-shell", is_flag=True, help="Begin the lesson, and open no shell.")
@click.option("--root-in-class", is_flag=True, help="Let root take part in a class, though root's lab holds root less safely.")
@click.option("--to", "target", type=click.Choice(["killercoda", "iximiuz"]), help="With export: whose format.")
@json_option
def command(
    words: tuple[str, ...],
    seed: int | None,
    person: str | None,
    classroom: str | None,
    new: bool,
    opened: str | None,
    csv_file: Path | None,
    no_shell: bool,
    root_in_class: bool,
    target: str | None,
    as_json: bool,
) -> int:
    """Learn with a broken network: find out what is wrong, repair it by whatever means, and be judged by how it behaves then."""
    from lab.cli.teaching import export_lesson, new_lesson, prove_lesson, show_class
    from lab.learn.progress import check_person

    if (new or opened is not None) and (classroom is None or words):
        raise click.UsageError("--new and --open go with --class, and with no lesson")
    if target is not None and words[:1] != ("export",):
        raise click.UsageError("--to goes with export")
    given = classroom or os.environ.get("LAB_CLASS")
    if classroom == "" and not given:
        raise click.UsageError("--class: name the class's folder, or set LAB_CLASS")
    me = check_person(person or _user())
    match words:
        case () if classroom is not None and given:
            return show_class(Path(given), new=new, opened=opened, csv_file=csv_file, as_json=as_json)
        case ():
            return _lessons(me, csv_file, as_json=as_json)
        case ("new", file):
            return new_lesson(Path(file))
        case ("prove", file):
            return prove_lesson(file, seed, as_json=as_json)
        case ("export", lesson, folder):
            return export_lesson(lesson, folder, target)
        case ("new" | "prove" | "export", *_):
            raise click.UsageError(f"lab learn {words[0]} {'LESSON FOLDER --to FORMAT' if words[0] == 'export' else 'FILE'}")
        case (word, *rest) if word in (*IN_A_LESSON, "shell"):
            return _ask(word, rest, me, as_json=as_json)
        case (lesson,):
            return _learn(lesson, me, seed, given, root_in_class=root_in_class, no_shell=no_shell)
    raise click.UsageError(f"a lesson, or one of: {', '.join(IN_A_LESSON)}")


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


# -------------------------------------------------------------------------------------------------------------- lessons


def _lessons(me: str, csv_file: Path | None, *, as_json: bool) -> int:
    """List the lessons by course, and what the learner has achieved."""
    from rich.table import Table
    from rich.text import Text

    from lab.learn.course import lessons

    found = lessons(me)
    if csv_file is not None:
        from lab.report.spreadsheet import csv_text

        check_writable(csv_file)
        header = ("course", "lesson", "level", "minutes", "done", "tasks", "points")
        write_whole(csv_file, csv_text(header, [one.row() for one in found], line_end="\n"))
        return 0
    if as_json:
        print_json([one.as_json() for one in found])
        return 0
    running = _running(me)
    for course in dict.fromkeys(one.course for one in found):
        table = Table(
            "", "", "level", "minutes", "done", "points", box=None, title=f"Course {course}", title_justify="left", title_style="bold"
        )
        for one in found:
            if one.course == course:
                mark = "▸" if running == one.name else "✓" if one.tasks == one.done else " "
                done = f"{one.done}/{one.tasks}" if one.begun else ""
                points = str(one.points) if one.done else ""
                table.add_row(f"{mark} {one.name}", Text(one.title), str(one.level), str(one.minutes), done, points)
        console().print(table)
    if running is not None:
        click.echo(f"You are at {running}: lab learn {running} goes on.", err=True)
    return 0


def _lab_of(person: str) -> str:
    return f"learn-{person}"


def _running(person: str) -> str | None:
    """Return the lesson that somebody has running."""
    from lab.kernel.registry import connect, running_labs

    if not any(entry.name == _lab_of(person) and entry.uid == os.geteuid() for entry in running_labs()):
        return None
    try:
        with connect(_lab_of(person)) as lab:
            return str(lab.request("describe")["lesson"])
    except LabError:  # it has just ended, and its name is not free yet
        return None


def _learn(name: str, me: str, seed: int | None, classroom: str | None, *, root_in_class: bool, no_shell: bool) -> int:
    """Begin a lesson, or go on with it."""
    from lab.learn.classroom import check_class
    from lab.learn.course import seed_of
    from lab.learn.progress import Progress, file_of, load, state_folder
    from lab.spec.lesson_file import open_lesson

    folder = check_class(Path(classroom)) if classroom is not None else None
    if folder is not None and os.geteuid() == 0 and not root_in_class:
        raise InputError(
            "nobody learns in a class as root: root's lab shares the machine's root with all others",
            hint="log in as an ordinary user, or say --root-in-class (docs/teaching.md says what that means)",
        )
    running = _running(me)
    lesson = open_lesson(name, seed_of(me, name) if seed is None else seed)
    if running not in (None, lesson.name):
        raise InputError(f"you are at the lesson {running!r}", hint=f"lab learn {running} goes on with it, lab learn quit ends it")
    if running is None:
        file = file_of(state_folder(os.environ), me, lesson.name).absolute()
        progress = load(file)
        tasks = tuple(task.task for task in lesson.head.model.tasks)
        known = progress is not None and not progress.finished and tuple(task.task for task in progress.tasks) == tasks
        if progress is None or not known or (seed is not None and progress.seed != seed):
            progress = Progress.begin(me, lesson.name, seed_of(me, name) if seed is None else seed, tasks)
        elif progress.seed != seed:
            lesson = open_lesson(name, progress.seed)
        _start(lesson, progress, file, folder)
    _tell(lesson.introduction)
    click.echo()
    answer = _request(me, "task")
    _tell(str(answer["text"]))
    click.echo("\n`lesson` lists the words you may type, besides everything you know from a node's shell.\n", err=True)
    return 0 if no_shell else _shells(me, str(_request(me, "describe")["entry"]))


def _start(lesson: Any, progress: Any, file: Path, classroom: Path | None) -> None:
    from lab.kernel.holder import hold
    from lab.learn.inside import write_inside
    from lab.learn.practice import Practice
    from lab.learn.progress import file_of
    from lab.learn.session import GUESTS, Session
    from lab.scenario.stage import RunningLab

    files = (file,) if classroom is None else (file, file_of(classroom, progress.person, progress.lesson))

    def prepare(sandbox: Sandbox, report: Report) -> Mapping[str, Operation]:
        write_inside()
        lab = RunningLab(sandbox)
        lab.__enter__()  # for as long as the sandbox is: its end is the lab's
        session = Session(Practice(lab, lesson), progress, files, classroom)
        session.begin(report)
        return session.operations()

    hold(_lab_of(progress.person), prepare, guests=GUESTS, on_report=lambda said: click.echo(f"... {said}", err=True))


def _shells(me: str, node: str) -> int:
    """Open a shell in a node, and then in the node that the learner wants to go to, until he has enough."""
    from lab.kernel.execute import exec_in
    from lab.learn.inside import GONE_ELSEWHERE, shell

    lesson = _running(me)
    while True:
        code = exec_in(_lab_of(me), node, shell(), guest=True)
        if _running(me) is None:
            click.echo(f"The lab has ended; what you have achieved is kept. lab learn {lesson} begins again at your task.", err=True)
            return 0
        wanted = _request(me, "next")["node"] if code == GONE_ELSEWHERE else None
        if wanted is None:
            click.echo(f"The lesson goes on: lab learn {lesson} comes back, lab learn quit ends it.", err=True)
            return 0
        if wanted == "":
            return _end(me)
        node = wanted


def _end(me: str) -> int:
    from lab.kernel.registry import stop

    stop(_lab_of(me))
    click.echo("The lesson has ended; what you have achieved is kept.", err=True)
    return 0


def _request(me: str, operation: str, **arguments: Any) -> dict[str, Any]:
    from lab.kernel.registry import connect

    with connect(_lab_of(me)) as lab:
        answer = lab.request(operation, on_report=lambda said: click.echo(f"... {said}", err=True), **arguments)
    assert isinstance(answer, dict)
    return answer


def _ask(word: str, rest: list[str], me: str, *, as_json: bool) -> int:
    """Answer a word of somebody who is in a lesson."""
    if _running(me) is None:
        raise InputError("you are at no lesson", hint="lab learn lists them, lab learn LESSON begins one")
    if len(rest) > 1 or (rest and word not in ("goto", "shell", "reset", "checkpoint")):
        raise click.UsageError(f"lab learn {word} takes {'one name' if len(rest) > 1 else 'nothing more'}")
    if word in ("goto", "shell"):
        described = _request(me, "describe")
        return _shells(me, rest[0] if rest else str(described["entry"]))
    if word == "quit":
        return _end(me)
    answer = _request(me, word, **({"name": rest[0]} if rest else {}))
    if as_json:
        print_json(answer)
    elif word == "task":
        _tell(str(answer["text"]))
    else:
        click.echo(answer["text"])
    return int(answer["code"])


def _tell(text: str) -> None:
    """Show Markdown: rendered on a terminal, as it is elsewhere."""
    terminal = console()
    if terminal.is_terminal:
        from rich.markdown import Markdown

        terminal.print(Markdown(text))
    else:
        click.echo(text)
