"""What is wrong with the Terraform files, in lines that name file, place and cause.

All resources are azapi's, whose bodies are the resource manager's own: they are held against the same definitions as
the Bicep files. Not Terraform: no plan is made and no provider is asked.
"""

from collections.abc import Iterator
from pathlib import Path

from . import armtypes
from .terraform import Block, Folder, Mention, read

FUNCTIONS = frozenset(
    """cidrsubnet coalesce concat contains distinct file join keys length list lower max merge replace reverse sha256
    slice split substr tonumber toset tostring uuidv5 yamldecode""".split()
)
"""Functions and types that Terraform has and these files may want. Another name is a typo, or missing here."""

ARGUMENTS = frozenset(
    "body count depends_on for_each location locks name parent_id response_export_values tags type".split()
)
"""Of `azapi_resource`, and what every resource may have; `identity` is a block."""

ATTRIBUTES = frozenset({"id", "name", "output"})
CLIENT_CONFIG = frozenset({"object_id", "subscription_id", "subscription_resource_id", "tenant_id"})
BESIDE_THE_BODY = frozenset({"identity", "location", "name", "tags"})
VARIABLE_FIELDS = frozenset({"default", "description", "type"})


def problems(path: Path) -> Iterator[str]:
    """Of all `*.tf` files in a folder."""
    folder = read(path)
    yield from folder.syntax_errors
    for mention in folder.mentions:
        yield from (f"{mention.file}: line {mention.line}: {found}" for found in _mention(folder, mention))
    used = {mention.chain[:2] for mention in folder.mentions}
    yield from (f"variable {name} is never used" for name in folder.variables if ("var", name) not in used)
    yield from (f"local {name} is never used" for name in folder.locals if ("local", name) not in used)
    yield from (f"{call.file}: no function {call.chain[0]}" for call in folder.calls if call.chain[0] not in FUNCTIONS)
    for name, block in folder.resources.items():
        yield from (f"{block.file}: line {block.line}: {name}: {found}" for found in _resource(folder, block))


def _mention(folder: Folder, mention: Mention) -> Iterator[str]:
    match mention.chain:
        case ("var", name, *_) if name not in folder.variables:
            yield f"no variable {name}"
        case ("local", name, *_) if name not in folder.locals:
            yield f"no local {name}"
        case ("azapi_resource", name, *rest):
            yield from _of_resource(folder, name, tuple(rest))
        case ("data", *rest) if rest[:2] != ["azapi_client_config", "current"] or rest[2] not in CLIENT_CONFIG:
            yield f"no data {'.'.join(rest)}"
        case (root, *_) if root not in {
            "var",
            "local",
            "data",
            "azapi_resource",
            "each",
            "count",
            "path",
            "string",
            "bool",
            "number",
        }:
            yield f"nothing is called {root}"


def _of_resource(folder: Folder, name: str, rest: tuple[str, ...]) -> Iterator[str]:
    if name not in folder.resources:
        yield f"no resource {name}"
    elif rest and rest[0] not in ATTRIBUTES:
        yield f"azapi_resource.{name} has no {rest[0]}"
    elif rest[:1] == ("output",):
        exported = folder.resources[name].attributes.get("response_export_values")
        if exported is None or ".".join(rest[1:]) not in folder.value(exported):
            yield f"azapi_resource.{name} exports no {'.'.join(rest[1:])}: add it to response_export_values"


def _resource(folder: Folder, block: Block) -> Iterator[str]:
    yield from (f"no argument {name}" for name in block.attributes if name not in ARGUMENTS)
    yield from (f"{name} is missing" for name in ("type", "parent_id", "name") if name not in block.attributes)
    yield from (f"no block {name}" for name in block.blocks if name != "identity")
    resource = folder.text(block, "type")
    body = folder.value(block.attributes["body"]) if "body" in block.attributes else {}
    yield from (f"{resource}: {found}" for found in armtypes.problems(resource, body, BESIDE_THE_BODY))
