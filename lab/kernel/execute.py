"""Running a program in a node of a lab that runs in the background, on this terminal (`lab exec`, `lab shell`).

    caller ── joiner ─┬─ program
                      └─ keeper

The *joiner* enters the lab's user and PID namespaces and forks: only its child is inside the PID namespace, and so dies with the lab. The
child enters the rest, so that nothing outside the lab keeps a network namespace or a mount of it alive. The program has the caller's
terminal itself: Ctrl-C, job control and the window's size work as they do anywhere. The *keeper* ends the program when the joiner is gone;
the kernel would, if it did not forget that wish of a program that changes its user, as tcpdump does (PR_SET_PDEATHSIG in prctl(2)).
"""

from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import signal
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, cast

from lab.errors import MachineError
from lab.kernel import mounts
from lab.kernel.guest import enter_as_guest, guest_environment
from lab.kernel.launch import complete_standard_descriptors, flush_standard_streams
from lab.kernel.messages import Raised
from lab.kernel.registry import connect
from lab.kernel.syscalls import Namespace, die_with_parent, set_host_name, setns, unshare
from lab.kernel.tools import search_path

_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
_KILLED: Final = 128
"""What a shell says for a program it may not run, does not find, and (plus the signal's number) that was killed (POSIX, 2.8.2)."""
_PROXIES: Final = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}


def exec_in(lab: str, node: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, guest: bool = False) -> int:
    """Run a program in a node and wait for it; its exit code, as a shell would give it (128 + signal for one that was killed).

    It has the node's network, its files in /etc, its host name and its variables, beside the caller's variables without those that name
    proxies, which are the caller's network's. A `guest` is shut in (`lab.kernel.guest`), in a lab that is furnished for guests. Raises
    InputError for an unknown lab or node and MachineError when the lab cannot be joined.
    """
    complete_standard_descriptors()
    flush_standard_streams()
    with connect(lab) as running, _terminal_kept():
        troubles, teller = os.pipe()
        caller = os.getpid()
        joiner = os.fork()
        if joiner == 0:
            os.close(troubles)
            _tell_and_exit(teller, lambda: _join(running.pidfd, caller, node, argv, dict(env or {}), teller, guest=guest))
        os.close(teller)
        _pass_on_signals(joiner)
        with os.fdopen(troubles, "rb") as pipe:
            trouble = pipe.read()
        _, status = os.waitpid(joiner, 0)
    if trouble:
        raise cast(Raised, pickle.loads(trouble)).exception()
    return _exit_code(status)


def shell_in(lab: str, node: str) -> int:
    """Run an interactive shell in a node, whose prompt is the node's name; its exit code. Raises as `exec_in`.

    What is typed is remembered in the lab, for its other shells, and not in the caller's home.
    """
    shell = ["bash", "--norc", "--noprofile"] if Path("/bin/bash").exists() else ["sh"]
    return exec_in(lab, node, shell, env={"PS1": f"{node}# ", "ENV": "", "HISTFILE": str(mounts.SCRATCH / "history")})


def _join(pidfd: int, caller: int, node: str, argv: Sequence[str], env: Mapping[str, str], teller: int, *, guest: bool) -> None:
    """The joiner's life: enter the lab's PID namespace, start the program there, wait for it, and end as it ended."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is the program's; this process waits for what the program makes of it
    _enter_pid_namespace(pidfd)
    die_with_parent()
    if os.getppid() != caller:
        return
    program = os.fork()
    if program == 0:
        _tell_and_exit(teller, lambda: _become(pidfd, node, argv, env, teller, guest=guest))
    os.close(teller)
    lifeline = _keep(program)
    _pass_on_signals(program)
    _, status = os.waitpid(program, 0)
    os.close(lifeline)
    os._exit(_exit_code(status))


def _keep(program: int) -> int:
    """Let a process kill the program when what is returned is closed, which the kernel does for a joiner that was killed."""
    watched, lifeline = os.pipe()
    descriptor = os.pidfd_open(program)
    if os.fork() == 0:
        try:
            os.dup2(watched, 0)
            os.dup2(descriptor, 1)
            os.closerange(2, resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # nobody waits for the end of an output in vain
            os.read(0, 1)
            signal.pidfd_send_signal(1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.close(watched)
    os.close(descriptor)
    return lifeline


def _pass_on_signals(pid: int) -> None:
    """Let the program end as it was asked to, and save what it has: whoever ends `lab exec` means the program in it.

    Ctrl-C at a terminal reaches the program by itself; where there is none, an interrupt was sent to us alone.
    """

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in (signal.SIGTERM, signal.SIGHUP) if os.isatty(0) else (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, pass_on)


def _enter_pid_namespace(pidfd: int) -> None:
    """Let the next child be a process of the lab."""
    try:
        try:
            setns(pidfd, Namespace.USER | Namespace.PID)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            setns(pidfd, Namespace.PID)  # the lab has no user namespace of its own, and nobody can enter the one he is in (setns(2))
    except OSError as error:
        raise MachineError(f"the lab cannot be joined: {error.strerror}", hint="has it ended, or was it started with sudo?") from error


def _become(pidfd: int, node: str, argv: Sequence[str], env: Mapping[str, str], teller: int, *, guest: bool) -> NoReturn:
    """Turn into the program, inside the node; for a guest, into whoever waits for it."""
    die_with_parent()
    try:
        directory = Path.cwd()
    except FileNotFoundError:  # it was removed meanwhile
        directory = Path("/")
    try:
        setns(pidfd, Namespace.MOUNT | Namespace.IPC | Namespace.UTS)
        namespace = mounts.open_namespace(node)
        mounts.view_as(node, namespace)
        own = mounts.read_environment(node)
        unshare(Namespace.UTS)
        set_host_name(node[:64])
        if guest:
            _wait_for_child(teller)
            enter_as_guest()
    except OSError as error:
        raise MachineError(f"the node cannot be entered: {error}", hint="has the lab ended meanwhile?") from error
    if not guest:
        with suppress(OSError):  # the lab's / it is, then
            os.chdir(directory)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if guest:
        variables = guest_environment(os.environ, {**own, **env})
    else:
        variables = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
        variables |= {"PATH": search_path(), **own, **env}
    path = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=variables["PATH"])
    if path is None:
        _give_up(_NOT_FOUND, f"{argv[0]}: not found")
    try:
        os.execve(path, list(argv), variables)
    except OSError as error:
        _give_up(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE, f"{argv[0]}: {error.strerror}")


def _wait_for_child(teller: int) -> None:
    """Go on as the first process of a new PID namespace, while the calling process waits for it and ends as it ends."""
    unshare(Namespace.PID)
    child = os.fork()
    if child == 0:
        die_with_parent()
        return
    os.close(teller)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _pass_on_signals(child)
    _, status = os.waitpid(child, 0)
    os._exit(_exit_code(status))


def _give_up(code: int, why: str) -> NoReturn:
    os.write(2, os.fsencode(f"{why}\n"))
    os._exit(code)


def _tell_and_exit(teller: int, body: Callable[[], None]) -> NoReturn:
    """Run the rest of a forked process; what it raises is the caller's to raise."""
    try:
        body()
    except BaseException as error:  # noqa: BLE001 - the end of this process
        os.write(teller, pickle.dumps(Raised.of(error)))
    finally:
        os._exit(1)


def _exit_code(status: int) -> int:
    """The exit code a shell would give for this wait status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _KILLED - code


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Leave Ctrl-C to the program, and give the terminal back as it was, to whom it was, also after a program that was killed."""
    passed_over = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    passed_over |= {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    settings = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        yield
    finally:
        if settings is not None:
            _take_terminal_back(settings)
        for number, handler in passed_over.items():
            signal.signal(number, handler)


def _take_terminal_back(settings: list[int | list[bytes | int]]) -> None:
    """Be in the foreground of the terminal again, with these settings, unless others are there: we may run in the background."""
    with suppress(OSError, termios.error):  # the terminal was closed meanwhile
        foreground = os.tcgetpgrp(0)
        if foreground != os.getpgrp() and _is_alive(foreground):
            return
        background = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a shell that was killed leaves us in the background
        os.tcsetpgrp(0, os.getpgrp())
        termios.tcsetattr(0, termios.TCSADRAIN, settings)
        signal.signal(signal.SIGTTOU, background)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
