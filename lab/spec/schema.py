"""JSON Schema (draft 2020-12) of the file formats, so that editors complete, explain and validate.

pydantic makes the schema; what it does not know is added here: the descriptions, which are the docstrings of the models' attributes
(read from the source when a schema is asked for, since a check needs none of them), and words for the patterns.
"""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from lab.spec.load import FORMATS
from lab.spec.patterns import PATTERNS
from lab.spec.shape import models_of

Schema = dict[str, Any]


def json_schema(kind: str) -> Schema:
    """Return the JSON Schema of a file format (a key of FORMATS)."""
    return model_schema(FORMATS[kind], f"lab {kind} file")


def model_schema(model: type[BaseModel], title: str) -> Schema:
    """Return the JSON Schema of files that hold a model."""
    schema: Schema = model.model_json_schema(by_alias=True)
    parts: Schema = {**schema.pop("$defs"), model.__name__: schema}
    for part in models_of(model):
        _describe(parts[part.__name__], part)
    definitions = {name: _tidy(part) for name, part in sorted(parts.items()) if name != model.__name__}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_tidy(schema),
        "title": title,
        "$defs": definitions,
    }


def description(model: type[BaseModel]) -> str:
    """Return what a model is, in Markdown."""
    return _markdown(inspect.getdoc(model) or "")


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return what each key of a model means, in Markdown: the docstring below its attribute, or below the one it inherits."""
    texts: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind.__module__.startswith("lab."):
            texts |= _attribute_docstrings(kind)
    return {field.alias or name: texts[name] for name, field in model.model_fields.items()}


def _attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    source = ast.parse(inspect.getsource(sys.modules[model.__module__]))
    (body,) = (node.body for node in source.body if isinstance(node, ast.ClassDef) and node.name == model.__name__)
    return {
        above.target.id: _markdown(inspect.cleandoc(below.value.value))
        for above, below in pairwise(body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _markdown(docstring: str) -> str:
    """Return a docstring with one line for each paragraph, and code as Markdown writes it."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))
    return "\n\n".join(paragraphs).replace("``", "`")


def _describe(schema: Schema, model: type[BaseModel]) -> None:
    schema["description"] = description(model)
    for key, text in descriptions(model).items():
        schema["properties"][key]["description"] = text


def _tidy(schema: Any) -> Any:
    """Return a schema without pydantic's titles and empty defaults, with null as a type, and with words for its patterns."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {key: _tidy(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if tidy.get("default", ...) is None:
        del tidy["default"]
    if tidy.get("pattern") in PATTERNS:
        tidy["patternErrorMessage"] = f"expected {PATTERNS[tidy['pattern']].long}"
    if "patternProperties" in tidy:
        ((pattern, values),) = tidy.pop("patternProperties").items()
        tidy["propertyNames"] = {"pattern": pattern, **tidy.get("propertyNames", {})}
        tidy["additionalProperties"] = values
    options = tidy.get("anyOf", [])
    if len(options) == 2 and options[1] == {"type": "null"} and "type" in options[0]:
        del tidy["anyOf"]
        tidy = {**options[0], **tidy, "type": [options[0]["type"], "null"]}
        if "enum" in tidy:
            tidy["enum"] = [*tidy["enum"], None]
    return tidy
