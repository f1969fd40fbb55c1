"""Writes `types/`: for every resource type that our files use, what Azure says its body may hold.

    python vendor_types.py --definitions DIR   # a checkout of Azure/bicep-types-az, or <namespace>/<version>/*.json
    python vendor_types.py --azmcp PATH        # the program `azmcp` of the PyPI package msmcp-azure, for what DIR lacks

Each file holds one type at one API version, without descriptions and without what only Azure writes. Nothing of this
runs in the checks: they read the files. Types that neither source knows are listed in `UNCHECKED`.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

FROM_DEFINITIONS = (
    "Microsoft.App/containerApps@2026-01-01",
    "Microsoft.App/managedEnvironments@2026-01-01",
    "Microsoft.Authorization/roleAssignments@2022-04-01",
    "Microsoft.CognitiveServices/accounts@2026-05-01",
    "Microsoft.CognitiveServices/accounts/deployments@2026-05-01",
    "Microsoft.ContainerRegistry/registries@2025-11-01",
    "Microsoft.Insights/components@2020-02-02",
    "Microsoft.Insights/diagnosticSettings@2021-05-01-preview",
    "Microsoft.KeyVault/vaults@2026-02-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30",
    "Microsoft.OperationalInsights/workspaces@2025-07-01",
    "Microsoft.Resources/resourceGroups@2025-04-01",
)
FROM_AZMCP = (
    "Microsoft.Network/networkSecurityGroups@2024-07-01",
    "Microsoft.Network/privateEndpoints@2024-07-01",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01",
    "Microsoft.Network/virtualNetworks@2024-07-01",
)
REQUIRED, READ_ONLY = 1, 2


class Definitions:
    """One resource type out of a `types.json` of Azure/bicep-types-az."""

    def __init__(self, document: list[dict[str, Any]]) -> None:
        self.document = document
        self.objects: dict[str, Any] = {}
        self.names: dict[int, str] = {}

    def at(self, reference: dict[str, str]) -> tuple[int, dict[str, Any]]:
        index = int(reference["$ref"].rsplit("/", 1)[1])
        return index, self.document[index]

    def kind(self, reference: dict[str, str]) -> Any:
        """The type behind a reference, in our own notation."""
        index, found = self.at(reference)
        match found["$type"]:
            case "StringType":
                return "string"
            case "IntegerType":
                return "int"
            case "BooleanType":
                return "bool"
            case "StringLiteralType":
                return {"oneOf": [found["value"]]}
            case "UnionType":
                return self.union(found)
            case "ArrayType":
                return {"array": self.kind(found["itemType"])}
            case "ObjectType":
                return {"object": self.object(index, found)}
            case "DiscriminatedObjectType":
                return {"object": self.variants(index, found)}
        return "any"

    def union(self, found: dict[str, Any]) -> Any:
        members = [self.at(element)[1] for element in found["elements"]]
        literals = [member["value"] for member in members if member["$type"] == "StringLiteralType"]
        return {"oneOf": literals, "open": len(literals) < len(members)}

    def object(self, index: int, found: dict[str, Any]) -> str:
        if index in self.names:
            return self.names[index]
        self.names[index] = name = f"{found['name']}#{index}"
        written = self.objects[name] = {"properties": self.properties(found["properties"])}
        if found.get("additionalProperties"):
            written["additional"] = self.kind(found["additionalProperties"])
        return name

    def variants(self, index: int, found: dict[str, Any]) -> str:
        if index in self.names:
            return self.names[index]
        self.names[index] = name = f"{found['name']}#{index}"
        written = self.objects[name] = {"properties": self.properties(found["baseProperties"])}
        written["discriminator"] = found["discriminator"]
        written["variants"] = {value: self.kind(element)["object"] for value, element in found["elements"].items()}
        return name

    def properties(self, found: dict[str, Any]) -> dict[str, Any]:
        return {name: self.property(described) for name, described in found.items()}

    def property(self, described: dict[str, Any]) -> Any:
        flags = described.get("flags", 0)
        if flags & READ_ONLY:
            return {"readOnly": True}
        return {"type": self.kind(described["type"]), **({"required": True} if flags & REQUIRED else {})}


def from_definitions(folder: Path, resource: str) -> dict[str, Any]:
    """Looks for the namespace's files of that version and takes the one resource out."""
    namespace, version = resource.split("/")[0].lower(), resource.split("@")[1]
    for path in sorted(folder.glob(f"**/{namespace}/{version}/*.json")):
        document = json.loads(path.read_text())
        for entry in document:
            if entry.get("$type") == "ResourceType" and entry["name"].lower() == resource.lower():
                definitions = Definitions(document)
                body = definitions.kind(entry["body"])["object"]
                return {"resource": resource, "body": body, "objects": definitions.objects}
    raise SystemExit(f"{resource}: not in {folder}")


def azmcp_kind(text: str, names: set[str]) -> Any:
    """`string`, `Subnet[]`, `Allow | Deny | string`: azmcp's way to write a type."""
    if text.endswith("[]"):
        return {"array": azmcp_kind(text.removesuffix("[]"), names)}
    if text in ("string", "int", "bool"):
        return text
    if text in names:
        return {"object": text}
    members = [member.strip() for member in text.split(" | ")]
    literals = [member for member in members if member != "string"]
    return {"oneOf": literals, "open": len(literals) < len(members)} if literals else "any"


def azmcp_property(described: dict[str, str], names: set[str]) -> Any:
    flags = described.get("flags", "")
    if "ReadOnly" in flags:
        return {"readOnly": True}
    return {"type": azmcp_kind(described["type"], names), **({"required": True} if "Required" in flags else {})}


def azmcp_object(found: dict[str, Any], names: set[str]) -> dict[str, Any]:
    properties = {entry["name"]: azmcp_property(entry, names) for entry in found.get("properties", [])}
    additional = found.get("additionalPropertiesType")
    return {"properties": properties, **({"additional": azmcp_kind(additional, names)} if additional else {})}


def from_azmcp(program: str, resource: str) -> dict[str, Any]:
    """Asks azmcp, which carries the newest version of each type that it knows."""
    command = [program, "bicepschema", "get", "--resource-type", resource.split("@")[0]]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    found = answer["results"]["BicepSchemaResult"]
    top = next(entry for entry in found if entry["$type"] == "Resource")
    if top["name"] != resource:
        raise SystemExit(f"azmcp knows {top['name']}, not {resource}")
    inner = [entry for entry in found if entry["$type"] == "Object"]
    names = {entry["name"] for entry in inner}
    objects = {entry["name"]: azmcp_object(entry, names) for entry in inner}
    objects["body"] = azmcp_object(top["bodyType"], names)
    return {"resource": resource, "body": "body", "objects": reachable(objects, "body")}


def reachable(objects: dict[str, Any], start: str) -> dict[str, Any]:
    """Only what the body can hold."""
    wanted, found = [start], {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = objects[name]
            wanted.extend(_named(objects[name]))
    return {name: found[name] for name in sorted(found)}


def _named(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _named(item)]
    if not isinstance(value, dict):
        return []
    own = [value["object"]] if isinstance(value.get("object"), str) else []
    return own + [name for item in value.values() for name in _named(item)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--definitions", type=Path)
    arguments.add_argument("--azmcp")
    given = arguments.parse_args()
    found = [from_definitions(given.definitions, resource) for resource in FROM_DEFINITIONS if given.definitions]
    found += [from_azmcp(given.azmcp, resource) for resource in FROM_AZMCP if given.azmcp]
    for one in found:
        path = HERE / "types" / f"{one['resource'].replace('/', '_')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(one, separators=(",", ":"), sort_keys=True) + "\n")
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
