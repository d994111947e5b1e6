"""One command, as an operator types it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from lab.state.provenance import UNKNOWN, Provenance

HEREDOC = "END"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that runs in a namespace; None is outside of all of them, where namespaces are made.

    `text` is what an operator types on the node itself, `outside` what does the same from outside of the namespace.
    """

    namespace: str | None
    argv: tuple[str, ...]
    standard_input: str | None = None
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    @property
    def text(self) -> str:
        """The command as a shell reads it, in the namespace."""
        return self._shell(self.argv)

    @property
    def outside(self) -> str:
        """The command as a shell reads it, outside of the namespace."""
        return self._shell(self.outside_argv)

    @property
    def outside_argv(self) -> tuple[str, ...]:
        """The arguments that do the same from outside of the namespace."""
        program, *rest = self.argv
        if self.namespace is None:
            return self.argv
        if program in ("ip", "bridge"):
            return (program, "-n", self.namespace, *rest)
        return ("ip", "netns", "exec", self.namespace, *self.argv)

    def _shell(self, argv: tuple[str, ...]) -> str:
        line = shlex.join(argv)
        if self.standard_input is None:
            return line
        return f"{line} <<'{HEREDOC}'\n{self.standard_input.rstrip()}\n{HEREDOC}"


def sysctl_command(namespace: str, name: str, value: str, provenance: Provenance = UNKNOWN) -> Command:
    """Return what writes a sysctl, its path given below /proc/sys.

    Dots separate the parts of a name; where a part contains one (vxlan.calico), slashes do: sysctl(8).
    """
    said = name if "." in name else name.replace("/", ".")
    return Command(namespace, ("sysctl", "-w", f"{said}={value}"), provenance=provenance)


def command(namespace: str | None, text: str, provenance: Provenance = UNKNOWN) -> Command:
    """Return a command whose arguments contain no white space, given as one line."""
    return Command(namespace, tuple(text.split()), provenance=provenance)
