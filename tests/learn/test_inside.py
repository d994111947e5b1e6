"""What a learner reads fits the terminal, whatever its width: words stay whole, lists and pictures as they are."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from lab.learn.inside import _CLIENT, paragraphs

MARKDOWN = """\
One paragraph
on two lines.

- an item
  that goes on
- another

```
kept
as it is
```
    also
    this
## A heading
A line
1. one
2. two
"""


def test_a_paragraph_is_one_line_and_what_is_none_is_left_alone() -> None:
    assert paragraphs(MARKDOWN).splitlines() == [
        "One paragraph on two lines.",
        "",
        "- an item that goes on",
        "- another",
        "",
        "```",
        "kept",
        "as it is",
        "```",
        "    also",
        "    this",
        "## A heading",
        "A line",
        "1. one",
        "2. two",
    ]


def shown(text: str, folder: Path, columns: int | None) -> str:
    """What the program `hint` prints of a text: on a terminal so wide, or into a pipe."""
    function = _CLIENT.format(python="", door="").partition("word = os.path")[0]
    program = folder / "client.py"
    program.write_text(f"{function}\nprint(shown(sys.argv[1]))")
    argv = [sys.executable, "-IS", str(program), text]
    if columns is None:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    ours, theirs = pty.openpty()
    process = subprocess.Popen(argv, stdout=theirs, env={**os.environ, "COLUMNS": str(columns), "LC_ALL": "C.UTF-8"})
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 4096):
            said += more
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return said.decode().replace("\r\n", "\n")


def test_long_lines_are_wrapped_between_words_and_indented_as_they_begin(tmp_path: Path) -> None:
    text = " \u2717 ping client -> web with 1400 bytes: no answer\n\u251c\u2500 r-office\n1. Watch it with tcpdump."
    assert shown(text, tmp_path, 32).splitlines() == [
        " \u2717 ping client -> web with 1400",
        "   bytes: no answer",
        "\u251c\u2500 r-office",
        "1. Watch it with tcpdump.",
    ]
    assert shown(text, tmp_path, None) == text + "\n"
