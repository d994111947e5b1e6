"""A run to be played again: the files it was made from, how it was called, and the report it gave, in one ZIP file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from lab.errors import InputError, quoted
from lab.report.model import Report
from lab.report.sources import Sources
from lab.spec import Play, open_scenarios
from lab.spec.yaml import MAX_BYTES

FORMAT: Final = "lab-run"
VERSION: Final = 1
ABOUT: Final = "run.json"
REPORT: Final = "report.json"
_MOST: Final = 64 * MAX_BYTES
"""Bytes of a report that are read."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""When all of it was made, as far as the archive says: the same content is the same bytes."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A run that was recorded."""

    scenario: str
    """The name of the scenario file in it."""
    topology: str
    variant: str | None
    """Of a scenario file with variants, which one was played."""
    bpf: bool
    """Whether BPF was allowed to be the witness."""
    files: Mapping[str, bytes]
    report: Mapping[str, Any]
    """What it gave, as JSON values."""


def bundle_of(report: Report, sources: Sources, variant: str | None, *, bpf: bool) -> bytes:
    """Return a run as a bundle."""
    names = {written.role: written.name for written in sources.files.values()}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "scenario": names["scenario"],
        "topology": names["topology"],
        "variant": variant,
        "bpf": bpf,
    }
    content = {ABOUT: (json.dumps(about, indent=2) + "\n").encode(), REPORT: report.model_dump_json().encode()}
    content |= {f"files/{written.name}": written.content for written in sources.files.values()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def read_bundle(path: Path) -> Bundle:
    """Read a bundle, or that of a folder with a report. Raises InputError for what is none."""
    file = path / "run.zip" if path.is_dir() else path
    try:
        with zipfile.ZipFile(file) as archive:
            about = json.loads(_member(archive, ABOUT, MAX_BYTES))
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                raise _no_bundle(file)
            if about.get("version") != VERSION:
                raise InputError(f"this bundle is of version {about.get('version')!r}; version {VERSION} is understood")
            names = str(about["scenario"]), str(about["topology"])
            if any(Path(name).name != name or name == ".." for name in names):
                raise _no_bundle(file)
            files = {name: _member(archive, f"files/{name}", MAX_BYTES) for name in names}
            report = json.loads(_member(archive, REPORT, _MOST))
            variant = about.get("variant")
            return Bundle(*names, None if variant is None else str(variant), bool(about.get("bpf", True)), files, report)
    except OSError as error:
        raise InputError(f"{quoted(str(file))} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError):
        raise _no_bundle(file) from None


def _no_bundle(file: Path) -> InputError:
    return InputError(f"{quoted(str(file))} is no run bundle", hint="`lab run FILE --report DIR` leaves one, DIR/run.zip")


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with archive.open(name) as member:
        data = member.read(most + 1)
    if len(data) > most:
        raise ValueError(name)
    return data


@contextmanager
def unpacked(bundle: Bundle) -> Iterator[Play]:
    """Unpack a bundle for as long as the block lasts, and open its scenario. Raises InputError."""
    with TemporaryDirectory(prefix="lab-replay-") as folder:
        for name, data in bundle.files.items():
            (Path(folder) / name).write_bytes(data)
        called = str(Path(folder) / bundle.scenario) + (f"#{bundle.variant}" if bundle.variant else "")
        yield next(iter(open_scenarios(called, Path(folder) / bundle.topology).values()))
