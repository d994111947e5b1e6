"""As much of JSON Schema (draft 2020-12) as the schemas of the file formats use, and nothing else: an unknown keyword is an error."""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]
NO_RULES = {"$schema", "$defs", "title", "description", "default", "examples", "patternErrorMessage", "varies"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def valid(value: Any, schema: Schema, root: Schema) -> bool:
    """Whether a value keeps to a schema that is part of `root`."""
    return all(_keeps_to(value, keyword, rule, schema, root) for keyword, rule in schema.items() if keyword not in NO_RULES)


def _keeps_to(value: Any, keyword: str, rule: Any, schema: Schema, root: Schema) -> bool:
    match keyword:
        case "$ref":
            return valid(value, root["$defs"][rule.removeprefix("#/$defs/")], root)
        case "type":
            return any(_is(value, name) for name in (rule if isinstance(rule, list) else [rule]))
        case "enum":
            return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in rule)
        case "const":
            return bool(value == rule)
        case "anyOf":
            return any(valid(value, option, root) for option in rule)
        case "oneOf":
            return sum(valid(value, option, root) for option in rule) == 1
        case "minimum" | "maximum":
            return not _is(value, "number") or (value >= rule if keyword == "minimum" else value <= rule)
        case "pattern":
            return not isinstance(value, str) or re.search(rule.replace("$", r"\Z"), value) is not None
        case "minLength" | "maxLength":
            return not isinstance(value, str) or (len(value) >= rule if keyword == "minLength" else len(value) <= rule)
        case "minItems" | "maxItems":
            return not isinstance(value, list) or (len(value) >= rule if keyword == "minItems" else len(value) <= rule)
        case "items":
            return not isinstance(value, list) or all(valid(item, rule, root) for item in value)
        case "prefixItems":
            return not isinstance(value, list) or all(valid(item, part, root) for item, part in zip(value, rule, strict=False))
        case "minProperties":
            return not isinstance(value, dict) or len(value) >= rule
        case "required":
            return not isinstance(value, dict) or set(rule) <= set(value)
        case "propertyNames":
            return not isinstance(value, dict) or all(valid(key, rule, root) for key in value)
        case "properties":
            return not isinstance(value, dict) or all(valid(value[key], part, root) for key, part in rule.items() if key in value)
        case "additionalProperties":
            others = [item for key, item in value.items() if key not in schema.get("properties", {})] if isinstance(value, dict) else []
            return all(valid(item, rule, root) for item in others) if isinstance(rule, dict) else rule or not others
    raise NotImplementedError(keyword)


def _is(value: Any, name: str) -> bool:
    if name == "boolean":
        return isinstance(value, bool)
    return isinstance(value, TYPES[name]) and not isinstance(value, bool)
