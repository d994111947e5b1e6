"""`lab completion`: the shell's completion script."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  eval "$(lab completion bash)"                                     for this shell
  lab completion bash > ~/.local/share/bash-completion/completions/lab
  lab completion zsh > "${fpath[1]}/_lab"
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: commands, options, shipped files, a scenario's phases, running labs and their nodes."""
    from click.shell_completion import get_completion_class

    from lab.cli.app import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "lab", "_LAB_COMPLETE").source())
