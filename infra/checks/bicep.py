"""Reads a Bicep file: what it declares, what it refers to, and the values in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from .armtypes import Either, Unknown

PARSER = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True, slots=True)
class Parameter:
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Resource:
    """`body` is what one resource gets, also where a loop makes many."""

    type: str
    existing: bool
    body: Any
    line: int


@dataclass(frozen=True, slots=True)
class Module:
    path: str
    body: Any
    line: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in an expression, with the properties that are read from it; `[]` for an index."""

    name: str
    chain: tuple[str, ...]
    line: int


@dataclass(slots=True)
class Document:
    path: Path
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Node] = field(default_factory=dict)
    outputs: dict[str, Node] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    mentions: list[Mention] = field(default_factory=list)
    calls: list[Mention] = field(default_factory=list)
    decorators: list[Mention] = field(default_factory=list)
    syntax_errors: list[str] = field(default_factory=list)

    def value(self, node: Node) -> Any:
        """The value of an expression, as far as the file alone tells."""
        return _value(self, node)

    @property
    def declared(self) -> set[str]:
        return {*self.parameters, *self.variables, *self.resources, *self.modules}


@cache
def read(path: Path) -> Document:
    """Reads one file; its modules are not followed."""
    root = PARSER.parse(path.read_bytes()).root_node
    document = Document(path)
    document.syntax_errors.extend(_syntax_errors(root))
    for node in root.named_children:
        if node.type == "variable_declaration":
            document.variables[_text(node.named_children[0])] = node.named_children[-1]
    for node in root.named_children:
        _declare(document, node)
        _mentions(document, node, frozenset())
    return document


def _declare(document: Document, node: Node) -> None:
    children = _parts(node)
    name = _text(children[0]) if children else ""
    line = node.start_point[0] + 1
    match node.type:
        case "parameter_declaration":
            kind = next((_text(child) for child in children if child.type == "type"), "")
            required = children[-1].type == "type" and not kind.endswith("?")
            document.parameters[name] = Parameter(kind.rstrip("?"), required)
        case "output_declaration":
            document.outputs[name] = children[-1]
        case "resource_declaration":
            existing = any(_text(child) == "existing" for child in node.children)
            body = document.value(_body(children[-1]))
            document.resources[name] = Resource(str(document.value(children[1])), existing, body, line)
        case "module_declaration":
            body = document.value(_body(children[-1]))
            document.modules[name] = Module(str(document.value(children[1])), body, line)


def _body(node: Node) -> Node:
    """The object inside of `[for ...: if (...) {...}]`."""
    while node.type in ("for_statement", "if_statement", "parenthesized_expression"):
        node = node.named_children[-1]
    return node


def _value(document: Document, node: Node) -> Any:
    match node.type:
        case "string" | "multiline_string":
            parts = node.named_children
            if any(part.type == "interpolation" for part in parts):
                return Unknown(_text(node))
            return "".join(_text(part) for part in parts)
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
        case "null":
            return None
        case "object":
            return dict(_property(document, part) for part in node.named_children if part.type == "object_property")
        case "array":
            return [document.value(part) for part in _parts(node)]
        case "ternary_expression":
            return Either(tuple(document.value(part) for part in node.named_children[1:]))
        case "parenthesized_expression" | "if_statement":
            return document.value(node.named_children[-1])
        case "for_statement":
            return [document.value(node.named_children[-1])]
        case "identifier" if _text(node) in document.variables:
            return document.value(document.variables[_text(node)])
        case "call_expression":
            return _called(document, node)
    return Unknown(_text(node))


def _called(document: Document, node: Node) -> Any:
    """`concat` and `map` make lists whose items can be looked at."""
    name, arguments = _text(node.named_children[0]), node.named_children[-1].named_children
    if name == "concat":
        lists = [document.value(argument) for argument in arguments]
        return [item for one in lists for item in _items(one)]
    if name == "map":
        return [document.value(arguments[-1].named_children[-1])]
    return Unknown(_text(node))


def _items(value: Any) -> list[Any]:
    if isinstance(value, Either):
        return [item for option in value.options for item in _items(option)]
    return value if isinstance(value, list) else [value]


def _property(document: Document, node: Node) -> tuple[Any, Any]:
    key, *rest = _parts(node)
    name = _text(key) if key.type == "identifier" else document.value(key)
    return name, document.value(rest[-1]) if rest else None


def _mentions(document: Document, node: Node, local: frozenset[str]) -> None:
    """Collects names; `local` are a loop's, a lambda's or a function's own."""
    line = node.start_point[0] + 1
    children = node.named_children
    match node.type:
        case "comment" | "type" | "property_identifier":
            return
        case "for_statement" | "lambda_expression" | "user_defined_function":
            local |= frozenset(_own_names(node))
        case "decorator":
            call = children[0]
            document.decorators.append(Mention(_text(call.named_children[0]), (), line))
            children = call.named_children[1:]
        case "member_expression" | "subscript_expression":
            root, chain = _chain(node)
            if root.type == "identifier" and _text(root) not in local:
                document.mentions.append(Mention(_text(root), chain, line))
        case "call_expression":
            document.calls.append(Mention(_text(children[0]).removeprefix("az.").removeprefix("sys."), (), line))
            children = children[1:]
        case "object_property":
            children = [child for child in children[:1] if child.type == "string"] + children[1:]
        case "identifier" if node.parent is not None and _text(node) not in local and not _names_something(node):
            document.mentions.append(Mention(_text(node), (), line))
    for child in children:
        _mentions(document, child, local)


def _names_something(node: Node) -> bool:
    """Is this identifier the name that a declaration, a loop or a lambda introduces?"""
    parent = node.parent
    assert parent is not None
    first = parent.named_children[0] == node
    return first and (parent.type.endswith("_declaration") or parent.type == "parameter")


def _own_names(node: Node) -> Iterator[str]:
    for child in node.named_children[:-1]:
        if child.type == "identifier" and child == node.named_children[0]:
            yield _text(child)
        elif child.type in ("for_loop_parameters", "parameters", "parenthesized_expression"):
            yield from (_text(part.named_children[0] if part.named_children else part) for part in child.named_children)


def _chain(node: Node) -> tuple[Node, tuple[str, ...]]:
    chain: list[str] = []
    while node.type in ("member_expression", "subscript_expression"):
        last = node.named_children[-1]
        chain.append(_text(last) if node.type == "member_expression" else "[]")
        node = node.named_children[0]
    return node, tuple(reversed(chain))


def _parts(node: Node) -> list[Node]:
    return [child for child in node.named_children if "comment" not in child.type]


def _syntax_errors(node: Node) -> Iterator[str]:
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point[0] + 1}: syntax error near {_text(node)[:40]!r}"
        return
    for child in node.children:
        yield from _syntax_errors(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
