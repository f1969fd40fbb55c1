"""What Azure Resource Manager lets a resource's body hold, and what is wrong with one.

A body is plain Python: dicts, lists, strings, numbers, booleans, None; `Unknown` where only a deployment knows the
value, `Either` where it will be one of several. Bicep and Terraform files are both read into that.
"""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TYPES = Path(__file__).parent / "types"

UNCHECKED = frozenset(
    {
        "Microsoft.Network/privateDnsZones@2024-06-01",
        "Microsoft.Network/privateDnsZones/A@2024-06-01",
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01",
    }
)
"""No definitions could be had for these: docs/deploy.md says so."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An expression."""

    text: str


@dataclass(frozen=True, slots=True)
class Either:
    """The two ends of a condition."""

    options: tuple[Any, ...]


@cache
def definition(resource: str) -> dict[str, Any] | None:
    """The vendored definition of `Namespace/type@version`, or None."""
    path = TYPES / f"{resource.replace('/', '_')}.json"
    return json.loads(path.read_text()) if path.exists() else None


def problems(resource: str, body: Any, given_elsewhere: frozenset[str] = frozenset()) -> Iterator[str]:
    """What is wrong with a body. `given_elsewhere`: top-level names that the language says beside the body."""
    if resource in UNCHECKED:
        return
    found = definition(resource)
    if found is None:
        yield f"{resource}: no definition; add it to vendor_types.py and run that"
        return
    yield from Body(found["objects"], given_elsewhere).object(found["body"], body, "", top=True)


@dataclass(frozen=True, slots=True)
class Body:
    """Compares one body with one definition."""

    objects: dict[str, Any]
    given_elsewhere: frozenset[str]

    def value(self, kind: Any, value: Any, path: str) -> Iterator[str]:
        """`kind` in the notation of vendor_types.py."""
        if isinstance(value, Either):
            for option in value.options:
                yield from self.value(kind, option, path)
        elif value is None or isinstance(value, Unknown) or kind == "any":
            return
        elif isinstance(kind, str):
            yield from _simple(kind, value, path)
        elif "oneOf" in kind:
            yield from _literal(kind, value, path)
        elif "array" in kind:
            yield from self.array(kind["array"], value, path)
        else:
            yield from self.object(kind["object"], value, path)

    def array(self, kind: Any, value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path}: a list is wanted, not {value!r}"
            return
        for index, item in enumerate(value):
            yield from self.value(kind, item, f"{path}[{index}]")

    def object(self, name: str, value: Any, path: str, top: bool = False) -> Iterator[str]:
        if not isinstance(value, dict):
            if not isinstance(value, Unknown):
                yield f"{path}: an object is wanted, not {value!r}"
            return
        described = self.objects[name]
        properties = dict(described["properties"])
        if "discriminator" in described:
            variant, complaint = self.variant(described, value, path)
            yield from complaint
            properties |= variant
        elsewhere = self.given_elsewhere if top else frozenset()
        for key, item in value.items():
            if not (isinstance(key, Unknown) or (key in elsewhere and key not in properties)):
                yield from self.property(described, properties, key, item, f"{path}.{key}".lstrip("."))
        for key, wanted in properties.items():
            if wanted.get("required") and key not in value and key not in elsewhere:
                yield f"{path or 'the body'}: {key} is missing"

    def variant(self, described: dict[str, Any], value: dict[Any, Any], path: str) -> tuple[dict[str, Any], list[str]]:
        """Properties that depend on one of them, such as `kind`."""
        field = described["discriminator"]
        chosen = value.get(field)
        if isinstance(chosen, str) and chosen in described["variants"]:
            return self.objects[described["variants"][chosen]]["properties"], []
        return {}, [f"{path}.{field}: one of {', '.join(described['variants'])} is wanted, not {chosen!r}"]

    def property(
        self, described: dict[str, Any], properties: dict[str, Any], key: str, item: Any, path: str
    ) -> Iterator[str]:
        if key in properties:
            if properties[key].get("readOnly"):
                yield f"{path}: only Azure writes this"
            else:
                yield from self.value(properties[key]["type"], item, path)
        elif "additional" in described:
            yield from self.value(described["additional"], item, path)
        else:
            close = difflib.get_close_matches(key, properties, 1)
            yield f"{path}: Azure knows no such property" + (f"; did you mean {close[0]}?" if close else "")


def _simple(kind: str, value: Any, path: str) -> Iterator[str]:
    wanted = {"string": str, "int": int, "bool": bool}[kind]
    if not isinstance(value, wanted) or (kind == "int" and isinstance(value, bool)):
        yield f"{path}: {kind} is wanted, not {value!r}"


def _literal(kind: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    """An open list grows without a new API version, so that a stranger is worth a look all the same."""
    if not isinstance(value, str):
        yield f"{path}: text is wanted, not {value!r}"
    elif kind["oneOf"] and value not in kind["oneOf"]:
        yield f"{path}: one of {', '.join(kind['oneOf'])} is wanted, not {value!r}"
