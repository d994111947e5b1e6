"""The `lab` command: its commands, and how mistakes reach the person who made them."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import traceback
from importlib import import_module
from typing import Final

import click

from lab.cli.common import error_json, print_json
from lab.cli.plain import speak_plainly
from lab.errors import ExitCode, LabError, MachineError, did_you_mean

COMMANDS: Final = {
    "run": "Play a scenario on the real kernel and judge it.",
    "check": "Check topology and scenario files; needs no privileges.",
    "show": "Print what a file becomes: spec, state, plan or commands.",
    "up": "Start a lab that stays until `lab down`.",
    "ps": "List the labs that run here.",
    "down": "End a lab.",
    "exec": "Run a program in a node or pod of a running lab.",
    "shell": "Open a shell in a node or pod of a running lab.",
    "learn": "Learn with broken networks, teach a class, write lessons.",
    "watch": "Show the journeys of a running lab's packets, live.",
    "capture": "Write what a node of a running lab sends and receives as pcapng, live.",
    "explain": "Send a probe in a running lab, and say why it ends as it does.",
    "trace": "Predict, hop by hop, what Linux does with a packet.",
    "draw": "Draw a network, or the path of a packet and the place where it ends.",
    "reach": "Predict who reaches what, as exact sets of addresses.",
    "diff": "Compare two networks: what is newly reachable or lost, and the commands between them.",
    "validate": "Find out what a change does before anybody makes it.",
    "diagnose": "Run the checks of `subctl diagnose all`, and the one that is missing there.",
    "list": "List the scenarios and topologies that come with the lab.",
    "new": "Begin an incident of your own: a scenario and a topology that pass as they stand.",
    "import": "Turn a Mininet Topo class into a topology file.",
    "mininet": "Open Mininet's command line on a network.",
    "doctor": "Say what this machine lets a lab do, and how to get the rest.",
    "selftest": "Compare the model with this machine's kernel on random networks.",
    "schema": "Print the JSON Schema of a file format, for editors.",
    "completion": "Print the shell's completion script.",
}
"""Every command and what it does; its module `lab.cli.NAME` is imported when it is called."""


READER_HAS_GONE: Final = 141
"""What a shell sees of a program that SIGPIPE has ended."""


class Commands(click.Group):
    """Finds a command's module when the command is called, so that `lab --help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order they are shown."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command. UsageError, with the nearest name, when there is none."""
        if cmd_name not in COMMANDS:
            ctx.fail(f"there is no command {cmd_name!r}: {did_you_mean(cmd_name, list(COMMANDS), 'command')}")
        command: click.Command = import_module(f"lab.cli.{cmd_name}_command").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command, and write out what it said. click would end with 1, an expectation that fails, where the reader has gone."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say, not even at exit
            ctx.exit(READER_HAS_GONE)
        return code

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


EPILOG = """\b
Examples:
  sudo lab run calico-24-mismatch        the flagship: healthy, broken, fixed, compared
  lab check my-scenario.yaml             find mistakes without running anything
  sudo lab up calico-24-mismatch --phase broken --name incident
  sudo lab exec incident c1-w1-a -- ping -c 3 10.42.185.1
"""


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(message="%(version)s", version=None, package_name="routelab")
def cli() -> None:
    """Rebuild multi-cluster Kubernetes networks from Linux network namespaces, break them as production broke, see where and why
    every packet dies, and prove that a correction is the correction."""


BROKEN: Final = 70
"""Exit code of a mistake of the lab's own (EX_SOFTWARE of sysexits.h): it must not look like a verdict on the network."""


def run() -> None:
    """Run the command line; exits with the code of `lab.errors.ExitCode`."""
    # A command builds much and throws little away: looking for garbage, now and at the end, took a fifth of its time.
    gc.set_threshold(1_000_000)
    speak_plainly()
    atexit.register(gc.freeze)
    try:
        code = cli.main(prog_name="lab", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except LabError as error:
        _say(error)
        sys.exit(int(error.exit_code))
    except OSError as error:  # a full disk behind the output, say: nothing the network is to blame for
        _say(MachineError(f"lab: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", hint=_remedy(error)))
        sys.exit(int(ExitCode.MACHINE))
    except Exception:  # noqa: BLE001 - the last resort: see BROKEN
        traceback.print_exc()
        sys.exit(BROKEN)
    sys.exit(code if isinstance(code, int) else 0)


_REMEDIES: Final = {
    errno.EMFILE: "raise the number of files that a process may open: ulimit -n",
    errno.ENFILE: "raise the number of files that are open on this machine: the sysctl fs.file-max",
    errno.EAGAIN: "end labs that still run (lab ps), or raise the number of processes: ulimit -u, or the sysctl kernel.pid_max",
    errno.ENOMEM: "end labs that still run (lab ps), or give the machine more memory",
}
"""What to do where the machine has come to a limit."""


def _remedy(error: OSError) -> str | None:
    """Return what to do about what the kernel refused, None where the message says it all."""
    if error.errno == errno.ENOENT and str(error.filename).startswith("/proc/self/"):
        return "mount -t proc proc /proc"
    return _REMEDIES.get(error.errno or 0)


def _say(error: LabError) -> None:
    """Say what is wrong: in words, and to a machine that asked for JSON as JSON."""
    click.echo(str(error), err=True)
    if "--json" in sys.argv[1:]:
        print_json({"error": error_json(error) | {"exit_code": int(error.exit_code)}})
