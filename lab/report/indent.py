"""Lines that keep their indentation where a terminal is too narrow for them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Indented:
    """A line that is indented as a whole where it is wrapped, with a `mark` before its first row. What goes into a file is not wrapped."""

    by: int
    text: str | Text
    style: str = ""
    mark: Text | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the rows."""
        text = self.text if isinstance(self.text, Text) else Text(self.text, self.style)
        first = self.mark if self.mark is not None else Text()
        first = Text.assemble(first, " " * (self.by - first.cell_len))
        if options.no_wrap:
            yield first + text
            return
        for number, row in enumerate(text.wrap(console, max(options.max_width - self.by, 8))):
            yield (Text(" " * self.by) if number else first) + row


def verbatim(line: str) -> Text:
    """Return a line that is to be copied: a terminal may wrap it, and nothing else does."""
    return Text(line, no_wrap=True, overflow="ignore")
