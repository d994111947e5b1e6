"""What a learner finds inside the lab: the words of a lesson as programs, and a shell that knows the way."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Final

from lab.kernel.guest import FOLDER, SHARED

GONE_ELSEWHERE: Final = 76
"""Exit code of a shell that wants to be continued elsewhere, or ended: the session knows where."""

WORDS: Final = {
    "task": "what is to be done",
    "map": "the map of the network",
    "goto NODE": "go to another node",
    "check": "try out whether it is done",
    "submit": "hand it in, and go on to the next task",
    "hint": "how far you have come, and where to look",
    "clue": "the next clue, for some points",
    "status": "your tasks and points",
    "checkpoint [NAME]": "remember the network as it is now",
    "reset [NAME]": "back to a checkpoint, or to where the task began",
    "solve": "see the solution, for no points",
    "quit": "end the lesson; what you have achieved is kept",
}

_CLIENT: Final = """\
#!{python} -IS
import json, os, shutil, socket, sys, textwrap
def shown(text):
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = []
    for line in text.splitlines():
        within = " " * (len(line) - len(line.lstrip(" ")) + 2 * (line.lstrip(" ")[:1] in "✗✓▸-"))
        wrapped = textwrap.wrap(line, width, subsequent_indent=within, break_long_words=False, break_on_hyphens=False)
        lines += wrapped if len(line) > width else [line]
    return "\\n".join(lines)
word = os.path.basename(sys.argv[0])
given = sys.argv[1:]
if word in ("subctl", "kubectl"):
    arguments = {{"words": given, "node": socket.gethostname()}}
else:
    arguments = {{{{"goto": "node"}}.get(word, "name"): given[0]}} if given else {{}}
try:
    line = socket.socket(socket.AF_UNIX)
    line.connect("{door}")
    line.sendall(json.dumps({{"operation": word, "arguments": arguments}}).encode() + b"\\n")
    for text in line.makefile(encoding="utf-8"):
        said = json.loads(text)
        if "report" in said:
            print(f"... {{said['report']}}", file=sys.stderr)
        elif "error" in said:
            error = said["error"]
            for one in error.get("errors", [error]):
                print(one["message"] + (f"\\n  hint: {{one['hint']}}" if one["hint"] else ""), file=sys.stderr)
            sys.exit(2)
        else:
            if said["result"]["text"]:
                text = said["result"]["text"]
                print(text if word in ("subctl", "kubectl") else shown(text))
            sys.exit(said["result"]["code"])
except OSError as error:
    sys.exit(f"{{word}}: the lesson does not answer: {{error.strerror}}")
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(f"{{word}}: the lesson has ended")
"""

_SHELL: Final = """\
PS1='\\h# '
HISTFILE=/root/.history
HISTCONTROL=ignoredups
shopt -s histappend checkwinsize
PROMPT_COMMAND='history -a'
goto() {{ {bin}/goto "$@" && exec sh -c 'exit {code}'; }}
quit() {{ {bin}/quit && exec sh -c 'exit {code}'; }}
lesson() {{ cat {shared}/words; }}
lab() {{ if [ "$1" = learn ] && [ $# -gt 1 ]; then shift; "$@"; else lesson; fi; }}
"""


def write_inside() -> None:
    """Write the programs and the shell's settings, in the lab, for its guests. Raises OSError."""
    python = Path(os.path.realpath(sys.executable))
    client = _CLIENT.format(python=python, door=f"{SHARED}/control")
    names = [word.split()[0] for word in WORDS]
    for name in (*names, "subctl", "kubectl"):
        program = FOLDER / "bin" / name
        program.write_text(client)
        program.chmod(0o755)
    (FOLDER / "rc").write_text(_SHELL.format(bin=f"{SHARED}/bin", code=GONE_ELSEWHERE, shared=SHARED))
    (FOLDER / "words").write_text(words_text())


_STANDS_ALONE: Final = re.compile(r"\s*$|#|>|\||```| {4}|\t|\s*(?:[-*+]|\d+[.)])\s")
"""A line of Markdown that does not go on with the paragraph before it (CommonMark)."""


def paragraphs(markdown: str) -> str:
    """Return Markdown with each paragraph on one line, to be wrapped by whoever knows how wide the terminal is."""
    lines: list[str] = []
    fenced = joins = False
    for line in markdown.splitlines():
        fence = line.startswith("```")
        if joins and not fenced and not _STANDS_ALONE.match(line):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
        fenced ^= fence
        joins = bool(line.strip()) and not fenced and not fence and not line.startswith(("#", "|", "    ", "\t"))
    return "\n".join(lines)


def words_text() -> str:
    """Return the words of a lesson, each with what it does."""
    return "".join(f"  {word:<18} {meaning}\n" for word, meaning in WORDS.items())


def shell() -> list[str]:
    """Return the command of a learner's shell."""
    return shlex.split(f"bash --noprofile --rcfile {SHARED}/rc -i")
