"""A judge of documents by the part of JSON Schema that ours uses. Stricter: what it does not name is wrong."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

SCHEMA: dict[str, Any] = json.loads(files("lb.admin").joinpath("status.schema.json").read_text())
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = {
    "$schema", "$defs", "$ref", "title", "description", "type", "const", "enum", "required", "properties", "items",
    "additionalProperties", "minimum", "maximum", "minItems", "maxItems",
}  # fmt: skip


def problems(value: Any, schema: dict[str, Any] = SCHEMA, path: str = "") -> Iterator[str]:
    """What is wrong, with where it stands."""
    assert set(schema) <= KNOWN
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "type" in schema and not any(is_of(value, kind) for kind in _listed(schema["type"])):
        yield f"{path}: {value!r} is not {schema['type']}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        yield from _in_object(value, schema, path)
    elif isinstance(value, list):
        yield from _in_array(value, schema, path)
    elif isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path}: {value!r} is out of bounds"


def _in_object(value: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}/{name} is missing"
    for name, item in value.items():
        if name in properties or others is not None:
            yield from problems(item, properties.get(name, others), f"{path}/{name}")
        else:
            yield f"{path}/{name} is not in the schema"


def _in_array(value: list[Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{path} has {len(value)} items"
    for number, item in enumerate(value):
        yield from problems(item, schema["items"], f"{path}/{number}")


def is_of(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        return isinstance(value, int | (float if kind == "number" else int)) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def _listed(kinds: str | list[str]) -> list[str]:
    return kinds if isinstance(kinds, list) else [kinds]
