"""Write docs/schema and docs/reference from what the code says about the file formats: `python scripts/reference.py`.

The texts are the docstrings of `lab.spec`; the examples are what docs/reference/example-*.yaml say, which have every key once at least.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lab.report.schema import report_schema
from lab.spec import json_schema
from lab.spec.addresses import OF_ADDRESSES
from lab.spec.document import Node
from lab.spec.lesson import Lesson
from lab.spec.lesson_file import head_of
from lab.spec.load import FORMATS, read_document
from lab.spec.patterns import PATTERNS
from lab.spec.schema import description, descriptions
from lab.spec.shape import members, models_in, models_of, parts_of, places_of
from lab.spec.values import Model, OneOf

DOCS = Path(__file__).parents[1] / "docs"
WORDS = {f"expected {words.long}": words for words in (*PATTERNS.values(), *OF_ADDRESSES)}
LONGEST_EXAMPLE = 70
INTRODUCTIONS = {
    "topology": "What the network and its clusters are, before anything happens to them.",
    "scenario": "What happens to a topology, and what must be seen.",
    "lesson": "The head of a lesson file, which stands between two lines `---`; below it stands the text for the learner, in Markdown.",
    "change": "What somebody is about to change, for `lab validate`.",
    "intents": "What must be true of a network after a change, for `lab validate`.",
}


def main() -> None:
    """Write every file."""
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def documents() -> dict[Path, str]:
    """Return every generated file."""
    schemas = {DOCS / "schema" / f"{kind}.schema.json": json.dumps(json_schema(kind), indent=2) + "\n" for kind in FORMATS}
    schemas[DOCS / "schema" / "report.schema.json"] = json.dumps(report_schema(), indent=2) + "\n"
    return schemas | {DOCS / "reference" / f"{kind}.md": reference(kind) for kind in FORMATS}


def example_file(kind: str) -> Path:
    """Return the example that has every key of a format."""
    return DOCS / "reference" / f"example-{kind}{'.md' if kind == 'lesson' else '.yaml'}"


def sections_of(kind: str) -> list[type[BaseModel]]:
    """Return the models that the reference of a format explains: a lesson shares events, changes and expectations with scenarios."""
    every = models_of(FORMATS[kind])
    return [model for model in every if model.__module__ == Lesson.__module__] if kind == "lesson" else every


# ------------------------------------------------------------------------------------------------------------- examples


def examples(kind: str) -> dict[type[BaseModel], list[Node]]:
    """Return what the example of a format has for each model."""
    found: dict[type[BaseModel], list[Node]] = {}
    file = example_file(kind)
    document = head_of(file.read_bytes(), str(file)) if kind == "lesson" else read_document(file)
    for model, node in _instances(FORMATS[kind], document.root):
        found.setdefault(model, []).append(node)
    return found


def _instances(annotation: Any, node: Node) -> Iterator[tuple[type[BaseModel], Node]]:
    if isinstance(node.content, tuple):
        for inner in parts_of(annotation):
            for item in node.content:
                yield from _instances(inner, item)
    elif isinstance(node.content, Mapping):
        for model in models_in(annotation):
            yield model, node
            for key, inner in members(model).items():
                if key in node.content:
                    yield from _instances(inner, node.content[key])
        for inner in parts_of(annotation):
            for item in node.content.values():
                yield from _instances(inner, item)


def flow(value: object) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z./_]([-\w./+@:?*]*[-\w./+@?*])?|[\d.]+\.[\d.]+\.\d+(/\d+)?", value, re.ASCII)
        return value if plain and value not in ("true", "false", "null") else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


# ------------------------------------------------------------------------------------------------------------ reference


def reference(kind: str) -> str:
    """Return the reference of a format in Markdown."""
    schema = json_schema(kind)
    shown = examples(kind)
    sections = [_section(kind, model, schema, _of_its_kind(model, shown)) for model in sections_of(kind)]
    return "\n".join(
        [
            f"# The {kind} file",
            "",
            f"{INTRODUCTIONS[kind]} An editor that heeds the first line of the shipped files completes and explains all of this;",
            "`lab check FILE` says what is wrong with a file, and where.",
            f"[{example_file(kind).name}]({example_file(kind).name}) has every key once at least; the examples below come from it.",
            "",
            "This page is made from the code by `scripts/reference.py`.",
            "",
            *_contents(kind),
            *sections,
            *_words(schema),
        ]
    )


def _of_its_kind(model: type[BaseModel], shown: dict[type[BaseModel], list[Node]]) -> list[Node]:
    """Return what the example has for a model, and then for those that have keys from the same base."""
    bases = {base for base in model.__mro__ if issubclass(base, Model)} - {Model, OneOf}
    related = (nodes for other, nodes in shown.items() if other is not model and bases & set(other.__mro__))
    return [*shown.get(model, []), *(node for nodes in related for node in nodes)]


def _contents(kind: str) -> list[str]:
    headings = [_heading(kind, model) for model in sections_of(kind)]
    return [f"- [{heading}](#{_anchor(heading)})" for heading in headings] + [f"- [{_KINDS}](#{_anchor(_KINDS)})", ""]


_KINDS = "Kinds of values"


def _heading(kind: str, model: type[BaseModel]) -> str:
    place = places_of(FORMATS[kind], model)[0]
    return f"`{place}`" if place else "The file itself"


def _anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _section(kind: str, model: type[BaseModel], schema: dict[str, Any], nodes: list[Node]) -> str:
    part = schema if model is FORMATS[kind] else schema["$defs"][model.__name__]
    texts = descriptions(model)
    others = places_of(FORMATS[kind], model)[1:]
    also = [f"The same in {' and '.join(f'`{place}`' for place in others)}.", ""] if 0 < len(others) < 3 else []
    lines = [
        f"## {_heading(kind, model)}",
        "",
        description(model),
        "",
        *also,
        "| key | type | default | meaning | example |",
        "|---|---|---|---|---|",
    ]
    for key in members(model):
        value = part["properties"][key]
        default = _default(key, part, model)
        text = texts[key].replace("\n\n", " ").replace("|", "\\|")
        lines.append(f"| `{key}` | {_type(kind, value)} | {default} | {text} | {_example(key, nodes, value)} |")
    return "\n".join([*lines, ""])


def _default(key: str, part: dict[str, Any], model: type[BaseModel]) -> str:
    if key in part.get("required", ()):
        return "*required*"
    if "default" not in part["properties"][key] or issubclass(model, OneOf):
        return ""
    return f"`{flow(part['properties'][key]['default'])}`"


def _example(key: str, nodes: list[Node], value: dict[str, Any]) -> str:
    if "$ref" in json.dumps(value) and "items" not in value:
        return ""
    for node in nodes:
        inner = node.member(key)
        if inner is not None:
            text = flow(inner.plain()).strip()
            return f"`{text}`".replace("|", "\\|") if len(text) <= LONGEST_EXAMPLE else ""
    return ""


def _type(kind: str, value: dict[str, Any]) -> str:
    if "$ref" in value:
        return _link(kind, value["$ref"])
    if "anyOf" in value:
        return " or ".join(_type(kind, option) for option in value["anyOf"] if option != {"type": "null"})
    if "enum" in value:
        return ", ".join(f"`{flow(choice)}`" for choice in value["enum"] if choice is not None)
    if "const" in value:
        return f"`{flow(value['const'])}`"
    name = value["type"][0] if isinstance(value.get("type"), list) else value.get("type")
    if name == "array":
        return f"list of {_type(kind, value['items'])}" if "items" in value else f"list of two {_type(kind, value['prefixItems'][0])}s"
    if name == "object":
        values = value.get("additionalProperties")
        return f"mapping of {_type(kind, values)}" if isinstance(values, dict) else "mapping"
    if name == "integer":
        return _number(value)
    if name == "string":
        words = WORDS.get(value.get("patternErrorMessage", ""))
        return words.short if words else "text"
    return {"boolean": "`true`, `false`"}.get(str(name), "anything")


def _number(value: dict[str, Any]) -> str:
    if "minimum" not in value:
        return "number"
    return f"number, {value['minimum']} to {value['maximum']}"


def _link(kind: str, reference_to: str) -> str:
    name = reference_to.rpartition("/")[2]
    (model,) = (model for model in models_of(FORMATS[kind]) if model.__name__ == name)
    where = kind if model in sections_of(kind) else "scenario"
    heading = _heading(where, model)
    return f"[{heading}]({'' if where == kind else f'{where}.md'}#{_anchor(heading)})"


def _words(schema: dict[str, Any]) -> list[str]:
    """Say what the words for kinds of texts mean, those that this format has."""
    used = {words for message, words in WORDS.items() if message in json.dumps(schema)}
    rows = [f"| {words.short} | {words.long.replace('|', chr(92) + '|')} |" for words in WORDS.values() if words in used]
    more = [
        "| text | any text, of several lines where that is useful |",
        "| null | nothing: the key as if it were not there, unless its text says otherwise |",
    ]
    return [f"## {_KINDS}", "", "| | |", "|---|---|", *rows, *more, ""]


if __name__ == "__main__":
    main()
