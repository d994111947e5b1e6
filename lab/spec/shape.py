"""What may stand where in a file: the types of a model, followed along a path of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from lab.spec.document import Path


def keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that may stand in the mapping at `path`."""
    return [key for kind in models_in(_at(model, path)) for key in members(kind)]


def choices_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the words that the value at `path` is limited to; none where it is not."""
    found: list[str] = []
    waiting = [_at(model, path)]
    while waiting:
        annotation = waiting.pop()
        if get_origin(annotation) is Literal:
            found.extend(str(choice) for choice in get_args(annotation))
        else:
            waiting.extend(option for option in get_args(annotation) if not models_in(option))
    return found


def models_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and every model that may stand somewhere in it, in the order in which a reader of a file meets them."""
    return list(dict.fromkeys(kind for _, annotation in _places(model, "", ()) for kind in models_in(annotation)))


def places_of(root: type[BaseModel], model: type[BaseModel]) -> list[str]:
    """Return where in a file a model stands, as people write it, the least deep first: ``clusters.NAME.nodes.NAME``."""
    return _sorted(where for where, annotation in _places(root, "", ()) if model in models_in(annotation))


def places_of_key(model: type[BaseModel], key: str) -> list[str]:
    """Return where in a file a key belongs, as people write it, the least deep first."""
    places = _places(model, "", ())
    return _sorted(where or "the file itself" for where, annotation in places for kind in models_in(annotation) if key in members(kind))


def _sorted(places: Iterable[str]) -> list[str]:
    return sorted(dict.fromkeys(places), key=lambda where: where.count("."))


def _places(annotation: Any, where: str, above: tuple[type[BaseModel], ...]) -> Iterator[tuple[str, Any]]:
    """Yield every place of a file with the type of what stands there, from a type on downwards."""
    yield where, annotation
    for option in options(annotation):
        for inner in parts_of(option):
            yield from _places(inner, f"{where}.NAME" if get_origin(option) is dict else f"{where}[]", above)
    for kind in models_in(annotation):
        if kind not in above:
            for key, inner in members(kind).items():
                yield from _places(inner, f"{where}.{key}".removeprefix("."), (*above, kind))


def _at(model: type[BaseModel], path: Path) -> Any:
    annotation: Any = model
    for part in path:
        annotation = _member(annotation, part)
    return annotation


def _member(annotation: Any, part: str | int) -> Any:
    for kind in models_in(annotation):
        if part in members(kind):
            return members(kind)[str(part)]
    for option in options(annotation):
        if get_origin(option) is dict:
            return get_args(option)[1]
        if get_origin(option) is tuple and isinstance(part, int):
            return get_args(option)[0]
    return None


def parts_of(annotation: Any) -> list[Any]:
    """Return the types of what a list or a mapping holds."""
    kinds = {dict: 1, tuple: 0}
    return [get_args(option)[kinds[get_origin(option)]] for option in options(annotation) if get_origin(option) in kinds]


def members(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys of a model, each with its type."""
    return {member.alias or name: member.annotation for name, member in model.model_fields.items()}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models among the branches of a union, or of a type alone."""
    return [option for option in options(annotation) if isinstance(option, type) and issubclass(option, BaseModel)]


def options(annotation: Any) -> list[Any]:
    """Return the branches of a union, or the type itself; what annotates a type is left out."""
    if get_origin(annotation) in (Union, UnionType):
        return [option for branch in get_args(annotation) for option in options(branch)]
    if hasattr(annotation, "__metadata__"):
        return options(get_args(annotation)[0])
    return [annotation]
