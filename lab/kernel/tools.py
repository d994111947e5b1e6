"""The programs the lab runs or recommends, and the packages they come in."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.errors import MachineError


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, its package in Debian and Ubuntu, and what a lab needs it for."""

    program: str
    package: str
    needed_for: str
    with_daemon: bool = False
    """Whether the package starts a daemon on the machine, so that only the program is taken out of it."""


TOOLS: Final = (
    Tool("ip", "iproute2", "looking at a node, and literal `ip` commands in scenarios"),
    Tool("nft", "nftables", "looking at a node's rule set, and literal `nft` commands in scenarios"),
    Tool("dnsmasq", "dnsmasq-base", "DNS servers in a lab"),
    Tool("tinyproxy", "tinyproxy-bin", "forward HTTP proxies in a lab"),
    Tool("bird", "bird2", "routing daemons in a lab; without it, what they would learn is programmed", with_daemon=True),
    Tool("ping", "iputils-ping", "looking for oneself in `lab shell`"),
    Tool("tcpdump", "tcpdump", "looking for oneself in `lab shell`"),
    Tool("dig", "bind9-dnsutils", "looking for oneself in `lab shell`"),
    Tool("curl", "curl", "looking for oneself in `lab shell`"),
    Tool("conntrack", "conntrack", "looking for oneself in `lab shell`"),
    Tool("traceroute", "traceroute", "looking for oneself in `lab shell`"),
)
"""`dnsmasq-base` and `tinyproxy-bin`, because the packages without a suffix start a daemon on the machine."""

_SYSTEM_DIRECTORIES: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")

_OWN_DIRECTORY: Final = str(Path(sys.prefix, "bin"))
"""Where `./dev` puts programs whose packages would start a daemon."""


def search_path() -> str:
    """PATH with the directories of system programs, which an ordinary user's often lacks, and the lab's own."""
    own = [directory for directory in os.environ.get("PATH", os.defpath).split(os.pathsep) if directory]
    return os.pathsep.join(dict.fromkeys((*own, *_SYSTEM_DIRECTORIES, _OWN_DIRECTORY)))


def find_tool(program: str) -> str:
    """The path of a program. Raises MachineError, naming the package, when it is not installed."""
    path = shutil.which(program, path=search_path())
    if path is None:
        raise MachineError(f"{program} is not installed", hint=remedy(program))
    return path


def is_missing(program: str) -> bool:
    """Whether a program is not installed."""
    return shutil.which(program, path=search_path()) is None


def remedy(program: str) -> str:
    """What to do when `program` is missing."""
    tool = next((tool for tool in TOOLS if tool.program == program), None)
    package = tool.package if tool is not None else None
    if tool is not None and tool.with_daemon:
        return f"./dev setup: it takes the program out of the package {package}, which would start a daemon"
    return f"sudo apt-get install --no-install-recommends {package}" if package else f"install the package that has {program}"
