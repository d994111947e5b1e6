"""Find the files that come with the lab, from an installed wheel or from a source tree."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lab.errors import InputError, did_you_mean, quoted

Kind = Literal["topologies", "scenarios", "lessons"]
KINDS: tuple[Kind, ...] = ("scenarios", "topologies", "lessons")
_SINGULAR = {"topologies": "topology", "scenarios": "scenario", "lessons": "lesson"}
LESSON = ".md"
_ENDINGS = {"topologies": ".yaml", "scenarios": ".yaml", "lessons": LESSON}
_SOURCES = {"topologies": "topologies", "scenarios": "scenarios", "lessons": "docs/lessons"}
_PACKAGE = Path(__file__).resolve().parent.parent


def folder(kind: Kind) -> Path:
    """Return the folder of the shipped files of a kind."""
    installed = _PACKAGE / "_shipped" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / _SOURCES[kind]


def names(kind: Kind) -> list[str]:
    """Return the names of the shipped files of a kind, without their ending."""
    return sorted(path.stem for path in folder(kind).glob(f"*{_ENDINGS[kind]}"))


def find(name: str, *kinds: Kind, beside: Path | None = None) -> Path:
    """Return the file that `name` means: a path (relative to the folder `beside`), or the name of a shipped file of these kinds.

    Raises InputError with the nearest shipped name when it means neither.
    """
    given = Path(name) if beside is None else beside / name
    shipped = {known: kind for kind in kinds for known in names(kind)}
    try:
        if name in shipped and not given.is_file():
            return _from_here(folder(shipped[name]) / f"{name}{_ENDINGS[shipped[name]]}")
        given.stat()
    except FileNotFoundError:
        what = " or ".join(_SINGULAR[kind] for kind in kinds)
        other = next((kind for kind in KINDS if kind not in kinds and name in names(kind)), None)
        if other is not None:
            raise InputError(f"{name!r} is a {_SINGULAR[other]}, and a {what} is needed here") from None
        ending = next(
            (ending for ending in dict.fromkeys(map(_ENDINGS.get, kinds)) if given.with_name(f"{given.name}{ending}").is_file()), None
        )
        hint = f"did you mean {f'{name}{ending}'!r}?" if ending is not None else did_you_mean(name, list(shipped), "name")
        raise InputError(f"there is no file {quoted(name)}, and no shipped {what} of that name", hint=hint) from None
    except OSError as error:
        raise InputError(f"{quoted(name)} cannot be reached: {error.strerror}") from None
    except ValueError:  # a NUL within
        raise InputError(f"{quoted(name)} is no file name") from None
    return given


def _from_here(path: Path) -> Path:
    """Return a path as short as it can be written in this folder: messages show it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):  # it is elsewhere, or this folder was removed
        return path
