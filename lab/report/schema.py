"""The schema of report.json, and what of two reports may differ by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.report.model import VARIES, Report
from lab.spec.schema import Schema, model_schema

APART = ("machine", "files")
"""What says where a report comes from; that two runs are compared at all is because it may differ."""


def report_schema() -> Schema:
    """Return the JSON Schema of a report; what may differ between two runs of the same is marked with ``varies``."""
    return model_schema(Report, "lab report")


@dataclass(frozen=True, slots=True)
class Differing:
    """A place of two reports where they say different things."""

    path: str
    """``phases[0].title``."""
    first: object
    second: object


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Differing, ...]:
    """Return where two reports, as JSON values, differ that should be the same."""
    schema = report_schema()
    kept = {key: value for key, value in schema["properties"].items() if key not in APART}
    return tuple(_differences(first, second, {**schema, "properties": kept}, schema, ""))


def _differences(first: Any, second: Any, schema: Schema, root: Schema, path: str) -> Iterator[Differing]:
    schema = _resolved(schema, root)
    if schema.get(VARIES):
        return
    properties = schema.get("properties")
    if isinstance(first, dict) and isinstance(second, dict) and properties is not None:
        for key, inner in properties.items():
            yield from _differences(first.get(key), second.get(key), inner, root, f"{path}.{key}".removeprefix("."))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, pair in enumerate(zip(first, second, strict=True)):
            yield from _differences(*pair, schema.get("items", {}), root, f"{path}[{number}]")
    elif first != second:
        yield Differing(path, first, second)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Return what a reference, alone or beside null, leads to."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        return {**schema, **_resolved(options[0], root)}
    if "$ref" in schema:
        return {**root["$defs"][schema["$ref"].removeprefix("#/$defs/")], **schema}
    return schema
