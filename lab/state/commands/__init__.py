"""States and differences as the commands an operator would type."""

from lab.state.commands.command import Command
from lab.state.commands.sequence import commands_of

__all__ = ["Command", "commands_of"]
