"""What is wrong with the Bicep files, in lines that name file, place and cause.

Not a compiler: types of expressions are not inferred, and nothing is asked of Azure.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import armtypes
from .bicep import Document, Mention, Module, Resource, read

FUNCTIONS = frozenset(
    """any array bool cidrSubnet concat contains coalesce deployer deployment empty endsWith environment filter first
    flatten format guid indexOf int intersection items join json last length loadJsonContent loadTextContent
    loadYamlContent map max min objectKeys padLeft range reduce replace resourceGroup resourceId skip sort split
    startsWith string subscription subscriptionResourceId substring take tenant toLower toObject toUpper trim union
    uniqueString uri""".split()
)
"""Functions that Bicep has and these files may want. A name that is not here is a typo or is missing here."""

DECORATORS = frozenset("allowed batchSize description maxLength maxValue metadata minLength minValue secure".split())
BESIDE_THE_BODY = frozenset({"scope", "parent", "dependsOn"})
MODULE_FIELDS = frozenset({"name", "scope", "dependsOn", "params"})
ALWAYS_KNOWN = frozenset({"id", "name", "type", "apiVersion"})
AZD_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?:=[^}]*)?\}")


def problems(main: Path) -> Iterator[str]:
    """Of a file, its parameter file and every module below it."""
    for document in documents(main):
        where = document.path.name
        for found in _document(document):
            yield f"{where}: {found}"
    parameter_file = main.with_suffix(".parameters.json")
    for found in _parameter_file(read(main), json.loads(parameter_file.read_text())):
        yield f"{parameter_file.name}: {found}"


def documents(main: Path) -> Iterator[Document]:
    """The file and the modules that it uses, each once."""
    waiting, seen = [main], set()
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        document = read(path)
        yield document
        waiting.extend(path.parent / module.path for module in document.modules.values())


def azd_variables(parameter_file: Path) -> dict[str, str]:
    """Template parameter to the environment variable that azd fills it from."""
    parameters = json.loads(parameter_file.read_text())["parameters"]
    found = {name: AZD_VARIABLE.fullmatch(str(given["value"])) for name, given in parameters.items()}
    return {name: match.group(1) for name, match in found.items() if match}


def _document(document: Document) -> Iterator[str]:
    yield from document.syntax_errors
    yield from _names(document)
    for resource in document.resources.values():
        yield from (f"line {resource.line}: {found}" for found in _resource(resource))
    for name, module in document.modules.items():
        yield from (f"line {module.line}: module {name}: {found}" for found in _module(document, module))


def _names(document: Document) -> Iterator[str]:
    for mention in document.mentions:
        if mention.name not in document.declared | {"az", "sys"}:
            yield f"line {mention.line}: nothing is called {mention.name}"
        yield from _properties_read(document, mention)
    used = {mention.name for mention in document.mentions}
    yield from (
        f"{name} is declared and never used" for name in (*document.parameters, *document.variables) if name not in used
    )
    yield from (f"line {call.line}: no function {call.name}" for call in document.calls if call.name not in FUNCTIONS)
    yield from (
        f"line {found.line}: no decorator {found.name}" for found in document.decorators if found.name not in DECORATORS
    )


def _properties_read(document: Document, mention: Mention) -> Iterator[str]:
    chain = tuple(part for part in mention.chain if part != "[]")
    if mention.name in document.modules and chain[:1] == ("outputs",) and len(chain) > 1:
        path = document.path.parent / document.modules[mention.name].path
        if path.exists() and chain[1] not in read(path.resolve()).outputs:
            yield f"line {mention.line}: {path.name} has no output {chain[1]}"
    if mention.name in document.resources and chain and chain[0] not in ALWAYS_KNOWN:
        yield from _read_from_resource(document.resources[mention.name].type, chain, mention.line)


def _read_from_resource(resource: str, chain: tuple[str, ...], line: int) -> Iterator[str]:
    """The vendored types end at what Azure alone writes, so only the first unknown name can be told."""
    found = armtypes.definition(resource)
    described = found["objects"][found["body"]] if found else None
    for part in chain:
        if described is None or "additional" in described:
            return
        if part not in described["properties"]:
            yield f"line {line}: {resource} has no {'.'.join(chain)}"
            return
        kind = described["properties"][part].get("type")
        described = found["objects"][kind["object"]] if found and isinstance(kind, dict) and "object" in kind else None


def _resource(resource: Resource) -> Iterator[str]:
    if resource.existing:
        if "name" not in resource.body:
            yield f"{resource.type}: an existing resource needs its name"
        return
    yield from (
        f"{resource.type}: {found}" for found in armtypes.problems(resource.type, resource.body, BESIDE_THE_BODY)
    )


def _module(document: Document, module: Module) -> Iterator[str]:
    path = (document.path.parent / module.path).resolve()
    if not path.exists():
        yield f"there is no {module.path}"
        return
    declared, given = read(path).parameters, module.body.get("params", {})
    yield from (f"no field {name}" for name in module.body if name not in MODULE_FIELDS)
    yield from (f"{module.path} has no parameter {name}" for name in given if name not in declared)
    yield from (
        f"parameter {name} is missing" for name, wanted in declared.items() if wanted.required and name not in given
    )
    for name, value in given.items():
        if name in declared:
            yield from _literal_type(name, declared[name].type, value)


def _literal_type(name: str, wanted: str, value: Any) -> Iterator[str]:
    kinds = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}
    if wanted in kinds and isinstance(value, str | int | bool | list | dict) and not isinstance(value, kinds[wanted]):
        yield f"parameter {name} is {wanted}, not {value!r}"


def _parameter_file(document: Document, parameters: dict[str, Any]) -> Iterator[str]:
    given = parameters["parameters"]
    yield from (f"{document.path.name} declares no {name}" for name in given if name not in document.parameters)
    for name, declared in document.parameters.items():
        if declared.required and name not in given:
            yield f"{name} is missing"
