"""libnftables in this process: rule sets in and out as JSON, each batch of commands one transaction (libnftables(3), libnftables-json(5)).

A context belongs to the network namespace in which it was opened, and commands are run in that namespace too: names of interfaces are
looked up where the thread is.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from lab.errors import InputError, MachineError

_LIBRARY: Final = "libnftables.so.1"
_OUTPUT_JSON: Final = 1 << 4
_LOCATION: Final = re.compile(r"^internal:\d+:\d+(?:-\d+)?: ", re.MULTILINE)

Command = dict[str, Any]
"""One command, as {"add": {"table": {...}}}."""


class NftRefusal(InputError):
    """nft or the kernel refuses a rule set."""


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise MachineError(
            f"{_LIBRARY} is not there: {error}", hint="install the package libnftables1 (apt-get install libnftables1)"
        ) from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    for name, arguments, result in (
        ("nft_ctx_free", (ctypes.c_void_p,), None),
        ("nft_ctx_set_dry_run", (ctypes.c_void_p, ctypes.c_bool), None),
        ("nft_ctx_output_set_flags", (ctypes.c_void_p, ctypes.c_uint), None),
        ("nft_ctx_buffer_output", (ctypes.c_void_p,), ctypes.c_int),
        ("nft_ctx_buffer_error", (ctypes.c_void_p,), ctypes.c_int),
        ("nft_ctx_get_output_buffer", (ctypes.c_void_p,), ctypes.c_char_p),
        ("nft_ctx_get_error_buffer", (ctypes.c_void_p,), ctypes.c_char_p),
        ("nft_run_cmd_from_buffer", (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_int),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


class Nftables:
    """An nft context of one network namespace. Opened, used and closed by a thread that is in it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._context: int | None = None

    def list_ruleset(self) -> dict[str, Any]:
        """The rule set as `nft -j list ruleset` gives it, with handles and counters."""
        status, output, errors = self._run('{"nftables": [{"list": {"ruleset": null}}]}', as_json=True)
        if status != 0:
            raise MachineError(
                f"{self.namespace}: nft cannot list the rule set: {errors}", hint="the kernel needs nf_tables (CONFIG_NF_TABLES)"
            )
        document: dict[str, Any] = json.loads(output) if output else {"nftables": []}
        return document

    def list_text(self) -> str:
        """The rule set as `nft list ruleset` prints it, which says more than nft 1.0.6 does as JSON: on which devices a chain is."""
        return self._run("list ruleset", as_json=False)[1]

    def list_sets(self) -> str:
        """Sets and maps of all tables, as `nft list sets` and `nft list maps` print them, which is quick."""
        return "".join(self._run(f"list {kind}", as_json=False)[1] for kind in ("sets", "maps"))

    def run(self, commands: Sequence[Command]) -> None:
        """Run commands as one transaction. Raises NftRefusal, naming the first command that cannot be done; nothing is done then."""
        if not commands:
            return
        status, _, errors = self._run(_document(commands), as_json=True)
        if status != 0:
            culprit = self._culprit(commands)
            raise NftRefusal(f"{self.namespace}: nft refuses the rule set: {errors}", hint=f"it stops at: {json.dumps(culprit)}")

    def run_text(self, text: str) -> None:
        """Run commands in the language of nft(8) as one transaction. Raises NftRefusal; nothing is done then."""
        status, _, errors = self._run(text, as_json=False)
        if status != 0:
            raise NftRefusal(f"{self.namespace}: nft refuses the rule set: {errors}")

    def close(self) -> None:
        """Let go of the context."""
        if self._context is not None:
            _library().nft_ctx_free(self._context)
            self._context = None

    def _culprit(self, commands: Sequence[Command]) -> Command:
        """The first command without which the ones before it would do; found by halving, in dry runs."""
        library = _library()
        library.nft_ctx_set_dry_run(self._context, True)
        try:
            good, bad = 0, len(commands)
            while bad - good > 1:
                middle = (good + bad) // 2
                if self._run(_document(commands[:middle]), as_json=True)[0] == 0:
                    good = middle
                else:
                    bad = middle
        finally:
            library.nft_ctx_set_dry_run(self._context, False)
        return commands[bad - 1]

    def _run(self, text: str, *, as_json: bool) -> tuple[int, str, str]:
        """Run commands; returns status, output and what went wrong."""
        library = _library()
        if self._context is None:
            self._context = library.nft_ctx_new(0)
            if not self._context:
                raise MachineError("libnftables opens no context", hint="the kernel needs nf_tables (CONFIG_NF_TABLES)")
            library.nft_ctx_buffer_output(self._context)
            library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, _OUTPUT_JSON if as_json else 0)
        status = library.nft_run_cmd_from_buffer(self._context, text.encode())
        output = library.nft_ctx_get_output_buffer(self._context) or b""
        errors = library.nft_ctx_get_error_buffer(self._context) or b""
        return status, output.decode(errors="replace"), _readable(errors.decode(errors="replace"))


def _document(commands: Sequence[Command]) -> str:
    return json.dumps({"nftables": list(commands)})


def _readable(errors: str) -> str:
    """nft's message without the place in a buffer nobody has seen and without the marks under it."""
    lines = (line for line in _LOCATION.sub("", errors).splitlines() if line.strip() and set(line.strip()) - set("^~"))
    return "; ".join(line.strip().removeprefix("Error: ") for line in lines) or "no reason given"
