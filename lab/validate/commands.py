r"""A change as commands, one on each line, as an operator pastes them.

Where a command is typed is said by whatever stands before it, in any of the ways in which notes and terminals say it::

    @c1-w1                        what follows is typed on c1-w1; @c1-w? means several nodes, one after the other
    ip route replace 10.42.0.0/16 via 240.18.1.2
    c1-gw: sysctl -w net.ipv4.conf.eth0.rp_filter=2
    root@c1-gw:~# ip rule add fwmark 0x10 table 100
    # c1-w2                       as `lab diff --commands` prints it; any other # begins a comment
    ip -n c1-w2 link set eth0 mtu 1400
    $ sudo ip route add \
        blackhole 10.9.0.0/16     a backslash at the end of a line joins it and the next
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from lab.errors import InputError, InputErrors, Place, did_you_mean, quoted
from lab.spec.changes import PROGRAMS
from lab.spec.selectors import has_wildcard, matching
from lab.state import Command
from lab.state.typed import Word, split_line
from lab.validate.change import Step, Typed

_PROMPT: Final = re.compile(r"\s*(?:\[?[\w.-]+@(?P<at>[\w.-]+)[: ][^#$]*|(?P<alone>[\w.-]+))[#$](?:\s+|$)")
_SAME: Final = re.compile(r"\s*[$%]\s+")
"""A prompt that does not say whose it is: the node's above."""
_FOLDERS: Final = re.compile(r"/(?:usr/)?s?bin/")
_SUDO: Final = ("-n", "-E", "-H", "--non-interactive", "--preserve-env", "--")
"""Options of sudo that leave a command what it is."""
_PREFIX: Final = re.compile(r"\s*([\w.*?-]+):(?:\s+|$)")
_HEADER: Final = re.compile(r"\s*@\s*(.*)")
_HEREDOC: Final = re.compile(r"<<-?\s*'(\w+)'\s*$")
_KNOWN: Final = sorted({*PROGRAMS, "echo"})


def read_commands(text: str, file: str, nodes: Iterable[str]) -> tuple[Step, ...]:
    """Read a file of commands. Raises InputErrors with every mistake, each at its line and column."""
    reader = _Lines(text.splitlines(), file, tuple(nodes))
    steps = list(reader.steps())
    if reader.mistakes:
        raise InputErrors(reader.mistakes)
    if not steps:
        raise InputError("the change has no command in it", place=Place(file), hint="write one command on each line, below @NODE")
    return tuple(steps)


class _Lines:
    """Reads lines, remembering on which nodes one is, and every mistake."""

    def __init__(self, lines: Sequence[str], file: str, nodes: tuple[str, ...]) -> None:
        self._lines, self._file, self._known = lines, file, nodes
        self._nodes: tuple[str, ...] = ()
        self._at = 0
        self._told = False
        self.mistakes: list[InputError] = []

    def steps(self) -> Iterator[Step]:
        while self._at < len(self._lines):
            line, number = self._lines[self._at], self._at + 1
            self._at += 1
            try:
                yield from self._line(line, Place(self._file, number))
            except InputErrors as errors:
                self.mistakes += errors.errors
            except InputError as error:
                self.mistakes.append(error.at(Place(self._file, number)))

    def _line(self, line: str, place: Place) -> Iterator[Step]:
        bare = line.strip()
        header = _HEADER.fullmatch(line)
        if header is not None:
            named = header[1].partition("#")[0]
            self._nodes = expand_nodes(self._known, named.replace(",", " ").split(), replace(place, column=header.start(1) + 1))
            return
        if bare.startswith("#"):
            if bare[1:].strip() in self._known:
                self._nodes = (bare[1:].strip(),)
            return
        nodes, start = self._where(line, place)
        text, words, heredoc = self._command(line[start:], replace(place, column=start + 1))
        body = self._heredoc(heredoc, place) if heredoc else ()
        if not words:
            return
        nodes, words = self._of_ip(nodes, words)
        check_program(words, body)
        if not nodes:
            if not self._told:
                self._told = True
                raise InputError("on which node?", place=words[0].place, hint="write @NODE on a line above, or NODE: before the command")
            return
        text += "".join(f"\n{word.text}" for word in body)
        yield from (Step(node, text, words[0].place, Typed(words, body)) for node in nodes)

    def _command(self, line: str, place: Place) -> tuple[str, tuple[Word, ...], str | None]:
        """Return a command, with the lines that a backslash joins to it: its text, its words, and what ends the text it reads."""
        said: list[str] = []
        words: tuple[Word, ...] = ()
        while True:
            heredoc = _HEREDOC.search(line)
            here = line[: heredoc.start()] if heredoc else line
            more, goes_on = split_line(here, place)
            words += more
            said.append(here.strip().removesuffix("\\").rstrip() if goes_on else here.strip())
            if not goes_on:
                return " ".join(said), words, heredoc[1] if heredoc else None
            if self._at == len(self._lines):
                raise InputError("the command goes on below, and nothing is there", place=replace(place, column=len(line.rstrip())))
            line, place = self._lines[self._at], Place(self._file, self._at + 1)
            self._at += 1

    def _where(self, line: str, place: Place) -> tuple[tuple[str, ...], int]:
        """Return on which nodes a line is typed, and where its command begins."""
        prompt = _PROMPT.match(line)
        if prompt is not None and (prompt["at"] or prompt["alone"]) in self._known:
            return (prompt["at"] or prompt["alone"],), prompt.end()
        if prompt is not None and prompt["at"]:
            return expand_nodes(self._known, [prompt["at"]], replace(place, column=prompt.start("at") + 1)), prompt.end()
        prefix = _PREFIX.match(line)
        if prefix is not None:
            nodes = expand_nodes(self._known, [prefix[1]], replace(place, column=prefix.start(1) + 1))
            if not line[prefix.end() :].strip():
                self._nodes = nodes
            return nodes, prefix.end()
        same = _SAME.match(line)
        return self._nodes, 0 if same is None else same.end()

    def _of_ip(self, nodes: tuple[str, ...], words: tuple[Word, ...]) -> tuple[tuple[str, ...], tuple[Word, ...]]:
        """Take `sudo`, the program's folder, and `-n NODE` of ip and bridge, away from a command."""
        if words[0].text == "sudo" and len(words) > 1:
            words = _without_sudo(words[1:])
        if folder := _FOLDERS.match(words[0].text):
            words = (Word(words[0].text[folder.end() :], words[0].place), *words[1:])
        if len(words) > 2 and words[0].text in ("ip", "bridge") and words[1].text in ("-n", "-netns"):
            return expand_nodes(self._known, [words[2].text], words[2].place), (words[0], *words[3:])
        if [word.text for word in words[:3]] == ["ip", "netns", "exec"] and len(words) > 4:
            return expand_nodes(self._known, [words[3].text], words[3].place), words[4:]
        return nodes, words

    def _heredoc(self, end: str, place: Place) -> tuple[Word, ...]:
        body: list[Word] = []
        while self._at < len(self._lines):
            line, number = self._lines[self._at], self._at + 1
            self._at += 1
            if line.strip() == end:
                return tuple(body)
            if line.strip() and not line.strip().startswith("#"):
                body.append(Word(line.strip(), Place(self._file, number, len(line) - len(line.lstrip()) + 1)))
        raise InputError(f"the text that begins here does not end: there is no line {end}", place=place)


def _without_sudo(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Take sudo's options away from a command. Raises InputError for one that makes it another command."""
    while words and words[0].text.startswith("-"):
        if [word.text for word in words[:2]] in (["-u", "root"], ["--user", "root"]):
            words = words[2:]
        elif words[0].text in _SUDO or words[0].text == "--user=root":
            words = words[1:]
        else:
            raise InputError(f"sudo's option {quoted(words[0].text)} is not taken", place=words[0].place, hint="leave it out")
    if not words:
        raise InputError("expected a command after sudo")
    return words


def expand_nodes(known: Sequence[str], names: Sequence[str], place: Place) -> tuple[str, ...]:
    """Return the nodes that names mean, in which `*` and `?` stand for any characters. Raises InputError when one means none."""
    if not names:
        raise InputError("on which node?", place=place, hint=did_you_mean("", known, "node"))
    for name in names:
        if not matching(name, known):
            what = "no node matches" if has_wildcard(name) else "there is no node"
            raise InputError(f"{what} {quoted(name)}", place=place, hint=did_you_mean(name, known, "node"))
    found = {node for name in names for node in matching(name, known)}
    return tuple(node for node in known if node in found)


def check_program(words: tuple[Word, ...], body: tuple[Word, ...] = ()) -> None:
    """Raise InputError for what is none of the programs that configure a network, or reads what is not in the change."""
    program = words[0]
    if program.text not in _KNOWN:
        hint = did_you_mean(program.text, _KNOWN, "program")
        raise InputError(f"{quoted(program.text)} is none of the programs a change may run", place=program.place, hint=hint)
    if bool(body) != ([word.text for word in words] == ["nft", "-f", "-"]):
        place = words[-1].place
        if body:
            raise InputError("only `nft -f -` reads what stands below it", place=place)
        raise InputError("`nft -f -` reads what stands below it: <<'END' ... END", place=place)
    if program.text == "nft" and not body and any(word.text in ("-f", "--file") for word in words):
        raise InputError("no file is read: write the commands here", place=program.place, hint="nft -f - <<'END', the lines, END")


def steps_of_commands(commands: Iterable[Command], file: str) -> tuple[Step, ...]:
    """Return commands that lead from one state to another as steps."""
    steps = []
    for number, command in enumerate(commands, start=1):
        if command.namespace is None:
            raise InputError(f"the change makes or removes a whole node, which no command on a node does: {command.text}")
        places = command.provenance.places()
        place = places[0] if places else Place(file, number)
        script = tuple(Word(line, place) for line in (command.standard_input or "").splitlines())
        words = tuple(Word(text, place) for text in command.argv)
        steps.append(Step(command.namespace, command.text, place, Typed(words, script)))
    return tuple(steps)
