"""Reads the Terraform files of a folder: what they declare, what they refer to, and the bodies of azapi resources."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_hcl
from tree_sitter import Language, Node, Parser

from .armtypes import Either, Unknown

PARSER = Parser(Language(tree_sitter_hcl.language()))


@dataclass(frozen=True, slots=True)
class Block:
    """A block inside of another or at the top: its attributes, and the names of the blocks in it."""

    file: str
    line: int
    attributes: dict[str, Node]
    blocks: dict[str, "Block"]


@dataclass(frozen=True, slots=True)
class Mention:
    """`var.image` is `("var", "image")`; an index is left out."""

    chain: tuple[str, ...]
    file: str
    line: int


@dataclass(slots=True)
class Folder:
    variables: dict[str, Block] = field(default_factory=dict)
    locals: dict[str, Node] = field(default_factory=dict)
    resources: dict[str, Block] = field(default_factory=dict)
    outputs: dict[str, Block] = field(default_factory=dict)
    mentions: list[Mention] = field(default_factory=list)
    calls: list[Mention] = field(default_factory=list)
    syntax_errors: list[str] = field(default_factory=list)

    def value(self, node: Node) -> Any:
        """The value of an expression, as far as the files alone tell."""
        return _value(self, node)

    def text(self, block: Block, attribute: str) -> str:
        """An attribute that has to be plain text."""
        value = self.value(block.attributes[attribute])
        return value if isinstance(value, str) else ""


def read(folder: Path) -> Folder:
    found = Folder()
    for path in sorted(folder.glob("*.tf")):
        root = PARSER.parse(path.read_bytes()).root_node
        found.syntax_errors.extend(f"{path.name}: {error}" for error in _syntax_errors(root))
        for body in root.named_children:
            for node in body.named_children:
                if node.type == "block":
                    _declare(found, node, path.name)
        _mentions(found, root, path.name, frozenset())
    return found


def _declare(folder: Folder, node: Node, file: str) -> None:
    labels = [_quoted(child) for child in node.named_children if child.type == "string_lit"]
    block = _block(node, file)
    match _text(node.named_children[0]):
        case "variable":
            folder.variables[labels[0]] = block
        case "output":
            folder.outputs[labels[0]] = block
        case "locals":
            folder.locals.update(block.attributes)
        case "resource":
            folder.resources[labels[1]] = block


def _block(node: Node, file: str) -> Block:
    body = next((child for child in node.named_children if child.type == "body"), None)
    parts = body.named_children if body else []
    attributes = {_text(part.named_children[0]): part.named_children[1] for part in parts if part.type == "attribute"}
    blocks = {_text(part.named_children[0]): _block(part, file) for part in parts if part.type == "block"}
    return Block(file, node.start_point[0] + 1, attributes, blocks)


def _value(folder: Folder, node: Node) -> Any:
    inner = _inner(node)
    match inner.type:
        case "string_lit":
            return _quoted(inner)
        case "numeric_lit":
            return int(_text(inner))
        case "bool_lit":
            return _text(inner) == "true"
        case "null_lit":
            return None
        case "object":
            return dict(_element(folder, part) for part in inner.named_children if part.type == "object_elem")
        case "tuple":
            return [folder.value(part) for part in inner.named_children if part.type == "expression"]
        case "conditional":
            return Either(tuple(folder.value(part) for part in inner.named_children[1:]))
        case "for_tuple_expr":
            return [folder.value(_result(inner))]
        case "function_call" if _text(inner.named_children[0]) == "concat":
            lists = [folder.value(part) for part in inner.named_children[1].named_children]
            return [item for one in lists for item in _items(one)]
        case "expression":
            chain = _chain(inner)
            if len(chain) == 2 and chain[0] == "local" and chain[1] in folder.locals:
                return folder.value(folder.locals[chain[1]])
    return Unknown(_text(node))


def _inner(node: Node) -> Node:
    """Through the wrappers that the grammar puts around everything."""
    while (
        node.type in ("expression", "literal_value", "collection_value", "for_expr") and len(node.named_children) == 1
    ):
        node = node.named_children[0]
    return node


def _result(node: Node) -> Node:
    """What a `for` makes of each element."""
    return next(child for child in node.named_children if child.type == "expression")


def _element(folder: Folder, node: Node) -> tuple[Any, Any]:
    key, value = (child for child in node.named_children if child.type == "expression")
    chain = _chain(key)
    plain = folder.value(key)
    name = chain[0] if len(chain) == 1 else plain if isinstance(plain, str) else Unknown(_text(key))
    return name, folder.value(value)


def _items(value: Any) -> list[Any]:
    if isinstance(value, Either):
        return [item for option in value.options for item in _items(option)]
    return value if isinstance(value, list) else [value]


def _chain(node: Node) -> tuple[str, ...]:
    """`azapi_resource.web[0].output` without the index; empty for anything else."""
    children = node.named_children
    if not children or children[0].type != "variable_expr":
        return _chain(children[0]) if len(children) == 1 and children[0].type == "expression" else ()
    parts = [children[0], *(child for child in children[1:] if child.type == "get_attr")]
    return tuple(_text(part.named_children[0]) for part in parts)


def _mentions(folder: Folder, node: Node, file: str, local: frozenset[str]) -> None:
    line = node.start_point[0] + 1
    if node.type in ("for_tuple_expr", "for_object_expr"):
        intro = next(child for child in node.named_children if child.type == "for_intro")
        local |= {_text(child) for child in intro.named_children if child.type == "identifier"}
    if node.type == "function_call":
        folder.calls.append(Mention((_text(node.named_children[0]),), file, line))
    parts = [child for child in node.named_children if child.type == "variable_expr"]
    if parts and not _is_key(node):
        first = node.named_children.index(parts[0])
        attributes = [child for child in node.named_children[first + 1 :] if child.type == "get_attr"]
        chain = tuple(_text(part.named_children[0]) for part in (parts[0], *attributes))
        if chain[0] not in local:
            folder.mentions.append(Mention(chain, file, line))
    for child in node.named_children:
        _mentions(folder, child, file, local)


def _is_key(node: Node) -> bool:
    """`name` in `{ name = ... }` is no reference."""
    parent = node.parent
    return parent is not None and parent.type == "object_elem" and parent.named_children[0] == node


def _syntax_errors(node: Node) -> Iterator[str]:
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point[0] + 1}: syntax error near {_text(node)[:40]!r}"
        return
    for child in node.children:
        yield from _syntax_errors(child)


def _quoted(node: Node) -> str:
    return "".join(_text(child) for child in node.named_children if child.type == "template_literal")


def _text(node: Node) -> str:
    return (node.text or b"").decode()
